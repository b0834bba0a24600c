/** ADD: refuse what can be refused, write down what will be done, do it or undo all of it. */
import { parseArgs } from '../cni/args.ts'
import { CniError, Code } from '../cni/error.ts'
import { findPlugin } from '../cni/exec.ts'
import { isExpressible, type Result } from '../cni/result.ts'
import type { CniCall } from '../cni/serve.ts'
import { WireError } from '../koko/error.ts'
import { findLinkByIndex } from '../koko/inspect.ts'
import { lock } from '../koko/lock.ts'
import { bootId, type Netns, openIfSame } from '../netns/netns.ts'
import { type AttachmentRecord, type Context, identify, modeOf, openState } from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import type { Driver, Made, Prepared } from './driver.ts'
import { hostDriver } from './host.ts'
import { type IpamCall, ipamAdd, ipamCallOf, isOwnIpam, needsLink } from './ipam.ts'
import { linkDriver } from './link.ts'
import { locateEnd } from './locate.ts'
import { type EndConf, ipamType, type Netconf, parseNetconf, resultDns } from './netconf.ts'
import { refuseOwnNetns } from './netns-check.ts'
import { peerDriver } from './peer.ts'
import { mergeResults, parsePrevResult } from './prev-result.ts'
import { ipamOfRecord, readRecord } from './recorded.ts'
import { joinErrors, report } from './report.ts'
import { refuseBuried } from './tombstone.ts'
import { undo } from './undo.ts'
import { type Assigned, assignedByConf, withIpam } from './wanted.ts'

const DRIVERS: Readonly<Record<ReturnType<typeof modeOf>, Driver>> = {
  host: hostDriver,
  peer: peerDriver,
  link: linkDriver,
}

export async function add(call: CniCall, caller: Caller): Promise<Result> {
  refuseOwnNetns(call, caller)
  const conf = parseNetconf(call.conf)
  const args = parseArgs(call.args)
  const prev = parsePrevResult(conf.prevResult, call.version)
  const identity = identify(call.network, call.containerID, conf.ifName || call.ifName, call.ifName)
  const type = ipamType(conf)
  if (type !== undefined && !isOwnIpam(call.conf)) findPlugin(type, call.path)
  const state = openState(conf, call.env)
  const host = caller.openHost()
  let netns: Netns | undefined
  try {
    netns = caller.openContainer(call.netns)
    const proceed = (part: string) => {
      caller.proceed(part)
      refuseBuried(state, identity, caller.began)
    }
    const ctx: Context = { call, caller, proceed, conf, args, identity, state, host, netns }
    const where = surroundings(host, caller)
    const ipam = type === undefined ? undefined : ipamCallOf(call, type, identity.ifName, where)
    proceed('lock')
    const held = await lock(state.locks, identity.key)
    try {
      proceed('prepare')
      await clearEarlier(ctx)
      const prepared = DRIVERS[modeOf(conf)].prepare(ctx)
      try {
        if (ipam === undefined) refuseInexpressible(call, prepared.given)
        const made = await setUp(ctx, prepared, ipam)
        const own = resultOf(conf, made)
        return prev === undefined ? own : mergeResults(prev, own)
      } finally {
        prepared.close()
      }
    } finally {
      held.release()
    }
  } finally {
    netns?.close()
    host.close()
  }
}

/** @throws CniError if the answer could not be told in the version asked for */
function refuseInexpressible(call: CniCall, given: Assigned): void {
  if (isExpressible(given.addresses, call.version)) return
  throw new CniError(
    Code.internal,
    'cannot convert: no valid IP addresses',
    `a result without addresses needs cniVersion 0.3.0 or newer, not ${call.version}`,
  )
}

/** Refuses an attachment that lives; removes what a dead container, a reboot or a killed process left of one. */
async function clearEarlier(ctx: Context): Promise<void> {
  const { state, identity, host, call, caller } = ctx
  const record = readRecord(state, identity.key)
  if (record === undefined) return
  if (record !== 'damaged' && state.attachments.has(identity.key) && isLive(ctx, record)) {
    throw new WireError('live', `already attached: ${identity.words}`, 'DEL it before it is added again')
  }
  const known = record === 'damaged' ? undefined : record
  const failures = await undo({
    identity,
    record: known,
    state,
    caller,
    host,
    netnsPath: call.netns,
    link: ctx.conf.link?.name ?? null,
    masquerade: null,
    ipam: known === undefined ? [] : ipamOfRecord(known, call.env, call.path, surroundings(host, caller)),
  })
  // Going on would forget what could not be removed.
  const error = joinErrors(failures.map((failure) => failure.error))
  if (error !== undefined)
    throw new CniError(error.code, `clearing what is left of it: ${error.msg}`, error.details)
}

function isLive({ identity, host }: Context, record: AttachmentRecord): boolean {
  if (record.bootId !== bootId()) return false
  const netns = openIfSame(record.own.path, record.own.cookie)
  if (netns === undefined) return false
  try {
    // In link mode the mark is the link's: the recorded ifindex and name stand for it.
    if (record.link !== null) return netns.cookie === record.own.cookie && hasInterface(netns, record)
    return locateEnd(netns, record.own, record, identity, host) !== undefined
  } finally {
    netns.close()
  }
}

function hasInterface(netns: Netns, { own }: AttachmentRecord): boolean {
  const link = own.index === null ? undefined : findLinkByIndex(netns, own.index)
  return link?.kind === 'veth'
}

async function setUp(ctx: Context, prepared: Prepared, ipam: IpamCall | undefined): Promise<Made> {
  const { state, identity, host, call, caller, conf, proceed } = ctx
  const { record } = prepared
  const { key } = identity
  let asked = false
  let leased = false
  proceed('record')
  const draft = state.pending.create(key, record)
  try {
    return await prepared.setUp({
      linkFirst: ipam !== undefined && needsLink(ipam.type),
      async assign(end: EndConf): Promise<Assigned> {
        const given = assignedByConf(conf, end)
        if (ipam === undefined) return given
        proceed('ipam')
        asked = true
        const result = await ipamAdd(ipam, call.version, () => proceed('ipam'))
        leased = true
        if (modeOf(conf) === 'host') refuseMissingGateway(result)
        return withIpam(given, result)
      },
      commit() {
        proceed('commit')
        draft.complete(record, state.attachments)
      },
    })
  } catch (error) {
    const removal = {
      identity,
      record,
      state,
      caller,
      host,
      netnsPath: call.netns,
      link: record.link,
      masquerade: null,
    }
    const failures = await undo({ ...removal, ipam: ipam !== undefined && asked ? [ipam] : [] })
    for (const failure of failures) {
      caller.warn(`nugator: undoing ${identity.words}: ${report(failure.error).message}\n`)
    }
    // A lease that IPAM never gave need not be remembered for its sake.
    const onlyIpam = failures.length > 0 && failures.every(({ part }) => part === 'ipam')
    if (onlyIpam && !leased) state.pending.remove(key)
    throw error
  } finally {
    draft.close()
  }
}

/** ptp's own condition: in host mode the gateway is the host's end, so an address of IPAM's must have one. */
function refuseMissingGateway(result: Result): void {
  const without = result.ips.find(({ gateway }) => !gateway)
  if (without === undefined) return
  throw new CniError(
    Code.invalidConfig,
    `IPAM gave ${without.address} no gateway`,
    'in host mode the gateway becomes the address of the host end; give IPAM one',
  )
}

function resultOf(conf: Netconf, { assigned, interfaces }: Made): Result {
  const own = interfaces.length - 1
  return {
    interfaces: [...interfaces],
    ips: assigned.addresses.map((ip) => ({ interface: own, ...ip })),
    routes: assigned.routes.map(({ onlink, src, exclusive, ...route }) => route),
    dns: resultDns(conf, assigned.dns),
  }
}
