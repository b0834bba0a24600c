import type { Link } from '../netlink/link-info.ts'
import { getNetnsId } from '../netlink/netns-id.ts'
import type { Netns } from '../netns/netns.ts'

export interface Found {
  readonly netns: Netns
  readonly link: Link
}

/**
 * True if the two are the ends of one veth pair. Ifindexes alone can be forged by root in a container; that each
 * sees its peer in the other's namespace is what only the kernel can say.
 */
export function arePeers(a: Found, b: Found): boolean {
  if (a.link.peerIndex !== b.link.index || b.link.peerIndex !== a.link.index) return false
  return seesPeerIn(a, b.netns) && seesPeerIn(b, a.netns)
}

function seesPeerIn({ netns, link }: Found, there: Netns): boolean {
  if (netns.cookie === there.cookie) return link.peerNetnsid === undefined
  const [id] = netns.socket.request(getNetnsId(there.fd))
  return id !== undefined && id >= 0 && id === link.peerNetnsid
}
