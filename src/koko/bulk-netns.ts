/** Bulk work goes namespace by namespace: one socket each, few sends. */
import type { Netns } from '../netns/netns.ts'

/** What belongs to one namespace. */
export interface Place<Item> {
  readonly netns: Netns
  readonly items: readonly Item[]
}

/** In the order in which the namespaces first occur. Two handles on one namespace are one: the cookie decides. */
export function byNetns<Item>(items: Iterable<Item>, netnsOf: (item: Item) => Netns): Place<Item>[] {
  const places = new Map<string, { netns: Netns; items: Item[] }>()
  for (const item of items) {
    const netns = netnsOf(item)
    const place = places.get(netns.cookie)
    if (place === undefined) places.set(netns.cookie, { netns, items: [item] })
    else place.items.push(item)
  }
  return [...places.values()]
}

/**
 * Acts on so many places at a time. After a failure none is begun any more, and when it is thrown none is under way.
 *
 * @throws what the first one to fail threw
 */
export async function overlapping<Item>(
  places: readonly Place<Item>[],
  width: number,
  act: (place: Place<Item>) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  const rest = places.values()
  const work = async () => {
    for (const place of rest) {
      if (failures.length > 0) return
      await act(place).catch((error: unknown) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: width }, work))
  if (failures.length > 0) throw failures[0]
}
