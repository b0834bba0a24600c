/** What is written down of a link between two containers that meet by its name. */
import type { Netns } from '../netns/netns.ts'
import { bootId } from '../netns/netns.ts'
import type { EndSpec } from './endpoint.ts'
import { DEFAULT_TX_QUEUE_LENGTH } from './endpoint.ts'
import { randomMac } from './mac.ts'
import { keyOf } from './marks.ts'

export interface LinkIdentity {
  readonly network: string
  readonly name: string
}

/** A container that holds an end. */
export interface Occupant {
  /** Key of the attachment. */
  readonly owner: string
  /** In words, for messages. */
  readonly who: string
  /** What the caller knows the attachment by; only handed back. */
  readonly id: string
  readonly path: string
  readonly cookie: string
  readonly spec: EndSpec
  /** Null until the kernel has given one. */
  index: number | null
  /** On its way out: the end is to be parked, or already is. */
  leaving: boolean
}

export interface LinkEnd {
  /** The end's name in the netconf, null where ends have none. */
  readonly label: string | null
  /** Belongs to the end and comes back with it. */
  mac: string
  readonly parkedName: string
  occupant: Occupant | null
}

export interface LinkRecord {
  readonly bootId: string
  /** Cookie of the host's namespace. */
  readonly host: string
  readonly network: string
  readonly name: string
  /** Bytes; the first ADD sets it for both ends. */
  readonly mtu: number
  readonly ends: readonly [LinkEnd, LinkEnd]
  /** The pair is being made: what is found of it may be half made. */
  building: boolean
}

/** Names a link on one host: two hosts, or two networks, may use the same link name. */
export function linkKeyOf(hostCookie: string, { network, name }: LinkIdentity): string {
  return keyOf('link', hostCookie, network, name)
}

export function newLinkRecord(
  host: Netns,
  identity: LinkIdentity,
  labels: readonly [string, string] | null,
  macs: readonly [string | undefined, string | undefined],
  mtu: number,
): LinkRecord {
  const key = linkKeyOf(host.cookie, identity)
  const end = (slot: 0 | 1): LinkEnd => ({
    label: labels?.[slot] ?? null,
    mac: macs[slot] ?? randomMac(),
    // A name that network managers leave alone, unique by hash.
    parkedName: `vethp${keyOf(key, String(slot)).slice(0, 10)}`,
    occupant: null,
  })
  return { bootId: bootId(), host: host.cookie, ...identity, mtu, ends: [end(0), end(1)], building: true }
}

/** What an end is while nobody holds it. */
export function parkedSpec(record: LinkRecord, end: LinkEnd): EndSpec {
  return {
    ifName: end.parkedName,
    mac: end.mac,
    mtu: record.mtu,
    txQueueLength: DEFAULT_TX_QUEUE_LENGTH,
    addresses: [],
    routes: [],
  }
}

/** Throws unless the value is a whole record; ours are the only writers, so this guards against truncation. */
export function parseLinkRecord(value: unknown): LinkRecord {
  const whole =
    typeof value === 'object' &&
    value !== null &&
    'ends' in value &&
    Array.isArray(value.ends) &&
    value.ends.length === 2
  if (!whole) throw new TypeError('not a link record')
  return value as LinkRecord
}
