import { deleteLink } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { demand } from '../netlink/socket.ts'
import type { Netns } from '../netns/netns.ts'

/** Removes an interface, and a veth's peer with it. One that is already gone is no failure. @throws NetlinkError */
export type RemoveLink = (netns: Netns, link: Pick<Link, 'index' | 'name'>) => Promise<void>

const removal = ({ index, name }: Pick<Link, 'index' | 'name'>) => ({
  ...deleteLink(index, name),
  tolerate: ['ENODEV'],
})

/** Done when the kernel is, some 20 ms later; the process waits for it. */
export const removeAndWait: RemoveLink = async (netns, link) => {
  netns.socket.request(removal(link))
}

/** Done when the kernel is; a thread of the pool waits for it. */
export const removeElsewhere: RemoveLink = async (netns, link) => {
  demand(await netns.socket.exchangeElsewhere([removal(link)]))
}
