/** Host mode: the other end is in the host's namespace. What `ptp` does, observably. */
import { CniError, Code } from '../cni/error.ts'
import { DEFAULT_MTU, DEFAULT_TX_QUEUE_LENGTH, type EndSpec } from '../koko/endpoint.ts'
import { randomMac } from '../koko/mac.ts'
import { hostIfNameOf } from '../koko/marks.ts'
import { validateEnd, validateIfName } from '../koko/validate.ts'
import {
  applyWire,
  planWire,
  refuseTaken,
  refuseTakenAddresses,
  refuseTakenName,
  type WireEnd,
  type WirePlan,
} from '../koko/wire.ts'
import { getLinkByName } from '../netlink/link.ts'
import type { Netns } from '../netns/netns.ts'
import { readSysctl, writeSysctl } from '../netns/sysctl.ts'
import { type Context, newRecord, recordedEnd } from './attachment.ts'
import { type Driver, interfaceOf, type Made, type Prepared, reconfigure, type Setup } from './driver.ts'
import { containerEnd, hostEnd } from './ends.ts'
import { addMasquerade } from './masquerade.ts'
import { ipamType } from './netconf.ts'
import { type Assigned, assignedByConf, baseSpec, requestedMac } from './wanted.ts'

const HOST_NAME_TRIES = 10

interface Ends {
  readonly container: EndSpec
  readonly host: EndSpec
}

export const hostDriver: Driver = {
  prepare(ctx: Context): Prepared {
    const { conf, host, netns, identity } = ctx
    const mtu = conf.mtu || DEFAULT_MTU
    const base: Omit<EndSpec, 'addresses' | 'routes'> = {
      ...baseSpec(conf, identity.ifName),
      mac: requestedMac(conf, ctx.args, conf) ?? randomMac(),
      mtu,
    }
    const ifName = hostIfName(ctx)
    const hostBase = {
      ifName,
      mac: randomMac(),
      mtu,
      txQueueLength: DEFAULT_TX_QUEUE_LENGTH,
      readyLinkLocal: true as const,
      ...(base.txOffload === undefined ? {} : { txOffload: base.txOffload }),
      ...acceptNoAdvertisements(host, ifName),
    }
    const endsOf = (assigned: Assigned): Ends => ({
      container: { ...base, ...containerEnd(assigned) },
      host: { ...hostBase, ...hostEnd(assigned) },
    })
    const given = assignedByConf(conf, conf)
    const early = endsOf(given)
    // What IPAM will add cannot be known yet; a route may depend on it.
    validateEnd(ipamType(conf) === undefined ? early.container : { ...early.container, routes: [] })
    planEnds(ctx, { container: { ...early.container, routes: [] }, host: early.host })
    refuseTaken({ netns, spec: early.container })

    const record = newRecord(ctx, recordedEnd(netns, base), recordedEnd(host, hostBase))

    async function setUp(setup: Setup): Promise<Made> {
      const bare = {
        container: { ...base, addresses: [], routes: [] },
        host: { ...hostBase, addresses: [], routes: [] },
      }
      let assigned: Assigned | undefined = setup.linkFirst ? undefined : await setup.assign(conf)
      let ends = assigned === undefined ? bare : endsOf(assigned)
      refuseTakenAddresses({ netns, spec: ends.container })
      ctx.proceed('wire')
      const wire = applyWire(planEnds(ctx, ends))
      if (assigned === undefined) {
        assigned = await setup.assign(conf)
        ends = endsOf(assigned)
        const { anchor, other } = planned(ctx, ends)
        refuseTakenAddresses(other)
        reconfigure(anchor, wire.anchor, identity.alias)
        reconfigure(other, wire.other, identity.alias)
      }
      enableForwarding(host, assigned)
      ctx.proceed('finish')
      await addMasquerade(ctx, record.masquerade, identity, hostBase.ifName, assigned)
      record.own = { ...recordedEnd(netns, base), index: wire.other, spec: ends.container }
      record.other = { ...recordedEnd(host, hostBase), index: wire.anchor, spec: ends.host }
      setup.commit()
      return { assigned, interfaces: [interfaceOf(ends.host), interfaceOf(ends.container, ctx.call.netns)] }
    }

    return { record, given, setUp, close() {} }
  },
}

function planned(ctx: Context, ends: Ends): { anchor: WireEnd; other: WireEnd } {
  return {
    anchor: { netns: ctx.host, spec: ends.host, ownName: !ctx.conf.hostIfName },
    other: { netns: ctx.netns, spec: ends.container, withLoopback: true },
  }
}

function planEnds(ctx: Context, ends: Ends): WirePlan {
  const { anchor, other } = planned(ctx, ends)
  return planWire(anchor, other, ctx.identity.alias)
}

/** The name asked for, or the first one derived from the attachment that nothing on the host has. */
function hostIfName({ conf, host, identity }: Context): string {
  if (conf.hostIfName) {
    validateIfName(conf.hostIfName)
    refuseTakenName(host, conf.hostIfName)
    return conf.hostIfName
  }
  for (let attempt = 0; attempt < HOST_NAME_TRIES; attempt += 1) {
    const name = hostIfNameOf(identity.key, attempt)
    if (host.socket.request(getLinkByName(name)).length === 0) return name
  }
  throw new CniError(Code.internal, `no free host interface name for ${identity.words}`, 'set "hostIfName"')
}

function enableForwarding(host: Netns, assigned: Assigned): void {
  const families = new Set(assigned.addresses.map(({ address }) => (address.includes(':') ? 6 : 4)))
  host.inside(() => {
    if (families.has(4)) writeSysctl(['net', 'ipv4', 'ip_forward'], '1')
    if (families.has(6)) writeSysctl(['net', 'ipv6', 'conf', 'all', 'forwarding'], '1')
  })
}

/** The kernel has IPv6; it cannot be removed from a running one. */
let hasIpv6 = false

/** A container must not be able to advertise routes to its host. Nothing to set where the host has no IPv6. */
function acceptNoAdvertisements(host: Netns, ifName: string): Pick<EndSpec, 'sysctls'> {
  hasIpv6 ||= host.inside(() => readSysctl(['net', 'ipv6', 'conf', 'default', 'accept_ra']) !== undefined)
  if (!hasIpv6) return {}
  return { sysctls: { [`net/ipv6/conf/${ifName}/accept_ra`]: '0' } }
}
