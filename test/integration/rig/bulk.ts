/** Ground for many wires at once: namespaces, shapes to wire them in, and what the kernel has made of it. */
import { randomBytes } from 'node:crypto'
import type { PlannedWire, WantedWire } from '../../../src/koko/bulk-plan.ts'
import type { RecordedWire } from '../../../src/koko/bulk-remove.ts'
import type { EndSpec } from '../../../src/koko/endpoint.ts'
import { randomMac } from '../../../src/koko/mac.ts'
import { aliasOf, keyOf } from '../../../src/koko/marks.ts'
import { createNetns, deleteNetns, listNetns } from '../../../src/netns/named.ts'
import { Netns } from '../../../src/netns/netns.ts'
import { run } from './host.ts'
import { type Holding, type Link, lasting, look } from './snapshot.ts'

export const KEY: string = keyOf('bulk test')

/** A link as the numbers of the two namespaces that it joins. */
export type Edge = readonly [number, number]

export const ring = (count: number): Edge[] =>
  Array.from({ length: count }, (_, at) => [at, (at + 1) % count])
export const star = (count: number): Edge[] => Array.from({ length: count - 1 }, (_, at) => [0, at + 1])
export const mesh = (count: number): Edge[] =>
  Array.from({ length: count }, (_, at) => at).flatMap((from) =>
    Array.from({ length: count - from - 1 }, (_, at): Edge => [from, from + at + 1]),
  )
/** Each joined to as many that follow it. */
export const girdle = (count: number, each: number): Edge[] =>
  Array.from({ length: count * each }, (_, link): Edge => {
    const from = Math.floor(link / each)
    return [from, (from + 1 + (link % each)) % count]
  })

/** Namespaces `ngt-…`, open. */
export class Ground {
  readonly names: readonly string[]
  readonly netns: readonly Netns[]
  /** Where nobody may delete what is not marked: none of the above. */
  readonly host: Netns = Netns.own()
  #closed = false

  constructor(count: number) {
    const id = randomBytes(3).toString('hex')
    this.names = Array.from({ length: count }, (_, at) => `ngt-${id}-${at}`)
    for (const name of this.names) createNetns(name)
    this.netns = this.names.map((name) => Netns.at(`/run/netns/${name}`))
  }

  name(at: number): string {
    return this.names[at] ?? ''
  }

  at(place: number): Netns {
    const netns = this.netns[place]
    if (netns === undefined) throw new RangeError(`no namespace ${place}`)
    return netns
  }

  /** What all namespaces hold, a few looked at at a time. */
  async look(): Promise<Holding[]> {
    const holdings: Holding[] = []
    const rest = this.names.entries()
    const work = async () => {
      for (const [at, name] of rest) holdings[at] = await look(name)
    }
    await Promise.all(Array.from({ length: 4 }, work))
    return holdings
  }

  /** To compare: everything a refused or undone call must leave as it was. */
  async snapshot(): Promise<unknown> {
    return JSON.parse(JSON.stringify(await this.look(), lasting))
  }

  /** Interfaces beside `lo`, as `NAMESPACE NAME`. */
  async interfaces(): Promise<string[]> {
    const holdings = await this.look()
    return holdings.flatMap(({ links }, at) =>
      links.filter(({ ifname }) => ifname !== 'lo').map(({ ifname }) => `${at} ${ifname}`),
    )
  }

  async ip(at: number, ...args: string[]): Promise<string> {
    const done = await run('ip', ['-n', this.name(at), ...args])
    if (done.code !== 0) throw new Error(`ip ${args.join(' ')} in ${at}: ${done.stderr}`)
    return done.stdout
  }

  async ping(from: number, address: string): Promise<boolean> {
    const family = address.includes(':') ? ['-6'] : []
    const args = ['busybox', 'ping', ...family, '-c', '1', '-W', '2', address]
    return (await run('nsenter', [`--net=/run/netns/${this.name(from)}`, ...args])).code === 0
  }

  remove(): void {
    if (this.#closed) return
    this.#closed = true
    this.host.close()
    for (const netns of this.netns) netns.close()
    const there = new Set(listNetns())
    for (const name of this.names) if (there.has(name)) deleteNetns(name)
  }
}

/** A {@link Ground} that is removed when the test `t` ends. */
export function newGround(t: { teardown(fn: () => unknown): void }, count: number): Ground {
  const ground = new Ground(count)
  t.teardown(() => ground.remove())
  return ground
}

export const nameOf = (link: number, side: 'a' | 'b'): string => `e${link}${side}`
export const addressOf = (link: number, side: 'a' | 'b'): string =>
  `10.${100 + (link >> 14)}.${(link >> 6) & 255}.${((link & 63) << 2) | (side === 'a' ? 1 : 2)}`

export function specOf(link: number, side: 'a' | 'b', change: Partial<EndSpec> = {}): EndSpec {
  return {
    ifName: nameOf(link, side),
    mac: randomMac(),
    mtu: 1500,
    txQueueLength: 1000,
    addresses: [{ address: `${addressOf(link, side)}/30` }],
    routes: [],
    ...change,
  }
}

export type Change = (link: number, side: 'a' | 'b') => Partial<EndSpec>

/** The shape with a name and an address for each end. Links are called `link 0`, `link 1`, … in errors. */
export function wantedWires(
  netnsAt: (place: number) => Netns,
  shape: readonly Edge[],
  change: Change = () => ({}),
): WantedWire[] {
  return shape.map(([from, to], link) => ({
    a: { netns: netnsAt(from), spec: specOf(link, 'a', change(link, 'a')) },
    b: { netns: netnsAt(to), spec: specOf(link, 'b', change(link, 'b')) },
    alias: aliasOf(KEY, `#${link}`),
  }))
}

/** As somebody would have written them down. */
export function recorded(wires: readonly PlannedWire[]): RecordedWire[] {
  return wires.map(({ label, a, b }) => ({
    label,
    key: KEY,
    ends: [a, b].map(({ netns, index, spec }) => ({ netns, index, mac: spec.mac })),
  }))
}

/** What is wrong with an end, given all links of its namespace: ready, marked, as planned, and joined to its peer. */
export function flaws(wire: PlannedWire, side: 'a' | 'b', links: readonly Link[]): string[] {
  const [end, peer] = side === 'a' ? [wire.a, wire.b] : [wire.b, wire.a]
  const { spec, index } = end
  // Of a peer in the same namespace `ip` tells the name, not the index.
  const link: (Link & { link?: string }) | undefined = links.find(({ ifname }) => ifname === spec.ifName)
  if (link === undefined) return [`${spec.ifName} is missing`]
  // The link-local address of an end for IPv4 alone is left to the kernel, and takes its time.
  const usable = link.addr_info.filter(({ tentative }) => !tentative)
  const addresses = usable.map(({ local, prefixlen }) => `${local}/${prefixlen}`)
  const checks: Record<string, boolean> = {
    up: link.flags.includes('UP') && link.operstate === 'UP',
    index: link.ifindex === index,
    kind: link.linkinfo?.info_kind === 'veth',
    mac: link.address === spec.mac,
    mtu: link.mtu === spec.mtu,
    qlen: link.txqlen === spec.txQueueLength,
    group: Number(link.group) === 0x6e670000,
    alias: link.ifalias === end.alias,
    peer: link.link_index === peer.index || link.link === peer.spec.ifName,
    addresses: spec.addresses.every(({ address }) => addresses.includes(address)),
  }
  const bad = Object.keys(checks).filter((check) => !checks[check])
  return bad.map((check) => `${check} of ${spec.ifName}`)
}

/** What is wrong with all of them. */
export async function allFlaws(
  ground: Ground,
  shape: readonly Edge[],
  wires: readonly PlannedWire[],
): Promise<string[]> {
  const holdings = await ground.look()
  const linksAt = (place: number | undefined) => holdings[place ?? -1]?.links ?? []
  return wires.flatMap((wire, at) => [
    ...flaws(wire, 'a', linksAt(shape[at]?.[0])),
    ...flaws(wire, 'b', linksAt(shape[at]?.[1])),
  ])
}
