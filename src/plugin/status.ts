/** STATUS: can an ADD work right now? Tried, not guessed. */
import { accessSync, constants, existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { CniError, Code } from '../cni/error.ts'
import { findPlugin } from '../cni/exec.ts'
import type { CniCall } from '../cni/serve.ts'
import { DEFAULT_MTU } from '../koko/endpoint.ts'
import { parseMac, randomMac } from '../koko/mac.ts'
import { LIVE_GROUP } from '../koko/marks.ts'
import { validateEnd } from '../koko/validate.ts'
import { createVeth } from '../netlink/link.ts'
import { Netns } from '../netns/netns.ts'
import { withTemporaryNetns } from '../netns/temporary.ts'
import { openState } from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import { ipamAsk, isOwnIpam } from './ipam.ts'
import { givenAddresses, ipamType, type Netconf, parseNetconf } from './netconf.ts'
import { findTool } from './tool.ts'
import { baseSpec } from './wanted.ts'

export async function status(call: CniCall, caller: Caller): Promise<void> {
  const conf = parseNetconf(call.conf)
  checkEnds(conf)
  checkKernel()
  checkDirectories(conf, call)
  checkBackend(conf)
  const type = ipamType(conf)
  if (type === undefined || isOwnIpam(call.conf)) return
  try {
    findPlugin(type, call.path)
  } catch (error) {
    if (error instanceof CniError) throw new CniError(Code.notAvailable, error.msg, error.details)
    throw error
  }
  const host = caller.openHost()
  try {
    const { path, env, stdin } = call
    await ipamAsk({ type, path, env, stdin, where: surroundings(host, caller), isOwn: false }, 'STATUS')
  } finally {
    host.close()
  }
}

function unavailable(msg: string, details: string): CniError {
  return new CniError(Code.notAvailable, msg, details)
}

/** A netconf that no ADD would take. @throws WireError */
function checkEnds(conf: Netconf): void {
  for (const end of [conf, ...Object.values(conf.link?.ends ?? {}), ...(conf.peer ? [conf.peer] : [])]) {
    validateEnd({
      ...baseSpec(conf, conf.ifName || 'eth0'),
      mac: end.mac ? parseMac(end.mac) : randomMac(),
      mtu: conf.mtu || DEFAULT_MTU,
      addresses: givenAddresses(end).map(({ address }) => ({ address })),
      routes: [], // a gateway may be IPAM's or the other end's
    })
  }
}

/** Makes a veth pair in a namespace that nobody else sees and that is gone at once. */
function checkKernel(): void {
  try {
    Netns.own().close()
    withTemporaryNetns((netns) => {
      const end = { mtu: 1500, txQueueLength: 1000, group: LIVE_GROUP }
      netns.socket.request(
        createVeth(
          { ...end, name: 'a', mac: randomMac() },
          { ...end, name: 'b', mac: randomMac() },
          netns.fd,
        ),
      )
    })
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    throw unavailable(
      `a veth pair cannot be made: ${what}`,
      'nugator needs root and Linux 5.14 or newer with veth',
    )
  }
}

function checkDirectories(conf: Netconf, call: CniCall): void {
  const state = openState(conf, call.env)
  for (const directory of [state.attachments.directory, dirname(state.locks)]) {
    let existing = directory
    while (!existsSync(existing) && existing !== '/') existing = dirname(existing)
    try {
      accessSync(existing, constants.W_OK | constants.X_OK)
    } catch {
      throw unavailable(`${directory} cannot be written`, `${existing} is not writable`)
    }
  }
}

function checkBackend(conf: Netconf): void {
  if (!conf.ipMasq) return
  const tool = conf.ipMasqBackend === 'iptables' ? 'iptables-restore' : 'nft'
  if (findTool(tool) !== undefined) return
  throw unavailable(`ipMasq needs ${tool}, which is not installed`, 'install nftables, or iptables')
}
