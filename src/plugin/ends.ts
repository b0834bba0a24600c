/** What the two ends of a wire are given: addresses, and the routes that lead where they should. */

import { canonicalIp, contains, formatCidr, ipOf, networkOf, parseCidr, parseIp } from '../koko/cidr.ts'
import type { AddressSpec, EndSpec, RouteSpec } from '../koko/endpoint.ts'
import { routeText } from '../koko/endpoint.ts'
import { invalid } from '../koko/error.ts'
import { RT_SCOPE_HOST, RT_SCOPE_LINK } from '../netlink/route.ts'
import type { GivenAddress } from './netconf.ts'
import type { Assigned } from './wanted.ts'

const familyOf = (address: string) => (address.includes(':') ? 6 : 4)

/** A route without a gateway goes to the first gateway of its family, unless its scope says "on this link". */
export function resolveRoutes(
  routes: readonly RouteSpec[],
  gatewayOf: (family: 4 | 6) => string | undefined,
): RouteSpec[] {
  return routes.map((route) => {
    if (route.gw !== undefined || (route.scope ?? 0) >= RT_SCOPE_LINK) return route
    const gw = gatewayOf(familyOf(route.dst))
    return gw === undefined ? route : { ...route, gw }
  })
}

export function firstGateway(addresses: readonly GivenAddress[]): (family: 4 | 6) => string | undefined {
  return (family) =>
    addresses.find(({ address, gateway }) => gateway && familyOf(address) === family)?.gateway
}

/** Both ends of a plain wire: addresses with the kernel's own network routes, then the routes given. */
export function plainEnd(assigned: Assigned): Pick<EndSpec, 'addresses' | 'routes'> {
  checkGateways(assigned.addresses)
  return {
    addresses: assigned.addresses.map(({ address }) => ({ address })),
    routes: resolveRoutes(assigned.routes, firstGateway(assigned.addresses)),
  }
}

/**
 * The container's end in host mode, as ptp has it: everything goes through the host, so a route to the gateway
 * alone is on the link and the network's own route leads to the gateway.
 */
export function containerEnd(assigned: Assigned): Pick<EndSpec, 'addresses' | 'routes'> {
  checkGateways(assigned.addresses)
  const addresses: AddressSpec[] = []
  const viaHost: RouteSpec[] = []
  for (const { address, gateway } of assigned.addresses) {
    const cidr = parseCidr(address)
    const whole = cidr.bytes.length * 8
    addresses.push(gateway && cidr.prefix < whole ? { address, noPrefixRoute: true } : { address })
    if (gateway === undefined) continue
    const src = canonicalIp(ipOf(address))
    const scope = cidr.family === 4 ? { scope: RT_SCOPE_LINK } : {}
    viaHost.push({ dst: `${gateway}/${whole}`, src, ...scope })
    if (cidr.prefix < whole) viaHost.push({ dst: formatCidr(networkOf(cidr)), gw: gateway, src })
  }
  const gateways = new Set(assigned.addresses.map(({ gateway }) => gateway))
  const given = resolveRoutes(assigned.routes, firstGateway(assigned.addresses)).map((route) => {
    // Another gateway of the network is on the link, although the network's route no longer says so.
    const elsewhere = route.gw !== undefined && !gateways.has(canonicalIp(route.gw))
    return elsewhere && insideNetworks(assigned.addresses, route.gw ?? '')
      ? { ...route, onlink: true }
      : route
  })
  return { addresses, routes: mergeRoutes(unique(viaHost), given) }
}

/** A given route to where one of ours leads already says only how: with which MTU and MSS. */
function mergeRoutes(own: readonly RouteSpec[], given: readonly RouteSpec[]): RouteSpec[] {
  const isOwn = (route: RouteSpec) => own.find((other) => routeText(other) === routeText(route))
  const merged = own.map((route) => ({ ...given.find((other) => isOwn(other) === route), ...route }))
  return [...merged, ...given.filter((route) => isOwn(route) === undefined)]
}

function insideNetworks(addresses: readonly GivenAddress[], gw: string): boolean {
  const ip = parseIp(gw)
  return addresses.some(({ address }) => contains(parseCidr(address), ip))
}

/** The host's end: each gateway as a host address, each container address as a host route. */
export function hostEnd(assigned: Assigned): Pick<EndSpec, 'addresses' | 'routes'> {
  const addresses = new Set<string>()
  const routes: RouteSpec[] = []
  for (const { address, gateway } of assigned.addresses) {
    const { family, bytes } = parseCidr(address)
    const whole = bytes.length * 8
    if (gateway !== undefined) addresses.add(`${gateway}/${whole}`)
    // A source for the host's own packets needs an address on the end; without one any other will do.
    const scope = gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_HOST
    routes.push({
      dst: formatCidr({ family, bytes, prefix: whole }),
      ...(family === 4 ? { scope } : {}),
      exclusive: true,
    })
  }
  return { addresses: [...addresses].map((address) => ({ address })), routes }
}

function unique(routes: readonly RouteSpec[]): RouteSpec[] {
  return [...new Map(routes.map((route) => [routeText(route), route])).values()]
}

function checkGateways(addresses: readonly GivenAddress[]): void {
  for (const { address, gateway } of addresses) {
    if (gateway === undefined) continue
    const cidr = parseCidr(address)
    const ip = parseIp(gateway)
    if (ip.family !== cidr.family) throw invalid(`gateway ${gateway} of ${address} is of the other family`)
    if (ip.bytes.equals(cidr.bytes))
      throw invalid(`gateway ${gateway} is the container's own address ${address}`)
    const single = cidr.prefix === cidr.bytes.length * 8
    const linkLocal = gateway.startsWith('fe80:')
    if (!single && !linkLocal && !contains(cidr, ip)) {
      throw invalid(`gateway ${gateway} is outside ${formatCidr(networkOf(cidr))}, the network of ${address}`)
    }
  }
}
