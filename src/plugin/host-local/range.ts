/** Ranges and sets of them: made canonical and checked, in host-local's order and words. */
import {
  type Address,
  formatAddress,
  formatSubnet,
  isIn,
  lastOf,
  networkOf,
  next,
  type Subnet,
  same,
} from './address.ts'
import { refusal } from './wording.ts'

/** A range as the configuration has it. */
export interface WrittenRange {
  subnet?: Subnet | undefined
  rangeStart?: Address | undefined
  rangeEnd?: Address | undefined
  gateway?: Address | undefined
}

export interface Range {
  readonly subnet: Subnet
  /** Both ends belong to it. */
  readonly start: Address
  readonly end: Address
  /** Never leased. It need not lie in the subnet, nor be of its family. */
  readonly gateway: Address
}

/** The ranges of which one ADD gets one address. */
export type RangeSet = readonly Range[]

/** @throws CniError (internal) */
function canonicalRange(written: WrittenRange): Range {
  const { subnet, rangeStart, rangeEnd } = written
  if (subnet === undefined) throw refusal('IP <nil> not v4 nor v6')
  const { address, ones, bits } = subnet
  if (ones > bits - 2) throw refusal(`Network ${formatSubnet(subnet)} too small to allocate from`)
  if (address.family === 4 && bits === 128) throw refusal('IPNet IP and Mask version mismatch')
  const network = networkOf(subnet)
  if (!same(network, address)) {
    throw refusal(
      `Network has host bits set. For a subnet mask of length ${ones} the network address is ${formatAddress(network)}`,
    )
  }
  const start = rangeStart ?? next(address)
  const endsBefore = rangeEnd !== undefined && start.value > rangeEnd.value
  if (rangeStart !== undefined && (!isIn(subnet, start) || endsBefore)) {
    throw refusal(`RangeStart ${formatAddress(start)} not in network ${formatSubnet(subnet)}`)
  }
  const end = rangeEnd ?? lastOf(subnet)
  if (rangeEnd !== undefined && (!isIn(subnet, end) || end.value < start.value)) {
    throw refusal(`RangeEnd ${formatAddress(end)} not in network ${formatSubnet(subnet)}`)
  }
  return { subnet, start, end, gateway: written.gateway ?? next(address) }
}

/** @throws CniError (internal) for an invalid range, ranges that overlap, or of both families */
export function canonicalSet(written: readonly WrittenRange[]): RangeSet {
  if (written.length === 0) throw refusal('empty range set')
  const set: Range[] = []
  for (const range of written) {
    set.push(canonicalRange(range))
    if (set[0]?.start.family !== set.at(-1)?.start.family) throw refusal('mixed address families')
  }
  for (const [index, range] of set.entries()) {
    const other = set.slice(index + 1).find((other) => overlaps(range, other))
    if (other !== undefined) {
      throw refusal(`subnets ${formatRange(range)} and ${formatRange(other)} overlap`)
    }
  }
  return set
}

function contains(range: Range, address: Address): boolean {
  return isIn(range.subnet, address) && address.value >= range.start.value && address.value <= range.end.value
}

function overlaps(a: Range, b: Range): boolean {
  return contains(a, b.start) || contains(a, b.end) || contains(b, a.start) || contains(b, a.end)
}

export function setsOverlap(a: RangeSet, b: RangeSet): boolean {
  return a.some((range) => b.some((other) => overlaps(range, other)))
}

/** The range of the set in which the address lies. */
export function rangeFor(set: RangeSet, address: Address): Range | undefined {
  return set.find((range) => contains(range, address))
}

function formatRange({ start, end }: Range): string {
  return `${formatAddress(start)}-${formatAddress(end)}`
}

/** `10.0.0.1-10.0.0.254,10.1.0.1-10.1.0.254` */
export function formatSet(set: RangeSet): string {
  return set.map(formatRange).join(',')
}

export interface Candidate {
  readonly address: Address
  readonly range: Range
}

/**
 * Every address of the set once, gateways left out: from the one after `last`, if that lies in the set, and round to
 * it; otherwise from the start.
 */
export function* candidates(set: RangeSet, last: Address | undefined): Generator<Candidate> {
  const found = last === undefined ? -1 : set.findIndex((range) => contains(range, last))
  let index = Math.max(found, 0)
  let range = set[index]
  let address = found < 0 || last === undefined ? range?.start : after(last)
  const first = address
  while (range !== undefined && address !== undefined) {
    if (!same(address, range.gateway)) yield { address, range }
    address = after(address)
    if (first !== undefined && address !== undefined && same(address, first)) return
  }

  function after(current: Address): Address | undefined {
    if (range === undefined || !same(current, range.end)) return next(current)
    index = (index + 1) % set.length
    range = set[index]
    return range?.start
  }
}
