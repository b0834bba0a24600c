/**
 * Deletes many wires at once. A deletion waits some 20 ms for RCU, whether of one interface or of a hundred: so those
 * of one namespace go as one group, in as few namespaces as will do, and the namespaces' waits overlap.
 */
import type { Netns } from '../netns/netns.ts'
import { type Finding, finding, type Whose } from './bulk-error.ts'
import { byNetns, overlapping, type Place } from './bulk-netns.ts'
import { doomedGroup, removeTogether } from './removal.ts'

/** The kernel holds rtnl while it takes a group down, some 0.3 ms a wire, and nobody else can wire then. */
const LARGEST_GROUP = 60

/**
 * Deletions under way at a time; libuv's pool may be smaller (UV_THREADPOOL_SIZE, 4). More gain little, for then rtnl
 * is what they wait for.
 */
const WIDTH = 16

/** An end that is surely of the wire. */
export interface Standing {
  readonly netns: Netns
  readonly index: number
}

/** A wire that is to go. It goes with either of its ends. */
export interface Doomed extends Whose {
  readonly ends: readonly Standing[]
}

/** A wire, and the end by which it is deleted. */
interface Hold extends Standing {
  readonly wire: Doomed
}

/** Done when the kernel is. A wire that is already gone is no failure. @returns what could not be deleted, and why */
export async function destroyWires(wires: readonly Doomed[]): Promise<Finding[]> {
  const findings: Finding[] = []
  await overlapping(cover(wires), WIDTH, async (place) => {
    findings.push(...(await empty(place)))
  })
  return findings
}

/** Each wire once, in few namespaces: the one with most of them, then the one with most of the rest, and so on. */
function cover(wires: readonly Doomed[]): Place<Hold>[] {
  const chosen: Place<Hold>[] = []
  const covered = new Set<Doomed>()
  const holds = wires.flatMap((wire) => wire.ends.map((end): Hold => ({ ...end, wire })))
  let places = byNetns(holds, ({ netns }) => netns)
  for (;;) {
    places = places.map((place) => without(place, covered)).filter(({ items }) => items.length > 0)
    const best = places.toSorted((one, another) => another.items.length - one.items.length)[0]
    if (best === undefined) return chosen
    const items = best.items.filter(({ wire }) => !covered.has(wire) && covered.add(wire))
    chosen.push({ ...best, items })
  }
}

function without({ netns, items }: Place<Hold>, covered: ReadonlySet<Doomed>): Place<Hold> {
  return { netns, items: items.filter(({ wire }) => !covered.has(wire)) }
}

/** Deletes the wires of one namespace. */
async function empty({ netns, items }: Place<Hold>): Promise<Finding[]> {
  const findings: Finding[] = []
  for (let start = 0; start < items.length; start += LARGEST_GROUP) {
    const holds = items.slice(start, start + LARGEST_GROUP)
    try {
      findings.push(...(await deleteTogether(netns, holds)))
    } catch (error) {
      findings.push(...holds.map(({ wire }) => finding(wire, error)))
    }
  }
  return findings
}

/** Those whose group cannot be deleted are tried one by one. @param group a doomed one that nobody else uses */
export async function deleteTogether(
  netns: Netns,
  holds: readonly Hold[],
  group: number = doomedGroup(),
): Promise<Finding[]> {
  const links = holds.map(({ index, wire }) => ({ index, name: wire.label }))
  const errors = await removeTogether(netns.socket, links, group)
  return holds.flatMap(({ wire }, at) => {
    const error = errors[at]
    return error === undefined ? [] : [finding(wire, error)]
  })
}
