/** Removing interfaces of which it is sure that they are ours. One that is already gone is no failure. */
import type { NetlinkError } from '../netlink/error.ts'
import { randomGroup } from '../netlink/libc.ts'
import { deleteGroup, deleteLink, setLink } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { demand, type NetlinkSocket } from '../netlink/socket.ts'
import type { Netns } from '../netns/netns.ts'
import { LIVE_GROUP } from './marks.ts'

type Named = Pick<Link, 'index' | 'name'>

/** Removes an interface, and a veth's peer with it. @throws NetlinkError */
export type RemoveLink = (netns: Netns, link: Named) => Promise<void>

const GONE = ['ENODEV']

const removal = ({ index, name }: Named) => ({ ...deleteLink(index, name), tolerate: GONE })

/** Done when the kernel is, some 20 ms later; the process waits for it. */
export const removeAndWait: RemoveLink = async (netns, link) => {
  netns.socket.request(removal(link))
}

/** Done when the kernel is; a thread of the pool waits for it. */
export const removeElsewhere: RemoveLink = async (netns, link) => {
  demand(await netns.socket.exchangeElsewhere([removal(link)]))
}

/** A device group that nobody else uses, for those that are to go. */
export function doomedGroup(): number {
  return (LIVE_GROUP | randomGroup()) >>> 0
}

/**
 * Removes interfaces of one namespace in one request, which the kernel takes for one change: RCU goes round once. If
 * their group cannot be deleted, for something that does not belong there, they go one by one.
 *
 * @returns what became of each
 */
export async function removeTogether(
  socket: NetlinkSocket,
  links: readonly Named[],
  group: number = doomedGroup(),
): Promise<(NetlinkError | undefined)[]> {
  if (links.length > 1) {
    const gathering = links.map(({ index, name }) => setLink(index, { group }, name, GONE))
    const outcomes = await socket.exchangeElsewhere([...gathering, { ...deleteGroup(group), tolerate: GONE }])
    if (outcomes.every(({ error }) => error === undefined)) return links.map(() => undefined)
  }
  return (await socket.exchangeElsewhere(links.map(removal))).map(({ error }) => error)
}
