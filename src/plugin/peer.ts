/** Peer mode: the netconf names the other container, and both ends are made at once. */
import { DEFAULT_MTU, type EndSpec } from '../koko/endpoint.ts'
import { invalid } from '../koko/error.ts'
import { parseMac, randomMac } from '../koko/mac.ts'
import { applyWire, planWire, refuseTaken, refuseTakenAddresses } from '../koko/wire.ts'
import { Netns } from '../netns/netns.ts'
import { parseReference } from '../netns/reference.ts'
import { type Context, newRecord, recordedEnd } from './attachment.ts'
import { type Driver, interfaceOf, type Made, type Prepared, reconfigure, type Setup } from './driver.ts'
import { plainEnd } from './ends.ts'
import { ipamType } from './netconf.ts'
import { type Assigned, assignedByConf, baseSpec, requestedMac } from './wanted.ts'

type PeerConf = NonNullable<Context['conf']['peer']>

export const peerDriver: Driver = {
  prepare(ctx: Context): Prepared {
    const peerConf = ctx.conf.peer
    if (!peerConf) throw invalid('peer mode needs a "peer"')
    const reference = parseReference(peerConf.netns)
    const peer = reference.kind === 'host' ? ctx.caller.openHost() : Netns.open(reference)
    try {
      return prepareWith(ctx, peer, peerConf)
    } catch (error) {
      peer.close()
      throw error
    }
  },
}

function prepareWith(ctx: Context, peer: Netns, peerConf: PeerConf): Prepared {
  const { conf, netns, identity } = ctx
  const mtu = conf.mtu || DEFAULT_MTU
  const base = {
    ...baseSpec(conf, identity.ifName),
    mac: requestedMac(conf, ctx.args, conf) ?? randomMac(),
    mtu,
  }
  const other: EndSpec = {
    ifName: peerConf.ifName,
    mac: peerConf.mac ? parseMac(peerConf.mac) : randomMac(),
    mtu,
    txQueueLength: base.txQueueLength,
    readyLinkLocal: true,
    ...(base.txOffload === undefined ? {} : { txOffload: base.txOffload }),
    // What the runtime requests concerns the container's own end only.
    ...plainEnd(assignedByConf({ ...conf, runtimeConfig: null, args: null }, peerConf)),
  }
  const ownOf = (assigned: Assigned): EndSpec => ({ ...base, ...plainEnd(assigned) })
  const plan = (own: EndSpec) =>
    planWire(
      { netns, spec: own, withLoopback: true },
      { netns: peer, spec: other, withLoopback: true },
      identity.alias,
    )
  const given = assignedByConf(conf, conf)
  const early = ownOf(given)
  // What IPAM will add cannot be known yet; a route may depend on it.
  plan(ipamType(conf) === undefined ? early : { ...early, routes: [] })
  refuseTaken({ netns, spec: early })
  refuseTaken({ netns: peer, spec: other })
  const record = newRecord(ctx, recordedEnd(netns, early), recordedEnd(peer, other))

  async function setUp(setup: Setup): Promise<Made> {
    let assigned: Assigned | undefined = setup.linkFirst ? undefined : await setup.assign(conf)
    let own = assigned === undefined ? { ...base, addresses: [], routes: [] } : ownOf(assigned)
    refuseTakenAddresses({ netns, spec: own })
    ctx.proceed('wire')
    const wire = applyWire(plan(own))
    if (assigned === undefined) {
      assigned = await setup.assign(conf)
      own = ownOf(assigned)
      refuseTakenAddresses({ netns, spec: own })
      reconfigure({ netns, spec: own }, wire.anchor, identity.alias)
    }
    record.own = { ...recordedEnd(netns, own), index: wire.anchor, spec: own }
    record.other = { ...recordedEnd(peer, other), index: wire.other, spec: other }
    setup.commit()
    return { assigned, interfaces: [interfaceOf(own, ctx.call.netns)] }
  }

  return { record, given, setUp, close: () => peer.close() }
}
