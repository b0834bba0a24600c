/** Many wires planned together: what can be refused is refused, for all of them, before the first change. */
import { randomInt } from 'node:crypto'
import { listAddresses } from '../netlink/address.ts'
import { listLinks } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { addressClashes, nameClashes, sharedMacs } from './bulk-clash.ts'
import { type Finding, fail, finding, type Side, type Whose } from './bulk-error.ts'
import { byNetns } from './bulk-netns.ts'
import { parseAlias } from './marks.ts'
import { validateEnd, validatePair } from './validate.ts'
import type { WireEnd } from './wire.ts'

/**
 * Where the ifindexes of bulk wires begin. The kernel counts its own up from 1 and would have to make this many
 * interfaces in one namespace to come here, so nobody takes one between the plan and the creation.
 */
const FIRST_INDEX = 2 ** 24
const LAST_INDEX = 2 ** 30

export interface WantedWire {
  readonly a: WireEnd
  readonly b: WireEnd
  /** Of {@link aliasOf}; its words name the link in errors. */
  readonly alias: string
}

export interface PlannedEnd extends WireEnd {
  /** The link's place in what was wanted. */
  readonly link: number
  readonly label: string
  readonly side: Side
  readonly alias: string
  /** The ifindex that it is going to have: it can be written down before there is anything. */
  readonly index: number
}

export interface PlannedWire extends Whose {
  /** The creating message is sent in this end's namespace, and it bears the mark from that send on. */
  readonly a: PlannedEnd
  readonly b: PlannedEnd
}

export interface WiresPlan {
  readonly wires: readonly PlannedWire[]
}

/**
 * Validates all wires, each by itself as {@link planWire} does, against each other, and against the names and
 * addresses that their namespaces have (two dumps each); chooses the ifindexes; changes nothing.
 *
 * @throws WiresError with everything that was found, in the order of the links
 */
export function planWires(wanted: readonly WantedWire[]): WiresPlan {
  const drafts = wanted.map(draft)
  const findings = drafts.flatMap(faults)
  const faulty = new Set(findings.map(({ link }) => link))
  const ends = drafts.filter(({ link }) => !faulty.has(link)).flatMap(({ a, b }) => [a, b])
  findings.push(...sharedMacs(ends))
  for (const { netns, items } of byNetns(ends, (end) => end.netns)) {
    const links = netns.socket.dump(listLinks())
    findings.push(...nameClashes(items, links))
    const withAddresses = items.some(({ spec }) => spec.addresses.length > 0)
    if (withAddresses) findings.push(...addressClashes(items, netns.socket.dump(listAddresses())))
    chooseIndexes(items, links)
  }
  fail(findings.toSorted((one, another) => one.link - another.link))
  return { wires: drafts }
}

type Draft<T> = { -readonly [Key in keyof T]: T[Key] }
type DraftEnd = Draft<PlannedEnd>

function draft({ a, b, alias }: WantedWire, link: number) {
  const label = (parseAlias(alias)?.words ?? alias) || String(link)
  const end = (from: WireEnd, side: Side): DraftEnd => ({ ...from, link, label, side, alias, index: 0 })
  return { link, label, a: end(a, 'a'), b: end(b, 'b') }
}

/** What is wrong with a wire by itself. */
function faults({ a, b, ...whose }: PlannedWire): Finding[] {
  const findings: Finding[] = []
  const attempt = (about: Whose, validate: () => void) => {
    try {
      validate()
    } catch (error) {
      findings.push(finding(about, error))
    }
  }
  for (const end of [a, b]) attempt(end, () => validateEnd(end.spec))
  if (findings.length === 0) attempt(whose, () => validatePair(a.spec, b.spec))
  return findings
}

/** One after the other, for the kernel keeps them in a tree; from a random one on, for plans made at the same time. */
function chooseIndexes(ends: readonly DraftEnd[], links: readonly Link[]): void {
  const taken = new Set(links.map(({ index }) => index))
  const free = (first: number) => ends.every((_, offset) => !taken.has(first + offset))
  let first: number
  do first = randomInt(FIRST_INDEX, LAST_INDEX)
  while (!free(first))
  for (const [offset, end] of ends.entries()) end.index = first + offset
}
