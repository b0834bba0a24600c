/** Makes the wires of a plan, namespace by namespace: all of them, or none. */
import { fstatSync, statSync } from 'node:fs'
import type { NetlinkError } from '../netlink/error.ts'
import { createVeth, setLink } from '../netlink/link.ts'
import type { Request } from '../netlink/message.ts'
import { errorCode } from '../netlink/socket.ts'
import type { Netns } from '../netns/netns.ts'
import { OWN_NETNS } from '../netns/reference.ts'
import { destroyWires } from './bulk-destroy.ts'
import { type Finding, fail, finding, type Whose, WiresError } from './bulk-error.ts'
import { byNetns, overlapping } from './bulk-netns.ts'
import type { PlannedEnd, PlannedWire, WiresPlan } from './bulk-plan.ts'
import { WireError } from './error.ts'
import { findLinkByIndex } from './inspect.ts'
import { awaitCarrier, configurationError, endRequests, prepare, refuseTakenName, vethEnd } from './wire.ts'

/** Namespaces at a time. rtnl is one lock: but while the kernel works for one, the next one's messages are made. */
const WIDTH = 3

/**
 * Makes all wires, each as ready as {@link applyWire} leaves it; the ifindexes are those of the plan. Whatever fails,
 * what this call made is removed again. A process killed in the middle leaves nothing without our group, and nothing
 * without our alias but those ends `b` that it had yet to configure.
 *
 * @throws WiresError that names the link that failed, and after it what could not be removed, if anything
 */
export async function applyWires({ wires }: WiresPlan): Promise<void> {
  const ends = wires.flatMap(({ a, b }) => [a, b])
  const fromA = byNetns(wires, ({ a }) => a.netns)
  const toB = byNetns(
    wires.map(({ b }) => b),
    ({ netns }) => netns,
  )
  const made = new Set<PlannedWire>()
  try {
    refuseVanished(ends)
    await overlapping(fromA, WIDTH, async ({ netns, items }) => {
      await create(netns, items, made)
      const own = items.map(({ a }) => a)
      await configure(netns, own) // at once: the processor still has all of it in its cache
    })
    await overlapping(toB, WIDTH, ({ netns, items }) => configure(netns, items))
    for (const end of ends) attempt(end, () => awaitCarrier(end))
    refuseVanished(ends)
  } catch (error) {
    const findings = error instanceof WiresError ? error.findings.map((each) => explain(each, wires)) : []
    const remains = await destroyWires([...made].map(({ a, b, ...whose }) => ({ ...whose, ends: [a, b] })))
    fail([...findings, ...remains])
    throw error
  }
}

/** The wires whose ends `a` lie in this namespace. */
async function create(netns: Netns, wires: readonly PlannedWire[], made: Set<PlannedWire>): Promise<void> {
  for (const wire of wires) made.add(wire) // before it is: whatever becomes of the send, nothing is forgotten
  const refusals = await send(
    netns,
    wires.map((wire) => ({ about: wire, requests: creation(wire) })),
  )
  // A refused creation left nothing, and whoever may have the ifindex is not ours.
  for (const { about, at } of refusals) if (at === 0) made.delete(about)
  fail(refusals.map(({ about: { a, b, ...whose }, error }) => finding(whose, error)))
}

/**
 * The mark goes along, for the ifindex is known, and a kill cannot come between. Were the creation refused, and were
 * there somebody with this one of many million ifindexes, the mark would go to him; so nothing else goes along.
 */
function creation({ a, b }: PlannedWire): Request[] {
  return [
    createVeth({ ...vethEnd(a.spec), index: a.index }, { ...vethEnd(b.spec), index: b.index }, b.netns.fd),
    setLink(a.index, { alias: a.alias }, a.spec.ifName),
  ]
}

/** Ends that lie in this namespace. */
async function configure(netns: Netns, ends: readonly PlannedEnd[]): Promise<void> {
  for (const end of ends) attempt(end, () => prepare(end))
  const refusals = await send(
    netns,
    ends.map((end) => ({ about: end, requests: endRequests(end, end.index, end.alias) })),
  )
  fail(refusals.map(({ about, error }) => finding(about, configurationError(error, about))))
}

/** What is sent for one wire or end. */
interface Part<About> {
  readonly about: About
  readonly requests: readonly Request[]
}

/** The first message of a part that the kernel refused: the refusals that follow from it go without saying. */
interface Refusal<About> {
  readonly about: About
  readonly at: number
  readonly error: NetlinkError
}

/** @throws WiresError if the socket failed, and it is not known what became of the messages */
async function send<About extends Whose>(
  netns: Netns,
  parts: readonly Part<About>[],
): Promise<Refusal<About>[]> {
  const requests = parts.flatMap((part) => part.requests)
  const outcomes = await netns.socket.exchangeElsewhere(requests).catch((error: unknown): never => {
    fail(parts.map(({ about }) => finding(about, error)))
    throw error
  })
  const errors = outcomes.map(({ error }) => error).values()
  return parts.flatMap(({ about, requests }) => {
    const own = requests.map(() => errors.next().value)
    const at = own.findIndex((error) => error !== undefined)
    const error = own[at]
    return error === undefined ? [] : [{ about, at, error }]
  })
}

/** A refused creation does not say which end clashed: look on both sides. */
function explain(found: Finding, wires: readonly PlannedWire[]): Finding {
  const code = found.side === undefined ? errorCode(found.error) : undefined
  if (code !== 'EEXIST' && code !== 'EBUSY') return found
  for (const { a, b } of wires.slice(found.link, found.link + 1)) {
    for (const end of [a, b]) {
      try {
        refuseTakenName(end.netns, end.spec.ifName)
        refuseTakenIndex(end)
      } catch (taken) {
        return finding(end, taken)
      }
    }
  }
  return found
}

function refuseTakenIndex({ netns, index }: PlannedEnd): void {
  if (findLinkByIndex(netns, index) === undefined) return
  throw new WireError('exists', `ifindex ${index} was taken meanwhile in ${netns.label}`, 'plan again')
}

/**
 * Our handles keep a namespace alive whose container has died, but nobody would ever find it again.
 *
 * @throws WiresError if the path by which a namespace was opened does not lead to it any more
 */
function refuseVanished(ends: readonly PlannedEnd[]): void {
  for (const { netns, items } of byNetns(ends, (end) => end.netns)) {
    if (isWhereItWas(netns)) continue
    const vanished = new WireError('failed', `${netns.label} is gone`, 'did the container stop meanwhile?')
    fail(items.map((end) => finding(end, vanished)))
  }
}

function isWhereItWas({ path, fd }: Netns): boolean {
  if (path === OWN_NETNS) return true
  const there = statSync(path, { throwIfNoEntry: false })
  const opened = fstatSync(fd) // its inode is not used again while it is open
  return there?.dev === opened.dev && there.ino === opened.ino
}

function attempt(end: PlannedEnd, act: () => void): void {
  try {
    act()
  } catch (error) {
    fail([finding(end, error)])
  }
}
