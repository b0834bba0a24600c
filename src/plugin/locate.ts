import { findLink, findLinkByIndex } from '../koko/inspect.ts'
import { isMarked, isMarkedOrNewborn } from '../koko/marks.ts'
import type { Link } from '../netlink/link-info.ts'
import type { Netns } from '../netns/netns.ts'
import type { AttachmentRecord, Identity, RecordedEnd } from './attachment.ts'

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
