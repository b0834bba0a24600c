import { deleteLink } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import type { Netns } from '../netns/netns.ts'

/** Removes an interface, and a veth's peer with it. One that is already gone is no failure. @throws NetlinkError */
export type RemoveLink = (netns: Netns, link: Pick<Link, 'index' | 'name'>) => Promise<void>

/** Done when the kernel is, some 20 ms later. */
export const removeAndWait: RemoveLink = async (netns, { index, name }) => {
  netns.socket.request({ ...deleteLink(index, name), tolerate: ['ENODEV'] })
}
