/**
 * Brings the kernel to what a link record says, from wherever a killed process or a dead container left it:
 * each end in its container or parked, the pair remade if the kernel took it, and gone if nobody holds it.
 */
import { NetlinkError } from '../netlink/error.ts'
import { deleteAltNames, setLink } from '../netlink/link.ts'
import { demand } from '../netlink/socket.ts'
import { type Netns, openIfSame } from '../netns/netns.ts'
import { WireError } from './error.ts'
import { findLink, findLinkByIndex } from './inspect.ts'
import { type LinkEnd, type LinkRecord, linkKeyOf, parkedSpec } from './link-record.ts'
import { aliasOf, isMarkedOrNewborn, LIVE_GROUP } from './marks.ts'
import { arePeers, type Found } from './peers.ts'
import type { RemoveLink } from './removal.ts'
import {
  applyWire,
  awaitCarrier,
  configure,
  park,
  planWire,
  prepare,
  refuseTakenName,
  type WireEnd,
} from './wire.ts'

interface Place {
  readonly end: LinkEnd
  readonly wanted: WireEnd
  /** Looks where it is now. */
  readonly look: () => Found | undefined
  readonly found: Found | undefined
  /** Its ifindex in the end. */
  index: number | null
}

/** A link at work: its record, its namespaces, and how to save the record. */
interface Work {
  readonly record: LinkRecord
  readonly host: Netns
  readonly removeLink: RemoveLink
  readonly key: string
  readonly alias: string
  readonly save: () => void
  readonly cleared: () => void
}

/**
 * @param save writes the record; called before the pair is made anew
 * @param cleared called when what was there of the pair is gone: only the healing of the other end can fail then
 * @returns true if somebody holds an end, false if the link is gone
 * @throws NetlinkError, WireError, NetnsError
 */
export async function settle(
  record: LinkRecord,
  { host, removeLink }: { readonly host: Netns; readonly removeLink: RemoveLink },
  save: () => void,
  cleared: () => void = () => {},
): Promise<boolean> {
  const key = linkKeyOf(record.host, record)
  const alias = aliasOf(key, `${record.network}/${record.name}`)
  const work = { record, host, removeLink, key, alias, save, cleared }
  const homes: (Netns | undefined)[] = []
  try {
    for (const { occupant } of record.ends) {
      homes.push(occupant === null ? undefined : openIfSame(occupant.path, occupant.cookie))
    }
    const [first, second] = record.ends
    const places: readonly [Place, Place] = [placeOf(work, first, homes[0]), placeOf(work, second, homes[1])]
    if (places.every(({ wanted }) => wanted.parked)) {
      await destroy(work, places)
      for (const { end } of places) end.occupant = null
      return false
    }
    await arrange(work, places)
    for (const { end, index, wanted } of places) {
      if (wanted.parked) end.occupant = null
      else if (end.occupant !== null) end.occupant.index = index
    }
    return true
  } finally {
    for (const home of homes) home?.close()
  }
}

function placeOf({ record, host, key }: Work, end: LinkEnd, home: Netns | undefined): Place {
  const { occupant } = end
  const wanted: WireEnd =
    home === undefined || occupant === null || occupant.leaving
      ? { netns: host, spec: parkedSpec(record, end), parked: true, ownName: true }
      : { netns: home, spec: { ...occupant.spec, mac: end.mac, mtu: record.mtu }, withLoopback: true }
  const look = () => locate(end, home, host, key)
  const found = look()
  return { end, wanted, look, found, index: found?.link.index ?? null }
}

/** Looks where the end may be. In a container only the recorded ifindex counts, for marks can be forged there. */
function locate(end: LinkEnd, home: Netns | undefined, host: Netns, key: string): Found | undefined {
  const candidates: Partial<Found>[] = []
  if (home !== undefined && end.occupant !== null) {
    const { index, spec } = end.occupant
    const link = index === null ? findLink(home, spec.ifName) : findLinkByIndex(home, index)
    candidates.push({ netns: home, ...(link ? { link } : {}) })
    const stranded = findLink(home, end.parkedName) // moved, but its name was taken
    candidates.push({ netns: home, ...(stranded ? { link: stranded } : {}) })
  }
  const parked = findLink(host, end.parkedName)
  candidates.push({ netns: host, ...(parked ? { link: parked } : {}) })
  for (const { netns, link } of candidates) {
    if (netns && link && isMarkedOrNewborn(link, key, end.mac)) return { netns, link }
  }
  return undefined
}

/** Moves what is there; makes the pair anew if it is not whole, or an end cannot be got out of its container. */
async function arrange(work: Work, places: readonly [Place, Place]): Promise<void> {
  const { record } = work
  const [{ found: a }, { found: b }] = places
  if (!record.building && a !== undefined && b !== undefined && arePeers(a, b)) {
    const leaving = places.filter(({ wanted }) => wanted.parked)
    const staying = places.filter(({ wanted }) => !wanted.parked)
    const errors = await tryEach(leaving, (place) => put(work, place))
    // Only for a name that the host already has; whatever else fails may not fail the next time.
    const other = errors.find((error) => !isTaken(error))
    if (other !== undefined) throw other
    if (errors.length === 0) {
      const [error] = await tryEach(staying, (place) => put(work, place))
      if (error !== undefined) throw error
      for (const { wanted } of places) awaitCarrier(wanted)
      return
    }
  }
  record.building = true // what a process killed from here on leaves of the pair may be half made
  work.save()
  await destroy(work, places)
  work.cleared()
  build(places, work.alias)
  record.building = false
}

function isTaken(error: unknown): boolean {
  if (error instanceof WireError) return error.problem === 'exists'
  return error instanceof NetlinkError && error.code === 'EEXIST'
}

/** One that fails does not stop the others. @returns what was thrown */
async function tryEach<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = []
  for (const item of items) {
    try {
      await act(item)
    } catch (error) {
      errors.push(error)
    }
  }
  return errors
}

async function destroy({ removeLink }: Work, places: readonly Place[]): Promise<void> {
  for (const { look } of places) {
    const found = look() // after the first its peer is gone as well, or it was never one
    if (found !== undefined) await removeLink(found.netns, found.link)
  }
}

/** Makes the pair where its ends belong: the first time, or again after a container took it along. */
function build([a, b]: readonly [Place, Place], alias: string): void {
  // A parked end lies in the host's namespace, where a mark cannot be forged: it carries it from the first send.
  const [anchor, other] = a.wanted.parked ? [a, b] : [b, a]
  const wire = applyWire(planWire(anchor.wanted, other.wanted, alias))
  anchor.index = wire.anchor
  other.index = wire.other
}

/** Moves one end of an existing pair to where it belongs, if it is not there. The other end is not touched. */
async function put(work: Work, place: Place): Promise<void> {
  const { found, wanted, end } = place
  if (found === undefined) return
  const { netns, link } = found
  const { spec } = wanted
  if (netns.cookie === wanted.netns.cookie && link.name !== end.parkedName) return // whatever its root calls it
  if (netns.cookie === wanted.netns.cookie && wanted.parked) {
    park(wanted.netns, spec.ifName)
    return
  }
  refuseTakenName(wanted.netns, spec.ifName)
  if (link.altNames.length > 0) netns.socket.exchange([deleteAltNames(link.index, link.altNames)])
  await move(work, found, wanted, end)
  const index = findLink(wanted.netns, spec.ifName)?.index
  if (index === undefined) {
    throw new WireError(
      'failed',
      `${spec.ifName} vanished from ${wanted.netns.label} while it was moved there`,
    )
  }
  place.index = index
  prepare(wanted)
  configure(wanted, index, work.alias)
}

/** In one message with the move: nothing that a container's root set on the end comes along. */
async function move(
  work: Work,
  { netns, link }: Found,
  { netns: target, spec }: WireEnd,
  end: LinkEnd,
): Promise<void> {
  const change = {
    netnsFd: target.fd,
    name: spec.ifName,
    mac: spec.mac,
    mtu: spec.mtu,
    txQueueLength: spec.txQueueLength,
    alias: work.alias,
    group: LIVE_GROUP,
    plain: true as const,
  }
  const moved = await netns.socket.exchangeElsewhere([setLink(link.index, change, link.name)])
  if (moved[0]?.error !== undefined) await bringBack(end, target, work)
  demand(moved)
}

/** A move that renames onto a name just taken fails *after* the move: the end then lies there under its old name. */
async function bringBack(end: LinkEnd, target: Netns, { host, key }: Work): Promise<void> {
  const stranded = target.cookie === host.cookie ? undefined : findLink(target, end.parkedName)
  if (stranded === undefined || !isMarkedOrNewborn(stranded, key, end.mac)) return
  await target.socket.exchangeElsewhere([setLink(stranded.index, { netnsFd: host.fd }, end.parkedName)])
}
