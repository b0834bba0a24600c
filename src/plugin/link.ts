/** Link mode: two containers of one network meet by a link name. */

import { CniError, Code } from '../cni/error.ts'
import { ipOf, parseCidr } from '../koko/cidr.ts'
import { DEFAULT_MTU, type EndSpec, type RouteSpec } from '../koko/endpoint.ts'
import { invalid } from '../koko/error.ts'
import { parseMac, randomMac } from '../koko/mac.ts'
import { validateEnd } from '../koko/validate.ts'
import { refuseTaken } from '../koko/wire.ts'
import { RT_SCOPE_LINK } from '../netlink/route.ts'
import { type Context, newRecord, openRendezvous, recordedEnd } from './attachment.ts'
import { type Driver, interfaceOf, type Made, type Prepared, type Setup } from './driver.ts'
import { firstGateway, resolveRoutes } from './ends.ts'
import { type EndConf, type GivenAddress, givenAddresses, ipamType } from './netconf.ts'
import { type Assigned, assignedByConf, baseSpec, requestedMac } from './wanted.ts'

interface ChosenEnd {
  readonly labels: readonly [string, string] | null
  readonly label: string | null
  readonly own: EndConf
  readonly other: EndConf
}

export const linkDriver: Driver = {
  prepare(ctx: Context): Prepared {
    const { conf, netns, identity, call } = ctx
    if (!conf.link) throw invalid('link mode needs a "link"')
    const { name } = conf.link
    const chosen = chooseEnd(ctx)
    const mac = requestedMac(conf, ctx.args, chosen.own)
    const otherMac = chosen.other.mac ? parseMac(chosen.other.mac) : undefined
    const specOf = (assigned: Assigned) => ({
      ...baseSpec(conf, identity.ifName),
      addresses: assigned.addresses.map(({ address }) => ({ address })),
      routes: linkRoutes(assigned, givenAddresses(chosen.other), name),
    })
    const early = assignedByConf(conf, chosen.own)
    const ipam = ipamType(conf)
    const earlySpec: EndSpec = {
      ...specOf(ipam === undefined ? early : { ...early, routes: [] }),
      mac: mac ?? randomMac(),
      mtu: conf.mtu || DEFAULT_MTU,
    }
    validateEnd(earlySpec)
    refuseSameAddress(early, chosen.other)
    refuseTaken({ netns, spec: earlySpec })

    const record = newRecord(ctx, recordedEnd(netns, earlySpec), null)

    async function setUp(setup: Setup): Promise<Made> {
      // Every IPAM is asked before the end is wired: a link is never half configured in front of the other end.
      const assigned = withoutIpamGateways(await setup.assign(chosen.own), early)
      ctx.proceed('wire')
      let made: EndSpec | undefined
      await openRendezvous(ctx.state, ctx.host, ctx.caller).attach(
        {
          link: { network: identity.network, name },
          labels: chosen.labels,
          label: chosen.label,
          owner: identity.key,
          id: JSON.stringify([identity.containerID, call.ifName]),
          who: `container ${identity.containerID} (${identity.ifName})`,
          netns,
          spec: specOf(assigned),
          mac,
          mtu: conf.mtu || undefined,
          otherMac,
        },
        (link, spec) => {
          record.own = { ...recordedEnd(netns, spec), index: link.index, spec }
          made = spec
          setup.commit()
        },
      )
      if (made === undefined) throw new CniError(Code.internal, `link ${name} was not made`)
      return { assigned, interfaces: [interfaceOf(made, call.netns)] }
    }

    return { record, given: early, setUp, close() {} }
  },
}

/** An end is asked for by args.cni.end, CNI_ARGS END, the pod's name or the container's ID, in this order. */
function chooseEnd({ conf, args, identity }: Context): ChosenEnd {
  const ends = conf.link?.ends
  if (!ends) return { labels: null, label: null, own: conf, other: {} }
  const [first = '', second = ''] = Object.keys(ends)
  const labels: readonly [string, string] = [first, second]
  const asked = conf.args?.cni?.end || args.get('END')
  const candidates = asked ? [asked] : [args.get('K8S_POD_NAME'), identity.containerID]
  const label = labels.find((end) => candidates.includes(end))
  if (label === undefined) {
    const tried = candidates.filter((candidate) => candidate !== undefined).join(', ')
    throw new CniError(
      Code.invalidConfig,
      `link ${conf.link?.name} has no end for this container: it asks as ${tried}, the ends are ${first} and ${second}`,
      'name the end in args.cni.end or CNI_ARGS END=, or call the container like the end',
    )
  }
  const other = label === first ? second : first
  return { labels, label, own: ends[label] ?? {}, other: ends[other] ?? {} }
}

/** The netconf names both ends, so what they cannot both have is refused before the first one comes. */
function refuseSameAddress(own: Assigned, other: EndConf): void {
  const theirs = givenAddresses(other).map(({ address }) => parseCidr(address).bytes)
  const same = own.addresses.find(({ address }) =>
    theirs.some((bytes) => bytes.equals(parseCidr(address).bytes)),
  )
  if (same !== undefined) throw invalid(`address ${same.address} is given to both ends of the link`)
}

/** An IPAM gateway would be neither of the two containers; one that the netconf gives is meant. */
function withoutIpamGateways(assigned: Assigned, given: Assigned): Assigned {
  const own = new Set(given.addresses)
  return {
    ...assigned,
    addresses: assigned.addresses.map((entry) => (own.has(entry) ? entry : { address: entry.address })),
  }
}

/** A route needs a gateway that is the other container, or to say that it ends on the link. */
function linkRoutes(assigned: Assigned, other: readonly GivenAddress[], name: string): RouteSpec[] {
  const gatewayOf = (family: 4 | 6): string | undefined => {
    const given = firstGateway(assigned.addresses)(family)
    if (given !== undefined) return given
    const peer = other.find(({ address }) => parseCidr(address).family === family)
    return peer && ipOf(peer.address)
  }
  return resolveRoutes(assigned.routes, gatewayOf).map((route) => {
    if (route.gw === undefined && (route.scope ?? 0) < RT_SCOPE_LINK) {
      throw invalid(
        `route ${route.dst} on link ${name} has no gateway`,
        'give it "gw": the other end\'s address, or "scope": 253 for a route that ends on the link',
      )
    }
    return route
  })
}
