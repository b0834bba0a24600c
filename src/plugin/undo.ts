/** Removing an attachment, from whatever is known of it: its record, or only its marks. Never stops half-way. */
import { findLink, findLinkByIndex } from '../koko/inspect.ts'
import { linkKeyOf } from '../koko/link-record.ts'
import { isMarked } from '../koko/marks.ts'
import { listLinks } from '../netlink/link.ts'
import { NetnsError } from '../netns/error.ts'
import { bootId, type Netns, openIfSame } from '../netns/netns.ts'
import { type AttachmentRecord, type Identity, openRendezvous, type State } from './attachment.ts'
import type { Caller } from './caller.ts'
import { type IpamCall, ipamRun } from './ipam.ts'
import { locateEnd } from './locate.ts'
import { removeMasquerade } from './masquerade.ts'

/** What is to be removed, and what may be needed for it. */
export interface Removal {
  readonly identity: Identity
  readonly record: AttachmentRecord | undefined
  readonly state: State
  readonly caller: Caller
  readonly host: Netns
  /** CNI_NETNS, for an attachment without a record; and what the netconf says of it. */
  readonly netnsPath: string
  readonly link: string | null
  readonly masquerade: AttachmentRecord['masquerade']
  readonly ipam: readonly IpamCall[]
}

export interface Failure {
  readonly part: 'wire' | 'masquerade' | 'ipam'
  readonly error: unknown
}

/**
 * Removes wire, masquerade, lease and record. Each part is tried whatever became of the others.
 *
 * @returns what went wrong; the record stays if anything did, for the next DEL or GC
 */
export async function undo(removal: Removal): Promise<Failure[]> {
  const { identity, record, state, host } = removal
  const failures: Failure[] = []
  const attempt = async (part: Failure['part'], act: () => Promise<void> | void) => {
    try {
      await act()
    } catch (error) {
      failures.push({ part, error })
    }
  }
  const thisBoot = record === undefined || record.bootId === bootId()
  const link = record === undefined ? removal.link : record.link
  if (link !== null) await attempt('wire', () => leaveLink(removal, link))
  else if (record !== undefined && thisBoot) await attempt('wire', () => removeWire(removal, record))
  if (record === undefined) await attempt('wire', () => removeByMark(removal))
  const backend = record === undefined ? removal.masquerade : record.masquerade
  if (backend !== null && thisBoot) {
    await attempt('masquerade', () => removeMasquerade({ state, host }, backend, identity))
  }
  for (const call of removal.ipam) await attempt('ipam', () => ipamRun(call, 'DEL'))
  if (failures.length === 0) {
    state.attachments.remove(identity.key)
    state.pending.remove(identity.key)
  }
  return failures
}

/** Gives up the end; one that the link's own record no longer knows is known by the attachment's. */
async function leaveLink({ identity, record, state, host, caller }: Removal, name: string): Promise<void> {
  const link = { network: identity.network, name }
  const known = await openRendezvous(state, host, caller).detach(link, identity.key, record?.host)
  if (known || record === undefined || record.own.index === null) return
  const netns = openIfSame(record.own.path, record.own.cookie)
  try {
    const left = netns && findLinkByIndex(netns, record.own.index)
    if (netns && left && isMarked(left, linkKeyOf(record.host, link))) await caller.removeLink(netns, left)
  } finally {
    netns?.close()
  }
}

/** Deletes the pair by whichever end can be reached and is surely the recorded one. */
async function removeWire({ identity, host, caller }: Removal, record: AttachmentRecord): Promise<void> {
  for (const end of [record.other, record.own]) {
    if (end === null) continue
    const netns = end.cookie === host.cookie ? host : openIfSame(end.path, end.cookie)
    if (netns === undefined) continue
    try {
      const link = locateEnd(netns, end, record, identity, host)
      if (link === undefined) continue
      await caller.removeLink(netns, link)
      return // the other end went with it
    } finally {
      if (netns !== host) netns.close()
    }
  }
}

/** Without a record only the marks are left to go by: the attachment's, and in link mode the link's. */
async function removeByMark({ identity, host, caller, netnsPath, link: name }: Removal): Promise<void> {
  for (const link of host.socket.dump(listLinks())) {
    if (isMarked(link, identity.key)) {
      await caller.removeLink(host, link)
      return
    }
  }
  if (netnsPath === '') return
  let netns: Netns
  try {
    netns = caller.openContainer(netnsPath)
  } catch (error) {
    if (error instanceof NetnsError) return // gone, or never was one: nothing in it is ours
    throw error
  }
  try {
    const keys = [identity.key]
    if (name !== null) keys.push(linkKeyOf(host.cookie, { network: identity.network, name }))
    const link = findLink(netns, identity.ifName)
    if (link !== undefined && keys.some((key) => isMarked(link, key))) await caller.removeLink(netns, link)
  } finally {
    netns.close()
  }
}
