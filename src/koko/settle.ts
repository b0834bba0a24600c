/**
 * Brings the kernel to what a link record says, from wherever a killed process or a dead container left it:
 * each end in its container or parked, the pair remade if the kernel took it, and gone if nobody holds it.
 */

import { deleteLink, setLink } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { type Netns, openIfSame } from '../netns/netns.ts'
import type { EndSpec } from './endpoint.ts'
import { WireError } from './error.ts'
import { findLink, findLinkByIndex } from './inspect.ts'
import { type LinkEnd, type LinkRecord, linkKeyOf, parkedSpec } from './link-record.ts'
import { aliasOf, isMarkedOrNewborn } from './marks.ts'
import { applyWire, configure, park, planWire, prepare, refuseTakenName, type WireEnd } from './wire.ts'

interface Found {
  readonly netns: Netns
  readonly link: Link
}

interface Place {
  readonly end: LinkEnd
  /** The namespace of the end's container, if it is still the recorded one. */
  readonly home: Netns | undefined
  readonly wanted: WireEnd
  found: Found | undefined
  /** Where it lies in the end. */
  index: number | null
}

/** @returns true if somebody holds an end, false if the link is gone. @throws NetlinkError, WireError */
export function settle(record: LinkRecord, host: Netns): boolean {
  const key = linkKeyOf(host, record)
  const homes = record.ends.map(({ occupant }) => occupant && openIfSame(occupant.path, occupant.cookie))
  try {
    const places = record.ends.map((end, slot) => placeOf(record, end, homes[slot] ?? undefined, host, key))
    const [a, b] = places
    if (a === undefined || b === undefined) throw new RangeError('a link has two ends')
    if (a.wanted.parked && b.wanted.parked) {
      destroy(places)
      forget(record)
      return false
    }
    const alias = aliasOf(key, `${record.network}/${record.name}`)
    if (isPair(a, b)) {
      for (const place of places) put(place, host, alias, key)
    } else {
      destroy(places)
      build(a, b, alias)
    }
    for (const { end, index, wanted } of places) {
      if (end.occupant !== null) end.occupant.index = index
      if (wanted.parked) end.occupant = null
    }
    return true
  } finally {
    for (const home of homes) home?.close()
  }
}

function placeOf(record: LinkRecord, end: LinkEnd, home: Netns | undefined, host: Netns, key: string): Place {
  const stays = end.occupant !== null && !end.occupant.leaving && home !== undefined
  const wanted: WireEnd =
    stays && end.occupant !== null
      ? { netns: home, spec: specOf(record, end, end.occupant.spec) }
      : { netns: host, spec: parkedSpec(record, end), parked: true }
  const found = locate(end, home, host, key)
  return { end, home, wanted, found, index: found?.link.index ?? null }
}

function specOf(record: LinkRecord, end: LinkEnd, spec: EndSpec): EndSpec {
  return { ...spec, mac: end.mac, mtu: record.mtu }
}

/** Looks where the end may be. In a container only the recorded ifindex counts, for marks can be forged there. */
function locate(end: LinkEnd, home: Netns | undefined, host: Netns, key: string): Found | undefined {
  const candidates: [Netns, Link | undefined][] = []
  if (home !== undefined && end.occupant !== null) {
    const { index, spec } = end.occupant
    candidates.push([home, index === null ? findLink(home, spec.ifName) : findLinkByIndex(home, index)])
    candidates.push([home, findLink(home, end.parkedName)]) // moved, but its name was taken
  }
  candidates.push([host, findLink(host, end.parkedName)])
  for (const [netns, link] of candidates) {
    if (link !== undefined && isMarkedOrNewborn(link, key, end.mac)) return { netns, link }
  }
  return undefined
}

function isPair(a: Place, b: Place): boolean {
  if (a.found === undefined || b.found === undefined) return false
  return a.found.link.peerIndex === b.found.link.index && b.found.link.peerIndex === a.found.link.index
}

function destroy(places: readonly Place[]): void {
  for (const place of places) {
    if (place.found === undefined) continue
    const { netns, link } = place.found
    const [outcome] = netns.socket.exchange([{ ...deleteLink(link.index, link.name), tolerate: ['ENODEV'] }])
    if (outcome?.error !== undefined) throw outcome.error
    place.found = undefined
  }
}

function forget(record: LinkRecord): void {
  for (const end of record.ends) end.occupant = null
}

/** Makes the pair where its ends belong: the first time, or again after a container took it along. */
function build(a: Place, b: Place, alias: string): void {
  // A parked end lies in the host's namespace, where a mark cannot be forged: it carries it from the first send.
  const [anchor, other] = a.wanted.parked ? [a, b] : [b, a]
  const wire = applyWire(planWire(anchor.wanted, other.wanted, alias))
  anchor.index = wire.anchor
  other.index = wire.other
}

/** Moves one end of an existing pair to where it belongs, if it is not there. The other end is not touched. */
function put(place: Place, host: Netns, alias: string, key: string): void {
  const { found, wanted, end } = place
  if (found === undefined) return
  const { ifName } = wanted.spec
  if (found.netns.cookie === wanted.netns.cookie && found.link.name === ifName) {
    if (wanted.parked) park(host, ifName)
    return
  }
  refuseTakenName(wanted.netns, ifName)
  const change = { netnsFd: wanted.netns.fd, name: ifName }
  const [moved] = found.netns.socket.exchange([setLink(found.link.index, change, found.link.name)])
  if (moved?.error !== undefined) {
    bringBack(end, wanted.netns, host, key)
    throw moved.error
  }
  const link = findLink(wanted.netns, ifName)
  if (link === undefined || !isMarkedOrNewborn(link, key, found.link.mac)) {
    throw new WireError('failed', `${ifName} vanished from ${wanted.netns.label} while it was moved there`)
  }
  place.index = link.index
  if (link.mac !== end.mac) wanted.netns.socket.request(setLink(link.index, { mac: end.mac }, ifName))
  prepare(wanted)
  configure(wanted, link.index, alias)
}

/** A move that renames onto a name just taken fails *after* the move: the end then lies there under its old name. */
function bringBack(end: LinkEnd, netns: Netns, host: Netns, key: string): void {
  const stranded = findLink(netns, end.parkedName)
  if (netns.cookie === host.cookie || stranded === undefined) return
  if (isMarkedOrNewborn(stranded, key, end.mac)) {
    netns.socket.exchange([setLink(stranded.index, { netnsFd: host.fd }, end.parkedName)])
  }
}
