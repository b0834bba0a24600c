/** The plugins that are compared, and how a runtime calls each of them. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Call } from './caller.ts'
import type { Container, Host } from './host.ts'

const CNI_DIRS = ['/usr/lib/cni', '/usr/libexec/cni', '/opt/cni/bin']

export type Stack = 'IPv4' | 'dual stack'

export interface Contestant {
  readonly name: string
  /** Its netconf's. */
  readonly network: string
  add(container: Container): Call
  del(container: Container): Call
}

/** Where ptp and host-local are. */
export function referencePlugins(): string {
  const dir = CNI_DIRS.find((dir) => existsSync(join(dir, 'ptp')))
  if (dir === undefined) throw new Error(`the reference plugins are in none of ${CNI_DIRS.join(', ')}`)
  return dir
}

/** The built nugator. */
export function nugator(): string {
  const path = resolve(process.env.BENCH_NUGATOR || join(import.meta.dirname, '../dist/bin/nugator'))
  if (!existsSync(path)) throw new Error(`${path} is not built`)
  return path
}

export function ptp(host: Host, stack: Stack = 'IPv4'): Contestant {
  const program = join(referencePlugins(), 'ptp')
  return contestant('ptp', program, netconf(host, 'ptp', 203, stack), {})
}

let fillers = 0

/** ptp again, with addresses of the same subnet that {@link ptp} comes to last, and leases in a directory of its own. */
export function ptpFiller(host: Host): Contestant {
  const number = fillers++
  const range = [
    { subnet: '10.203.0.0/16', rangeStart: `10.203.${64 + number}.1`, rangeEnd: `10.203.${64 + number}.254` },
  ]
  const network = `ptp-filler${number}`
  const ipam = { type: 'host-local', ranges: [range], dataDir: host.dir('leases') }
  const conf = { cniVersion: '1.0.0', name: network, type: 'ptp', ipam }
  return contestant('ptp', join(referencePlugins(), 'ptp'), { conf, addresses: 1, network }, {})
}

/** host-local's directory for its network. */
export function leasesOf(host: Host, { network }: Contestant): string {
  return join(host.dir('leases'), network)
}

export function nugatorHot(host: Host, stack: Stack = 'IPv4'): Contestant {
  return nugatorContestant(host, 'hot', 204, stack)
}

/** Without an agent: a Node for each call. */
export function nugatorCold(host: Host, stack: Stack = 'IPv4'): Contestant {
  return nugatorContestant(host, 'cold', 205, stack)
}

/** Where the agent of this host is asked. */
export function agentSocket(host: Host): string {
  return join(host.dir('run'), 'agent.sock')
}

/** What nugator is told of its directories; also for the agent itself. */
export function nugatorEnv(host: Host): Record<string, string> {
  return { NUGATOR_STATE_DIR: host.dir('state'), NUGATOR_RUN_DIR: host.dir('run') }
}

function nugatorContestant(host: Host, way: 'hot' | 'cold', net: number, stack: Stack): Contestant {
  const env = { ...nugatorEnv(host), NUGATOR_AGENT_SOCKET: way === 'hot' ? agentSocket(host) : '' }
  return contestant(`nugator ${way}`, nugator(), netconf(host, `nugator-${way}`, net, stack), env)
}

interface Netconf {
  readonly network: string
  readonly conf: object
  readonly addresses: number
}

/** As small as that of a real cluster: a subnet, a default route. Each contestant has its own, and its own leases. */
function netconf(host: Host, name: string, net: number, stack: Stack): Netconf {
  const dual = stack === 'dual stack'
  const ranges = [[{ subnet: `10.${net}.0.0/16` }], ...(dual ? [[{ subnet: `fd00:${net}::/64` }]] : [])]
  const routes = [{ dst: '0.0.0.0/0' }, ...(dual ? [{ dst: '::/0' }] : [])]
  const network = `${name}-${dual ? 'dual' : 'ipv4'}`
  const type = name.startsWith('nugator') ? 'nugator' : name
  const ipam = { type: 'host-local', ranges, routes, dataDir: host.dir('leases') }
  return { network, conf: { cniVersion: '1.0.0', name: network, type, ipam }, addresses: dual ? 2 : 1 }
}

function contestant(
  name: string,
  program: string,
  { network, conf, addresses }: Netconf,
  env: Record<string, string>,
): Contestant {
  const stdin = JSON.stringify(conf)
  const call = (command: string, container: Container): Call => ({
    argv: [program],
    stdin,
    env: { ...env, ...cniEnv(command, container) },
  })
  return {
    name,
    network,
    add: (container) => ({ ...call('ADD', container), addresses }),
    del: (container) => call('DEL', container),
  }
}

/** The variables of the specification. */
export function cniEnv(command: string, { id, netns }: Container): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: referencePlugins(),
  }
}
