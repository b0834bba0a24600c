/** From netconf and IPAM's answer to what each end is to be. */

import { CniError, Code } from '../cni/error.ts'
import type { Dns, Result, ResultIp } from '../cni/result.ts'
import { canonicalCidr, canonicalIp, contains, parseCidr } from '../koko/cidr.ts'
import { DEFAULT_TX_QUEUE_LENGTH, type EndSpec, type RouteSpec } from '../koko/endpoint.ts'
import { invalid } from '../koko/error.ts'
import { parseMac } from '../koko/mac.ts'
import {
  type EndConf,
  type GivenAddress,
  givenAddresses,
  givenRoutes,
  type Netconf,
  routeSpec,
} from './netconf.ts'

/** What a container's end is given, by netconf, runtime and IPAM together. */
export interface Assigned {
  readonly addresses: readonly GivenAddress[]
  readonly routes: readonly RouteSpec[]
  readonly dns: Dns
}

/**
 * What netconf and runtime say without IPAM. Requested `ips` replace the addresses (args.cni before netconf,
 * runtimeConfig before both), as with the `static` plugin; where there is IPAM they are its business.
 *
 * @throws WireError ('invalid') for a request that would take an address from somebody else
 */
export function assignedByConf(conf: Netconf, end: EndConf): Assigned {
  const given = givenAddresses(end).map(canonical)
  const requested = conf.runtimeConfig?.ips ?? conf.args?.cni?.ips
  if (!requested || conf.ipam) return { addresses: given, routes: givenRoutes(end), dns: {} }
  const addresses = requested.map((address) => {
    const own = canonical({ address })
    const network = given.find((other) => contains(parseCidr(other.address), parseCidr(own.address)))
    // args come from whoever starts the container, and in host mode the host gets a route to the address.
    if (network === undefined && !conf.runtimeConfig?.ips && !conf.peer && !conf.link) {
      throw invalid(
        `args.cni.ips asks for ${address}, which is in no network of "addresses"`,
        'give the network an address there, or declare the capability "ips"',
      )
    }
    return network?.gateway === undefined ? own : { ...own, gateway: network.gateway }
  })
  return { addresses, routes: givenRoutes(end), dns: {} }
}

export function withIpam(assigned: Assigned, result: Result): Assigned {
  const routes = result.routes.map(routeSpec)
  return {
    addresses: [...result.ips.map(readable), ...assigned.addresses],
    routes: [...routes, ...assigned.routes],
    dns: result.dns,
  }
}

/** What IPAM says is not the netconf's fault. */
function readable({ address, gateway }: ResultIp): GivenAddress {
  try {
    return canonical(gateway ? { address, gateway } : { address })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CniError(
      Code.internal,
      `failed to unmarshal raw result: IPAM gave an address that is none: ${why}`,
    )
  }
}

function canonical({ address, gateway }: GivenAddress): GivenAddress {
  const cidr = canonicalCidr(address)
  return gateway ? { address: cidr, gateway: canonicalIp(gateway) } : { address: cidr }
}

/** The MAC address asked for: the runtime's before args.cni's, CNI_ARGS' and the netconf's. @throws WireError */
export function requestedMac(
  conf: Netconf,
  args: ReadonlyMap<string, string>,
  end: EndConf,
): string | undefined {
  const mac = conf.runtimeConfig?.mac || conf.args?.cni?.mac
  if (mac) return parseMac(mac)
  const inArgs = args.get('MAC')
  if (inArgs) return macOfArgs(inArgs)
  return end.mac ? parseMac(end.mac) : undefined
}

function macOfArgs(mac: string): string {
  try {
    return parseMac(mac)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CniError(Code.invalidEnvironment, `CNI_ARGS: MAC: ${why}`)
  }
}

/** The parts of an end that the netconf alone decides. */
export function baseSpec(
  conf: Netconf,
  ifName: string,
): Omit<EndSpec, 'mac' | 'mtu' | 'addresses' | 'routes'> {
  return {
    ifName,
    readyLinkLocal: true,
    txQueueLength: conf.qlen ?? DEFAULT_TX_QUEUE_LENGTH,
    ...(typeof conf.txOffload === 'boolean' ? { txOffload: conf.txOffload } : {}),
    ...(conf.sysctl ? { sysctls: sysctlPaths(conf.sysctl, ifName) } : {}),
  }
}

function sysctlPaths(given: Readonly<Record<string, string>>, ifName: string): Record<string, string> {
  const entries = Object.entries(given).map(([name, value]) => {
    const parts = (
      name.includes('/') ? name.split('/') : name.replace(`.${ifName}.`, '.IFNAME.').split('.')
    ).map((part) => (part === 'IFNAME' ? ifName : part))
    const [net, family = '', group = '', who, key = ''] = parts
    const own = net === 'net' && /^ipv[46]$/.test(family) && /^(conf|neigh)$/.test(group) && who === ifName
    if (!own || parts.length !== 5 || !/^[a-z0-9_]+$/.test(key)) {
      throw invalid(
        `sysctl "${name}" is not one of the interface`,
        'write net.ipv4.conf.IFNAME.KEY, or ipv6, or neigh; IFNAME stands for the interface',
      )
    }
    return [parts.join('/'), value] as const
  })
  return Object.fromEntries(entries)
}
