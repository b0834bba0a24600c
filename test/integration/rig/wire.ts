/** How an interface differs from what was wanted of it: an empty list is what a test hopes for. */
import { addressesOf, linkNamed, look, type Route } from './snapshot.ts'

/** Group of everything nugator makes. */
export const LIVE_GROUP: string = String(0x6e670000)

export interface Wanted {
  addresses: readonly string[]
  mtu?: number
  mac?: string
  routes?: readonly Partial<Route>[]
}

function has(route: Route, wanted: Partial<Route>): boolean {
  return Object.entries(wanted).every(([key, value]) => route[key as keyof Route] === value)
}

/** Differences of one end of a wire: it must exist, be up, and be usable at once. */
export async function deviations(netns: string, ifname: string, wanted: Wanted): Promise<string[]> {
  const holding = await look(netns)
  const link = linkNamed(holding, ifname)
  if (link === undefined) return [`${ifname} is missing in ${netns}`]
  const found: string[] = []
  if (!link.flags.includes('UP')) found.push(`${ifname} is down in ${netns}`)
  if (link.linkinfo?.info_kind !== 'veth') found.push(`${ifname} is no veth`)
  for (const address of link.addr_info) {
    if (address.tentative || address.dadfailed) found.push(`${address.local} is not usable yet in ${netns}`)
  }
  const addresses = addressesOf(link)
  const hoped = [...wanted.addresses].sort()
  if (addresses.join() !== hoped.join())
    found.push(`addresses [${addresses}] instead of [${hoped}] in ${netns}`)
  if (wanted.mtu !== undefined && wanted.mtu !== link.mtu) found.push(`mtu ${link.mtu}, not ${wanted.mtu}`)
  if (wanted.mac !== undefined && wanted.mac !== link.address) {
    found.push(`mac ${link.address}, not ${wanted.mac}`)
  }
  for (const route of wanted.routes ?? []) {
    const there = holding.routes.some((each) => has(each, { dev: ifname, ...route }))
    if (!there) found.push(`route ${JSON.stringify(route)} is missing in ${netns}`)
  }
  return found
}
