/** Removes many wires at once, each only if the kernel still shows it to be the one that is meant. */
import { listLinks } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import type { Netns } from '../netns/netns.ts'
import { type Doomed, destroyWires, type Standing } from './bulk-destroy.ts'
import { type Finding, fail, finding } from './bulk-error.ts'
import { byNetns } from './bulk-netns.ts'
import { isMarkedOrNewborn } from './marks.ts'
import { arePeers } from './peers.ts'

/** An end as it was written down, in its namespace (which has been found to be the same, by its cookie). */
export interface RecordedEnd {
  readonly netns: Netns
  readonly index: number
  readonly mac: string
}

export interface RecordedWire {
  /** In words, for errors. */
  readonly label: string
  /** Names the owner in the alias of both ends. */
  readonly key: string
  /** Both, or the one whose namespace is still there. */
  readonly ends: readonly RecordedEnd[]
}

/**
 * Removes the wires; done when they are really gone. What is not there any more, or is somebody else's now, is passed
 * over. One that fails does not keep the others.
 *
 * @param host where nothing is deleted without our marks; elsewhere root can wash them off, and there it is enough
 *   that the recorded ends are still each other's peers
 * @throws WiresError that names the links which could not be removed
 */
export async function removeWires(wires: readonly RecordedWire[], host: Netns): Promise<void> {
  const findings: Finding[] = []
  const holdings = new Map<string, Holding>()
  for (const { netns } of byNetns(
    wires.flatMap(({ ends }) => ends),
    (end) => end.netns,
  )) {
    holdings.set(netns.cookie, holdingOf(netns))
  }
  const doomed = wires.flatMap(({ label, key, ends }, link): Doomed[] => {
    const standing = verify(key, ends, holdings, host)
    if (standing.length > 0) return [{ link, label, ends: standing }]
    const error = ends
      .map(({ netns }) => holdings.get(netns.cookie)?.error)
      .find((each) => each !== undefined)
    if (error !== undefined) findings.push(finding({ link, label }, error))
    return []
  })
  fail([...findings, ...(await destroyWires(doomed))])
}

/** What a namespace has, or why that cannot be told. */
interface Holding {
  readonly links: ReadonlyMap<number, Link>
  readonly error?: unknown
}

function holdingOf(netns: Netns): Holding {
  try {
    return { links: new Map(netns.socket.dump(listLinks()).map((link) => [link.index, link])) }
  } catch (error) {
    return { links: new Map(), error }
  }
}

/** The ends by which the wire may be deleted. An ifindex alone proves nothing. */
function verify(
  key: string,
  ends: readonly RecordedEnd[],
  holdings: ReadonlyMap<string, Holding>,
  host: Netns,
): Standing[] {
  const found = ends.flatMap(({ netns, index, mac }) => {
    const link = holdings.get(netns.cookie)?.links.get(index)
    return link?.kind === 'veth' ? [{ netns, index, mac, link }] : []
  })
  const marked = found.filter(({ link, mac }) => isMarkedOrNewborn(link, key, mac))
  if (marked.length === found.length) return marked
  const [a, b] = found
  const peers = a !== undefined && b !== undefined && arePeers(a, b)
  return found.filter((end) => marked.includes(end) || (peers && end.netns.cookie !== host.cookie))
}
