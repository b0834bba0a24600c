/** What differs between what was wanted and what the kernel holds, one sentence a difference. */

import { getTxOffload } from '../netlink/ethtool.ts'
import type { Link } from '../netlink/link-info.ts'
import type { KernelRoute } from '../netlink/route.ts'
import { RT_TABLE_MAIN } from '../netlink/route.ts'
import type { Netns } from '../netns/netns.ts'
import { readSysctl } from '../netns/sysctl.ts'
import { formatCidr, networkOf, parseCidr, parseDestination, parseIp } from './cidr.ts'
import type { RouteSpec } from './endpoint.ts'
import { routeText } from './endpoint.ts'
import { type Inspection, inspect } from './inspect.ts'

/** Greater metrics of a route are cut down to these (net/ipv4/metrics.c). */
const ROUTE_MTU_MAX = 65535 - 15
const ROUTE_ADVMSS_MAX = 65535 - 40

/** What is looked at; whatever is absent is not compared. */
export interface Expectation {
  readonly mac?: string
  readonly mtu?: number
  readonly txQueueLength?: number
  readonly up?: boolean
  readonly carrier?: boolean
  readonly addresses?: readonly { readonly address: string; readonly noPrefixRoute?: boolean }[]
  readonly routes?: readonly RouteSpec[]
  readonly txOffload?: boolean
  readonly sysctls?: Readonly<Record<string, string>>
}

/** @returns no sentence if all is as expected */
export function differences(
  netns: Netns,
  link: Link,
  expected: Expectation,
  found: Inspection = inspect(netns, link),
): string[] {
  const where = `${link.name} in ${netns.label}`
  const says: string[] = []
  if (expected.mac !== undefined && expected.mac.toLowerCase() !== link.mac) {
    says.push(`MAC of ${where} is ${link.mac}, expected ${expected.mac}`)
  }
  if (expected.mtu !== undefined && expected.mtu !== link.mtu) {
    says.push(`MTU of ${where} is ${link.mtu}, expected ${expected.mtu}`)
  }
  if (expected.txQueueLength !== undefined && expected.txQueueLength !== link.txQueueLength) {
    says.push(`qlen of ${where} is ${link.txQueueLength}, expected ${expected.txQueueLength}`)
  }
  if (expected.up && !link.up) says.push(`${where} is down, expected up`)
  if (expected.carrier && link.up && !link.carrier) says.push(`${where} has no carrier`)
  for (const { address } of expected.addresses ?? []) says.push(...missingAddress(found, address, where))
  for (const route of expected.routes ?? []) says.push(...missingRoute(found, route, netns.label))
  says.push(...settingDifferences(netns, link, expected, where))
  return says
}

function missingAddress(found: Inspection, address: string, where: string): string[] {
  const wanted = parseCidr(address)
  const match = found.addresses.find(
    ({ bytes, prefix }) => bytes.equals(wanted.bytes) && prefix === wanted.prefix,
  )
  if (match === undefined) return [`address ${address} is missing from ${where}`]
  if (match.dadFailed) return [`address ${address} of ${where} is also used by another node (DAD failed)`]
  return []
}

/** A route to the network of each address must exist, whoever made it. */
export function missingNetworkRoutes(
  { link, routes }: Inspection,
  addresses: readonly string[],
  where: string,
): string[] {
  return addresses.flatMap((address) => {
    const network = networkOf(parseCidr(address))
    if (network.prefix === network.bytes.length * 8) return []
    const found = routes.some(({ dst, prefix }) => dst.equals(network.bytes) && prefix === network.prefix)
    return found ? [] : [`route to ${formatCidr(network)} over ${link.name} is missing in ${where}`]
  })
}

function missingRoute(found: Inspection, route: RouteSpec, where: string): string[] {
  const candidates = found.routes.filter((candidate) => isSame(candidate, route, found.link.index))
  if (candidates.length === 0) return [`route ${routeText(route)} is missing in ${where}`]
  const mtu = route.mtu && Math.min(route.mtu, ROUTE_MTU_MAX)
  const advmss = route.advmss && Math.min(route.advmss, ROUTE_ADVMSS_MAX)
  const exact = candidates.some(
    (candidate) => (!mtu || candidate.mtu === mtu) && (!advmss || candidate.advmss === advmss),
  )
  return exact ? [] : [`route ${routeText(route)} in ${where} has another mtu or advmss than wanted`]
}

function isSame(candidate: KernelRoute, route: RouteSpec, index: number): boolean {
  const dst = parseDestination(route.dst)
  if (candidate.table !== (route.table ?? RT_TABLE_MAIN)) return false
  if (candidate.prefix !== dst.prefix || !candidate.dst.equals(dst.bytes)) return false
  if (route.priority && candidate.priority !== route.priority) return false
  if (route.scope !== undefined && dst.family === 4 && candidate.scope !== route.scope) return false
  if (route.gw === undefined) return true
  const gateway = parseIp(route.gw).bytes
  return candidate.hops.some((hop) => hop.index === index && hop.gateway?.equals(gateway) === true)
}

function settingDifferences(netns: Netns, link: Link, expected: Expectation, where: string): string[] {
  const { txOffload, sysctls = {} } = expected
  if (txOffload === undefined && Object.keys(sysctls).length === 0) return []
  return netns.inside(() => {
    const says: string[] = []
    for (const [path, value] of Object.entries(sysctls)) {
      const actual = readSysctl(path.split('/'))
      if (actual === undefined || !isSameSetting(path, actual, value))
        says.push(`sysctl ${path} of ${where} is ${actual ?? 'missing'}, expected ${value}`)
    }
    if (txOffload !== undefined && getTxOffload(netns.socket.fd, link.name) !== txOffload) {
      says.push(
        `TX checksum offload of ${where} is ${txOffload ? 'off' : 'on'}, expected ${txOffload ? 'on' : 'off'}`,
      )
    }
    return says
  })
}

/** The kernel keeps numbers, not their spelling, and times as jiffies. */
function isSameSetting(path: string, actual: string, wanted: string): boolean {
  const [a, b] = [numberOf(actual), numberOf(wanted)]
  if (a !== undefined && b !== undefined) return Math.abs(a - b) < precisionOf(path)
  return actual.trim().replace(/\s+/g, ' ') === wanted.trim().replace(/\s+/g, ' ')
}

/** A number as the kernel reads it, which is as C does: 0x10 is 16 and 010 is 8. */
function numberOf(text: string): number | undefined {
  const [, sign, digits = ''] = /^\s*(-?)(0x[\da-f]+|\d+)\s*$/i.exec(text) ?? []
  if (sign === undefined) return undefined
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits)
  return sign === '-' ? -value : value
}

/** Up to a jiffy, at most 10 ms, is lost of times in milliseconds; of those in hundredths of a second, one. */
function precisionOf(path: string): number {
  const key = path.slice(path.lastIndexOf('/') + 1)
  if (/_ms$|^mldv[12]_unsolicited_report_interval$/.test(key)) return 10
  return /^(anycast_delay|locktime|proxy_delay|retrans_time)$/.test(key) ? 2 : 1
}
