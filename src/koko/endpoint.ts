/** What one end of a wire is to be. Plain data, so that it can be recorded and compared later. */

export interface AddressSpec {
  /** CIDR, canonical: `10.0.0.1/24`. */
  readonly address: string
  /** Leave out the kernel's route to the prefix, because a route of ours takes its place. */
  readonly noPrefixRoute?: boolean
}

export interface RouteSpec {
  /** CIDR without host bits. */
  readonly dst: string
  readonly gw?: string
  /** Preferred source address. */
  readonly src?: string
  readonly mtu?: number
  readonly advmss?: number
  readonly priority?: number
  /** Routing table; main (254) if absent. */
  readonly table?: number
  /** 0 universe, 253 link, 254 host. */
  readonly scope?: number
  readonly onlink?: boolean
  /** No other route to the same destination may exist. */
  readonly exclusive?: boolean
}

export interface EndSpec {
  readonly ifName: string
  readonly mac: string
  /** Bytes. */
  readonly mtu: number
  readonly txQueueLength: number
  readonly addresses: readonly AddressSpec[]
  readonly routes: readonly RouteSpec[]
  /**
   * An IPv6 link-local address that is usable at once, also on an end for IPv4 alone. Otherwise the kernel makes one
   * there, which it probes for a second or two.
   */
  readonly readyLinkLocal?: true
  /** TX checksum offload; the kernel's default if absent. */
  readonly txOffload?: boolean
  /** Slash paths below /proc/sys, of this interface only: `net/ipv4/conf/eth0/arp_notify`. */
  readonly sysctls?: Readonly<Record<string, string>>
}

export const DEFAULT_MTU = 1500
export const DEFAULT_TX_QUEUE_LENGTH = 1000

/** In words, for messages: `10.2.0.0/16 via 10.1.0.1`. */
export function routeText(route: RouteSpec): string {
  const words = [route.dst]
  if (route.gw !== undefined) words.push('via', route.gw)
  if (route.table !== undefined && route.table !== 254) words.push('table', String(route.table))
  if (route.priority) words.push('metric', String(route.priority))
  return words.join(' ')
}
