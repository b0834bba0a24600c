/** From netconf and IPAM's answer to what each end is to be. */
import { CniError, Code } from '../cni/error.ts'
import type { Dns, Result, ResultIp } from '../cni/result.ts'
import {
  canonicalCidr,
  canonicalIp,
  contains,
  formatCidr,
  networkOf,
  parseCidr,
  parseIp,
} from '../koko/cidr.ts'
import {
  type AddressSpec,
  DEFAULT_TX_QUEUE_LENGTH,
  type EndSpec,
  type RouteSpec,
  routeText,
} from '../koko/endpoint.ts'
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

const SCOPE_LINK = 253
const SCOPE_HOST = 254

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
): Pick<EndSpec, 'ifName' | 'txQueueLength' | 'txOffload' | 'sysctls'> {
  return {
    ifName,
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

const familyOf = (address: string) => (address.includes(':') ? 6 : 4)

/** A route without a gateway goes to the first gateway of its family, unless its scope says "on this link". */
export function resolveRoutes(
  routes: readonly RouteSpec[],
  gatewayOf: (family: 4 | 6) => string | undefined,
): RouteSpec[] {
  return routes.map((route) => {
    if (route.gw !== undefined || (route.scope ?? 0) >= SCOPE_LINK) return route
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
    const src = canonicalIp(address.slice(0, address.lastIndexOf('/')))
    const scope = cidr.family === 4 ? { scope: SCOPE_LINK } : {}
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
    const scope = gateway === undefined ? SCOPE_LINK : SCOPE_HOST
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
