/** What the kernel holds of one interface. */
import { type InterfaceAddress, listAddresses } from '../netlink/address.ts'
import { getLinkByIndex, getLinkByName } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { type KernelRoute, listRoutes } from '../netlink/route.ts'
import type { Netns } from '../netns/netns.ts'

export interface Inspection {
  readonly link: Link
  readonly addresses: readonly InterfaceAddress[]
  /** Routes of every table with a hop over this interface. */
  readonly routes: readonly KernelRoute[]
}

/** The interface whose *name* is this; an altname does not count. */
export function findLink(netns: Netns, ifName: string): Link | undefined {
  const [link] = netns.socket.request(getLinkByName(ifName))
  return link?.name === ifName ? link : undefined
}

export function findLinkByIndex(netns: Netns, index: number): Link | undefined {
  return netns.socket.request(getLinkByIndex(index))[0]
}

export function inspect(netns: Netns, link: Link): Inspection {
  const addresses = netns.socket.dump(listAddresses()).filter(({ index }) => index === link.index)
  const families: readonly (4 | 6)[] = [4, 6]
  const routes = families
    .flatMap((family) => netns.socket.dump(listRoutes(family)))
    .filter(({ hops }) => hops.some(({ index }) => index === link.index))
  return { link, addresses, routes }
}
