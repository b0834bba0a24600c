/** Two containers of one network meet by a link name: the first waits with its end wired, the second joins. */

import { deleteLink, listLinks } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { bootId, type Netns, openIfSame } from '../netns/netns.ts'
import { DEFAULT_MTU, type EndSpec } from './endpoint.ts'
import { invalid, WireError } from './error.ts'
import { findLinkByIndex } from './inspect.ts'
import {
  type LinkEnd,
  type LinkIdentity,
  type LinkRecord,
  linkKeyOf,
  newLinkRecord,
  type Occupant,
} from './link-record.ts'
import { lock } from './lock.ts'
import { isMarked } from './marks.ts'
import type { RecordDirectory } from './records.ts'
import { settle } from './settle.ts'
import { validateEnd, validatePair } from './validate.ts'
import { refuseTakenAddresses, refuseTakenName } from './wire.ts'

export interface Joining {
  readonly link: LinkIdentity
  /** The two ends' names, if they have any, and which of them is asked for. */
  readonly labels: readonly [string, string] | null
  readonly label: string | null
  /** Key of the attachment, and the container in words. */
  readonly owner: string
  readonly who: string
  readonly netns: Netns
  readonly spec: Omit<EndSpec, 'mac' | 'mtu'>
  /** Only what was asked for: otherwise the link's and the end's own hold. */
  readonly mac: string | undefined
  readonly mtu: number | undefined
  /** The MAC address that the netconf gives the other end. */
  readonly otherMac: string | undefined
}

export class Rendezvous {
  readonly #records: RecordDirectory<LinkRecord>
  readonly #lockDirectory: string
  readonly #host: Netns
  /** True if this attachment's ADD was completed: an end held by any other is left over from a killed process. */
  readonly #isCommitted: (owner: string) => boolean

  constructor(
    records: RecordDirectory<LinkRecord>,
    lockDirectory: string,
    host: Netns,
    isCommitted: (owner: string) => boolean,
  ) {
    this.#records = records
    this.#lockDirectory = lockDirectory
    this.#host = host
    this.#isCommitted = isCommitted
  }

  /**
   * Takes an end and puts it into the container. `commit` runs last, under the link's lock; if it throws the end is
   * parked again.
   *
   * @throws WireError ('link full' for a third comer, 'invalid' for another MTU or other end names)
   */
  async attach(joining: Joining, commit: (link: Link, spec: EndSpec) => void): Promise<void> {
    const key = linkKeyOf(this.#host, joining.link)
    const held = await lock(this.#lockDirectory, key)
    try {
      const record = this.#loadSettled(key, joining.owner) ?? this.#newRecord(joining)
      const slot = this.#choose(record, joining)
      const end = record.ends[slot]
      if (joining.mtu !== undefined && joining.mtu !== record.mtu) {
        throw invalid(
          `link ${record.name} has MTU ${record.mtu}, set by its first end; ${joining.who} asks for ${joining.mtu}`,
          'give both ends the same mtu',
        )
      }
      const mac = joining.mac ?? end.mac
      const spec: EndSpec = { ...joining.spec, mac, mtu: record.mtu }
      this.#validate(record, slot, spec, joining.netns)
      end.mac = mac
      const { path, cookie } = joining.netns
      end.occupant = {
        owner: joining.owner,
        who: joining.who,
        path,
        cookie,
        spec,
        index: null,
        leaving: false,
      }
      this.#records.write(key, record)
      try {
        settle(record, this.#host)
        this.#records.write(key, record)
        const index = end.occupant.index
        const link = index === null ? undefined : findLinkByIndex(joining.netns, index)
        if (link === undefined) throw new WireError('failed', `${spec.ifName} vanished while it was wired`)
        commit(link, spec)
      } catch (error) {
        end.occupant.leaving = true
        this.#settleAndRecord(key, record)
        throw error
      }
    } finally {
      held.release()
    }
  }

  /**
   * Gives up the end that the attachment holds, if it does. The other end stays as it is, or is made again if the
   * kernel took it along with a dead container; after the last one the link is gone.
   */
  async detach(identity: LinkIdentity, owner: string): Promise<void> {
    const key = linkKeyOf(this.#host, identity)
    const held = await lock(this.#lockDirectory, key)
    try {
      const record = this.#load(key)
      if (record === undefined) return
      this.#markDebris(record, owner)
      this.#settleAndRecord(key, record)
    } finally {
      held.release()
    }
  }

  /** The record once ends of killed processes, and what `owner` held before, have been parked. */
  #loadSettled(key: string, owner: string): LinkRecord | undefined {
    const record = this.#load(key)
    if (record === undefined || !this.#markDebris(record, owner)) return record
    this.#settleAndRecord(key, record)
    return this.#load(key)
  }

  /** The record as it stands, for CHECK. */
  read(identity: LinkIdentity): LinkRecord | undefined {
    const record = this.#records.read(linkKeyOf(this.#host, identity))
    return record === 'damaged' ? undefined : record
  }

  #load(key: string): LinkRecord | undefined {
    const record = this.#records.read(key)
    if (record !== undefined && record !== 'damaged' && record.bootId === bootId()) return record
    if (record !== undefined) {
      // Damaged, or of another boot: nothing in it can be relied on but the mark on a parked end.
      for (const link of this.#host.socket.dump(listLinks())) {
        if (isMarked(link, key)) this.#host.socket.exchange([deleteLink(link.index, link.name)])
      }
      this.#records.remove(key)
    }
    return undefined
  }

  #newRecord(joining: Joining): LinkRecord {
    const own = joining.labels === null || joining.label === joining.labels[0] ? 0 : 1
    const macs: [string | undefined, string | undefined] =
      own === 0 ? [joining.mac, joining.otherMac] : [joining.otherMac, joining.mac]
    return newLinkRecord(this.#host, joining.link, joining.labels, macs, joining.mtu ?? DEFAULT_MTU)
  }

  /** Ends of attachments that never came to be, and whatever `owner` held before, are to be given up. */
  #markDebris(record: LinkRecord, owner: string): boolean {
    const debris = record.ends
      .map(({ occupant }) => occupant)
      .filter((occupant) => occupant !== null)
      .filter(
        (occupant) => occupant.leaving || occupant.owner === owner || !this.#isCommitted(occupant.owner),
      )
    for (const occupant of debris) occupant.leaving = true
    return debris.length > 0
  }

  #choose(record: LinkRecord, joining: Joining): 0 | 1 {
    const slots: readonly (0 | 1)[] = [0, 1]
    if (joining.labels === null) {
      const order = slots.toSorted((a, b) => rank(record.ends[a]) - rank(record.ends[b]))
      const free = order.find((slot) => !isHeld(record.ends[slot].occupant))
      if (free !== undefined) return free
      throw new WireError(
        'link full',
        `link ${record.name} of network ${record.network} has no free end for ${joining.who}: it joins ${names(record)}`,
        'a link joins two containers; use another link name for the third',
      )
    }
    const slot = slots.find((candidate) => record.ends[candidate].label === joining.label)
    if (slot === undefined) {
      throw invalid(
        `link ${record.name} joins ${record.ends.map(({ label }) => label).join(' and ')}, not ${joining.label}`,
        'the ends of a link cannot change while it exists',
      )
    }
    const { occupant } = record.ends[slot]
    if (occupant !== null && isHeld(occupant)) {
      throw new WireError(
        'link full',
        `end ${joining.label} of link ${record.name} is taken by ${occupant.who}; ${joining.who} cannot have it`,
        'delete that container first, or choose the other end',
      )
    }
    return slot
  }

  #validate(record: LinkRecord, slot: 0 | 1, spec: EndSpec, netns: Netns): void {
    validateEnd(spec)
    const other = record.ends[slot === 0 ? 1 : 0]
    if (other.occupant !== null && !other.occupant.leaving) {
      validatePair(spec, { ...other.occupant.spec, mac: other.mac })
      if (other.occupant.cookie === netns.cookie && other.occupant.spec.ifName === spec.ifName) {
        throw invalid(`both ends would be called ${spec.ifName} in the same namespace`)
      }
    } else if (spec.mac === other.mac) {
      throw invalid(`both ends have the MAC address ${spec.mac}`)
    }
    refuseTakenName(netns, spec.ifName)
    refuseTakenAddresses({ netns, spec })
  }

  /** Never fails for the survivor's sake: what could not be healed now is tried again by the next step on the link. */
  #settleAndRecord(key: string, record: LinkRecord): void {
    this.#records.write(key, record)
    try {
      if (settle(record, this.#host)) this.#records.write(key, record)
      else this.#records.remove(key)
    } catch (error) {
      const survivors = record.ends.some(({ occupant }) => occupant !== null && !occupant.leaving)
      if (!survivors) throw error
      const what = error instanceof Error ? error.message : String(error)
      process.stderr.write(`nugator: link ${record.name} could not be healed for its other end: ${what}\n`)
    }
  }
}

/** Free ends first, then those of the dead. */
function rank({ occupant }: LinkEnd): number {
  return occupant === null ? 0 : 1
}

function isHeld(occupant: Occupant | null): boolean {
  if (occupant === null || occupant.leaving) return false
  const netns = openIfSame(occupant.path, occupant.cookie)
  netns?.close()
  return netns !== undefined
}

function names(record: LinkRecord): string {
  return record.ends.map(({ occupant }) => occupant?.who ?? 'nobody').join(' and ')
}
