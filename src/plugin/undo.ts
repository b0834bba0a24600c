/** Removing an attachment, from whatever is known of it: its record, or only its marks. Never stops half-way. */
import type { Environment } from '../cni/environment.ts'
import { findLink, findLinkByIndex } from '../koko/inspect.ts'
import { isMarked, isMarkedOrNewborn } from '../koko/marks.ts'
import { deleteLink, listLinks } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { NetnsError } from '../netns/error.ts'
import { bootId, Netns, openIfSame } from '../netns/netns.ts'
import {
  type AttachmentRecord,
  type Identity,
  openRendezvous,
  type RecordedEnd,
  type State,
} from './attachment.ts'
import { type IpamCall, ipamRun } from './ipam.ts'
import { removeMasquerade } from './masquerade.ts'

/** What is to be removed, and what may be needed for it. */
export interface Removal {
  readonly identity: Identity
  readonly record: AttachmentRecord | undefined
  readonly state: State
  readonly host: Netns
  /** CNI_NETNS, for an attachment without a record. */
  readonly netnsPath: string
  /** Without a record: whether this netconf asks for masquerade. */
  readonly masquerade: AttachmentRecord['masquerade']
  readonly ipam: readonly IpamCall[]
}

/**
 * Removes wire, masquerade, lease and record. Each part is tried whatever became of the others.
 *
 * @returns what went wrong; the record stays if anything did, for the next DEL or GC
 */
export async function undo(removal: Removal): Promise<unknown[]> {
  const { identity, record, state, host } = removal
  const errors: unknown[] = []
  const attempt = async (part: () => Promise<void> | void) => {
    try {
      await part()
    } catch (error) {
      errors.push(error)
    }
  }
  const thisBoot = record === undefined || record.bootId === bootId()
  if (record === undefined) await attempt(() => removeByMark(removal))
  else if (record.link !== null) {
    const link = { network: record.network, name: record.link }
    await attempt(() => openRendezvous(state, host).detach(link, identity.key))
  } else if (thisBoot) await attempt(() => removeWire(record, identity, host))
  const backend = record === undefined ? removal.masquerade : record.masquerade
  if (backend !== null && thisBoot) await attempt(() => removeMasquerade({ state, host }, backend, identity))
  for (const call of removal.ipam) await attempt(() => ipamRun(call, 'DEL'))
  if (errors.length === 0) {
    if (state.attachments.has(identity.key)) state.attachments.remove(identity.key)
    if (state.pending.has(identity.key)) state.pending.remove(identity.key)
  }
  return errors
}

/** Deletes the pair by whichever end can be reached and is surely the recorded one. */
function removeWire(record: AttachmentRecord, identity: Identity, host: Netns): void {
  for (const end of [record.other, record.own]) {
    if (end === null) continue
    const netns = end.cookie === host.cookie ? host : openIfSame(end.path, end.cookie)
    if (netns === undefined) continue
    try {
      const link = locateEnd(netns, end, record, identity, host)
      if (link === undefined) continue
      remove(netns, link)
      return // the other end went with it
    } finally {
      if (netns !== host) netns.close()
    }
  }
}

/** The recorded end, if it is still there. An interface that merely has its name is somebody else's. */
export function locateEnd(
  netns: Netns,
  end: RecordedEnd,
  record: AttachmentRecord,
  identity: Identity,
  host: Netns,
): Link | undefined {
  if (end.index !== null) {
    const link = findLinkByIndex(netns, end.index)
    if (link !== undefined && isMarked(link, identity.key)) return link
    // Root in a container can wash the marks off its own end: there the recorded pair of ifindexes decides.
    const peer = end === record.own ? record.other : record.own
    const inContainer = netns.cookie !== host.cookie
    if (inContainer && link?.kind === 'veth' && peer !== null && link.peerIndex === peer.index) return link
    if (inContainer) return undefined
  }
  const named = findLink(netns, end.ifName)
  return named !== undefined && isMarkedOrNewborn(named, identity.key, end.mac) ? named : undefined
}

function remove(netns: Netns, link: Link): void {
  netns.socket.request({ ...deleteLink(link.index, link.name), tolerate: ['ENODEV'] })
}

/** Without a record only the marks are left to go by. */
function removeByMark({ identity, host, netnsPath }: Removal): void {
  for (const link of host.socket.dump(listLinks())) {
    if (isMarked(link, identity.key)) {
      remove(host, link)
      return
    }
  }
  if (netnsPath === '') return
  let netns: Netns
  try {
    netns = Netns.at(netnsPath)
  } catch (error) {
    if (error instanceof NetnsError) return // gone, or never was one: nothing in it is ours
    throw error
  }
  try {
    const link = findLink(netns, identity.ifName)
    if (link !== undefined && isMarked(link, identity.key)) remove(netns, link)
  } finally {
    netns.close()
  }
}

/** The record of an attachment: the completed one, else the one that was begun. */
export function readRecord(state: State, key: string): AttachmentRecord | 'damaged' | undefined {
  const committed = state.attachments.read(key)
  if (committed !== undefined && committed !== 'damaged') return committed
  return state.pending.read(key) ?? committed
}

/** The call to IPAM that a record's ADD made, to be undone. */
export function ipamOfRecord(
  record: AttachmentRecord,
  env: Environment,
  path: readonly string[],
): IpamCall[] {
  const conf: { ipam?: { type?: unknown } | null } = JSON.parse(record.stdin)
  const type = conf.ipam?.type
  if (typeof type !== 'string' || type === '') return []
  const search = [...new Set([...record.path, ...path])]
  return [
    {
      type,
      path: search,
      stdin: Buffer.from(record.stdin),
      env: {
        ...env,
        CNI_CONTAINERID: record.containerID,
        CNI_NETNS: record.netnsPath,
        CNI_IFNAME: record.cniIfName,
        CNI_ARGS: record.args,
        CNI_PATH: search.join(':'),
      },
    },
  ]
}
