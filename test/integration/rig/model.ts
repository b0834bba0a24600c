/** A small model of what nugator should have done: who is attached, and what the kernel should hold for it. */

export const LABELS = ['a', 'b', 'c'] as const
export type Label = (typeof LABELS)[number]
export type Mode = 'host' | 'peer' | 'link'

export interface Role {
  mode: Mode
  on: Label
  ifName: string
  address: string
  /** Peer mode: the other container, and its interface. */
  peer?: { on: Label; ifName: string; address: string }
  end?: 'r1' | 'r2'
}

/** Host-mode addresses come from IPAM: the model is told. */
const LEASED = ''

export const ROLES: Record<string, Role> = {
  'host-a': { mode: 'host', on: 'a', ifName: 'eth0', address: LEASED },
  'host-b': { mode: 'host', on: 'b', ifName: 'eth0', address: LEASED },
  'host-c': { mode: 'host', on: 'c', ifName: 'eth0', address: LEASED },
  'peer-a': {
    mode: 'peer',
    on: 'a',
    ifName: 'pe0',
    address: '10.21.0.1/24',
    peer: { on: 'b', ifName: 'pe1', address: '10.21.0.2/24' },
  },
  'peer-c': {
    mode: 'peer',
    on: 'c',
    ifName: 'pe0',
    address: '10.22.0.1/24',
    peer: { on: 'a', ifName: 'pe2', address: '10.22.0.2/24' },
  },
  'link-a': { mode: 'link', on: 'a', ifName: 'ln0', address: '10.23.0.1/24', end: 'r1' },
  'link-b': { mode: 'link', on: 'b', ifName: 'ln0', address: '10.23.0.2/24', end: 'r2' },
  /** Wants the same end as `link-a`. */
  'link-c': { mode: 'link', on: 'c', ifName: 'ln0', address: '10.23.0.1/24', end: 'r1' },
}

export function roleOf(who: string): Role {
  const role = ROLES[who]
  if (role === undefined) throw new Error(`no role ${who}`)
  return role
}

/** An attachment that was added and not deleted: in which lives of its containers. */
interface Held {
  life: number
  peerLife: number | undefined
  address: string
}

export class Model {
  readonly #lives = new Map<Label, number>(LABELS.map((label) => [label, 1]))
  readonly #dead = new Set<Label>()
  readonly held = new Map<string, Held>()
  readonly #ends = new Map<'r1' | 'r2', string>()
  /** Whether the kernel has the link's pair; after a death it has not until somebody heals. */
  pair: 'there' | 'lost' = 'lost'

  alive(label: Label): boolean {
    return !this.#dead.has(label)
  }

  kill(label: Label): void {
    const ended = [...this.#ends.values()].filter((who) => roleOf(who).on === label && this.current(who))
    this.#dead.add(label)
    if (ended.length > 0) this.pair = 'lost'
  }

  revive(label: Label): void {
    this.#dead.delete(label)
    this.#lives.set(label, (this.#lives.get(label) ?? 0) + 1)
  }

  /** Attached, and its own container is still the one that was attached. */
  current(who: string): boolean {
    const held = this.held.get(who)
    const { on } = roleOf(who)
    return held !== undefined && this.alive(on) && held.life === this.#lives.get(on)
  }

  /** Whether the kernel should hold its wire. */
  wired(who: string): boolean {
    const { mode, peer, end } = roleOf(who)
    if (!this.current(who)) return false
    if (peer !== undefined) {
      return this.alive(peer.on) && this.held.get(who)?.peerLife === this.#lives.get(peer.on)
    }
    return mode !== 'link' || (this.pair === 'there' && end !== undefined && this.#ends.get(end) === who)
  }

  /** Of the attachment whose live end another one wants. */
  occupant(who: string): string | undefined {
    const { end } = roleOf(who)
    const there = end === undefined ? undefined : this.#ends.get(end)
    return there !== undefined && there !== who && this.current(there) ? there : undefined
  }

  add(who: string, address: string): void {
    const { on, peer, end } = roleOf(who)
    this.held.set(who, {
      life: this.#lives.get(on) ?? 0,
      peerLife: peer === undefined ? undefined : this.#lives.get(peer.on),
      address,
    })
    if (end === undefined) return
    this.#ends.set(end, who)
    this.settle()
  }

  del(who: string): void {
    const { end } = roleOf(who)
    this.held.delete(who)
    if (end === undefined || this.#ends.get(end) !== who) return
    this.#ends.delete(end)
    this.settle()
  }

  /** After a step on the link there is a pair if anybody alive holds an end. */
  settle(): void {
    this.pair = this.#living() > 0 ? 'there' : 'lost'
  }

  #living(): number {
    return [...this.#ends.values()].filter((who) => this.current(who)).length
  }

  /** True if the kernel took the pair and nobody has healed it yet. */
  get wounded(): boolean {
    return this.pair === 'lost' && this.#living() > 0
  }

  get parked(): number {
    return this.pair === 'there' && this.#living() === 1 ? 1 : 0
  }

  /** Attachments of a mode that hold something. */
  heldBy(mode: Mode): string[] {
    return [...this.held.keys()].filter((who) => roleOf(who).mode === mode)
  }

  /** `interface address` of everything that should be in a container. */
  interfaces(label: Label): string[] {
    const names: string[] = []
    for (const [who, { address }] of this.held) {
      const { on, ifName, peer } = roleOf(who)
      if (!this.wired(who)) continue
      if (on === label) names.push(`${ifName} ${address}`)
      if (peer?.on === label) names.push(`${peer.ifName} ${peer.address}`)
    }
    return names.sort()
  }
}
