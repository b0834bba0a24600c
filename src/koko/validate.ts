/** Everything about an end that can be refused without asking the kernel. */
import { contains, type Ip, parseCidr, parseDestination, parseIp } from './cidr.ts'
import type { EndSpec, RouteSpec } from './endpoint.ts'
import { routeText } from './endpoint.ts'
import { invalid } from './error.ts'
import { parseMac } from './mac.ts'

const IFNAMSIZ = 16
/** A veth's bounds (drivers/net/veth.c: ETH_MIN_MTU, ETH_MAX_MTU). */
export const MIN_MTU = 68
export const MAX_MTU = 65535
const IPV6_MIN_MTU = 1280
const UINT32_MAX = 0xffffffff

/** @throws WireError ('invalid') if the kernel would not take this interface name (net/core/dev.c, dev_valid_name) */
export function validateIfName(name: string): void {
  const quoted = JSON.stringify(name)
  if (name === '') throw invalid('the interface name is empty')
  if (Buffer.byteLength(name) >= IFNAMSIZ) throw invalid(`interface name ${quoted} is longer than 15 bytes`)
  if (name === '.' || name === '..' || name === 'all' || name === 'default') {
    throw invalid(`interface name ${quoted} is reserved`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[/:\s%\0-\x1f\x7f]/.test(name)) {
    throw invalid(`interface name ${quoted} holds a character that names may not have`)
  }
}

/** @throws WireError ('invalid') */
export function validateEnd(end: EndSpec): void {
  validateIfName(end.ifName)
  parseMac(end.mac)
  if (!Number.isInteger(end.mtu) || end.mtu < MIN_MTU || end.mtu > MAX_MTU) {
    throw invalid(`MTU ${end.mtu} of ${end.ifName} is out of range`, `a veth takes ${MIN_MTU} to ${MAX_MTU}`)
  }
  validateUint32(end.txQueueLength, `qlen of ${end.ifName}`)
  const seen = new Set<string>()
  for (const { address } of end.addresses) {
    const cidr = parseCidr(address)
    const key = cidr.bytes.toString('hex')
    if (seen.has(key)) throw invalid(`address ${address} is given twice for ${end.ifName}`)
    seen.add(key)
    if (cidr.bytes.every((byte) => byte === 0)) throw invalid(`address ${address} is no host address`)
    const first = cidr.bytes[0] ?? 0
    if (cidr.family === 4 ? first >= 224 : first === 0xff) {
      throw invalid(`address ${address} is not a unicast address`)
    }
    if (cidr.family === 6 && end.mtu < IPV6_MIN_MTU) {
      throw invalid(
        `MTU ${end.mtu} of ${end.ifName} is too small for IPv6`,
        `it needs at least ${IPV6_MIN_MTU}`,
      )
    }
  }
  const routes = new Set<string>()
  for (const route of end.routes) {
    validateRoute(end, route)
    const key = routeText(route)
    if (routes.has(key)) throw invalid(`route ${key} is given twice for ${end.ifName}`)
    routes.add(key)
  }
}

/** @throws WireError ('invalid') if both ends could not stand on one wire */
export function validatePair(a: EndSpec, b: EndSpec): void {
  if (a.mac === b.mac) throw invalid(`both ends have the MAC address ${a.mac}`)
  const ofB = new Set(b.addresses.map(({ address }) => parseCidr(address).bytes.toString('hex')))
  for (const { address } of a.addresses) {
    if (ofB.has(parseCidr(address).bytes.toString('hex'))) {
      throw invalid(`address ${address} is given to both ends of the wire`)
    }
  }
}

function validateRoute(end: EndSpec, route: RouteSpec): void {
  const text = routeText(route)
  const dst = parseDestination(route.dst)
  if (route.gw !== undefined) {
    const gateway = parseIp(route.gw)
    if (gateway.family !== dst.family)
      throw invalid(`route ${text}: gateway and destination differ in family`)
    if (!route.onlink && !reachable(end, gateway)) {
      throw invalid(
        `route ${text}: gateway ${route.gw} is in no network of ${end.ifName}`,
        'give the interface an address in that network, or the route "onlink": true',
      )
    }
  }
  if (route.src !== undefined && parseIp(route.src).family !== dst.family) {
    throw invalid(`route ${text}: source ${route.src} and destination differ in family`)
  }
  for (const key of ['mtu', 'advmss', 'priority', 'table'] as const) {
    const value = route[key]
    if (value !== undefined) validateUint32(value, `${key} of route ${text}`)
  }
  const { scope } = route
  if (scope !== undefined && (!Number.isInteger(scope) || scope < 0 || scope > 255)) {
    throw invalid(`scope ${scope} of route ${text} is out of range`, '0 is universe, 253 link, 254 host')
  }
}

/** A gateway can be used if an address' network or an earlier link route holds it. */
function reachable(end: EndSpec, gateway: Ip): boolean {
  const own = end.addresses.map(({ address }) => parseCidr(address))
  const linked = end.routes.filter((route) => route.gw === undefined).map(({ dst }) => parseCidr(dst))
  const linkLocal =
    gateway.family === 6 && gateway.bytes[0] === 0xfe && ((gateway.bytes[1] ?? 0) & 0xc0) === 0x80
  return linkLocal || [...own, ...linked].some((network) => contains(network, gateway))
}

function validateUint32(value: number, what: string): void {
  if (!Number.isInteger(value) || value < 0 || value > UINT32_MAX) {
    throw invalid(`${what} is out of range: ${value}`)
  }
}
