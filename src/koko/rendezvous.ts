/** Two containers of one network meet by a link name: the first waits with its end wired, the second joins. */

import { deleteLink, listLinks } from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import { bootId, type Netns } from '../netns/netns.ts'
import { chooseEnd, type Request } from './choose-end.ts'
import { DEFAULT_MTU, type EndSpec } from './endpoint.ts'
import { invalid, WireError } from './error.ts'
import { findLinkByIndex } from './inspect.ts'
import { type LinkIdentity, type LinkRecord, linkKeyOf, newLinkRecord } from './link-record.ts'
import { lock } from './lock.ts'
import { isMarked } from './marks.ts'
import type { RecordDirectory } from './records.ts'
import type { RemoveLink } from './removal.ts'
import { settle } from './settle.ts'
import { validateEnd, validatePair } from './validate.ts'
import { refuseTaken } from './wire.ts'

export interface Joining extends Request {
  readonly link: LinkIdentity
  /** Key of the attachment, and what the caller knows it by. */
  readonly owner: string
  readonly id: string
  readonly netns: Netns
  readonly spec: Omit<EndSpec, 'mac' | 'mtu'>
  /** Only what was asked for: otherwise the link's and the end's own hold. */
  readonly mac: string | undefined
  readonly mtu: number | undefined
  /** The MAC address that the netconf gives the other end. */
  readonly otherMac: string | undefined
}

/** Where the links are, and how they are worked on. */
export interface Workplace {
  readonly host: Netns
  readonly removeLink: RemoveLink
  /** Tells of a failure that does not stop the work. */
  readonly warn: (text: string) => void
}

export class Rendezvous {
  readonly #records: RecordDirectory<LinkRecord>
  readonly #lockDirectory: string
  readonly #host: Netns
  readonly #place: Workplace
  /** True if this attachment's ADD was completed: an end held by any other is left over from a killed process. */
  readonly #isCommitted: (owner: string) => boolean

  constructor(
    records: RecordDirectory<LinkRecord>,
    lockDirectory: string,
    place: Workplace,
    isCommitted: (owner: string) => boolean,
  ) {
    this.#records = records
    this.#lockDirectory = lockDirectory
    this.#host = place.host
    this.#place = place
    this.#isCommitted = isCommitted
  }

  /**
   * Takes an end and puts it into the container. `commit` runs last, under the link's lock; if it throws the end is
   * parked again.
   *
   * @throws WireError ('link full' for a third comer, 'invalid' for another MTU or other end names)
   */
  async attach(joining: Joining, commit: (link: Link, spec: EndSpec) => void): Promise<void> {
    const key = linkKeyOf(this.#host.cookie, joining.link)
    const held = await lock(this.#lockDirectory, key)
    try {
      const record = (await this.#loadSettled(key, joining.owner)) ?? this.#newRecord(joining)
      const slot = chooseEnd(record, joining)
      const end = record.ends[slot]
      const mac = joining.mac ?? end.mac
      const spec: EndSpec = { ...joining.spec, mac, mtu: record.mtu }
      this.#validate(record, slot, spec, joining)
      end.mac = mac
      const { path, cookie } = joining.netns
      const { owner, who, id } = joining
      end.occupant = { owner, who, id, path, cookie, spec, index: null, leaving: false }
      const save = () => this.#records.write(key, record)
      save()
      try {
        await settle(record, this.#place, save)
        save()
        const { index } = end.occupant
        const link = index === null ? undefined : findLinkByIndex(joining.netns, index)
        if (link === undefined) throw new WireError('failed', `${spec.ifName} vanished while it was wired`)
        commit(link, spec)
      } catch (error) {
        end.occupant.leaving = true
        await this.#attempt(record, () => this.#settleAndRecord(key, record))
        throw error
      }
    } finally {
      held.release()
    }
  }

  /**
   * Gives up the end that the attachment holds, if it does. The other end stays as it is, or is made again if the
   * kernel took it along with a dead container; after the last one the link is gone.
   *
   * @param hostCookie the namespace that was the host's when the end was taken
   * @returns false if nothing is known of the link
   */
  async detach(identity: LinkIdentity, owner: string, hostCookie = this.#host.cookie): Promise<boolean> {
    const key = linkKeyOf(hostCookie, identity)
    const held = await lock(this.#lockDirectory, key)
    try {
      const record = this.#load(key)
      if (record === undefined) this.#records.remove(key)
      else if (this.#markDebris(record, owner)) await this.#settleAndRecord(key, record)
      return record !== undefined
    } finally {
      held.release()
    }
  }

  /**
   * Gives up every end of the network's links on this host whose attachment does not stand or is stale. For GC.
   *
   * @returns the attachments that were stale
   */
  async sweep(network: string, isStale: (id: string) => boolean): Promise<string[]> {
    const owners: string[] = []
    for (const key of this.#records.keys()) {
      const first = this.#records.read(key)
      if (typeof first === 'object' && first.network !== network) continue
      const held = await lock(this.#lockDirectory, key)
      try {
        const record = this.#load(key)
        if (record === undefined) this.#records.remove(key)
        else if (record.host === this.#host.cookie) {
          const stale = record.ends.map(({ occupant }) => occupant).filter((one) => one && isStale(one.id))
          for (const occupant of stale.filter((one) => one !== null)) {
            occupant.leaving = true
            owners.push(occupant.owner)
          }
          if (this.#markDebris(record, '')) await this.#settleAndRecord(key, record)
        }
      } finally {
        held.release()
      }
    }
    return owners
  }

  /** The record as it stands, for CHECK. */
  read(identity: LinkIdentity): LinkRecord | undefined {
    const record = this.#records.read(linkKeyOf(this.#host.cookie, identity))
    return record === 'damaged' ? undefined : record
  }

  /** The record once ends of killed processes, and what `owner` held before, have been parked. */
  async #loadSettled(key: string, owner: string): Promise<LinkRecord | undefined> {
    const record = this.#load(key)
    if (record === undefined || !this.#markDebris(record, owner)) return record
    await this.#settleAndRecord(key, record)
    return this.#load(key)
  }

  #load(key: string): LinkRecord | undefined {
    const record = this.#records.read(key)
    if (typeof record === 'object' && record.bootId === bootId()) return record
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

  /**
   * Ends of attachments that never came to be, whatever `owner` held, and a pair half made are to be seen to.
   *
   * @returns true if there is anything to settle
   */
  #markDebris(record: LinkRecord, owner: string): boolean {
    const debris = record.ends
      .map(({ occupant }) => occupant)
      .filter((occupant) => occupant !== null)
      .filter((one) => one.leaving || one.owner === owner || !this.#isCommitted(one.owner))
    for (const occupant of debris) occupant.leaving = true
    return debris.length > 0 || record.building
  }

  #validate(record: LinkRecord, slot: 0 | 1, spec: EndSpec, { mtu, who, netns }: Joining): void {
    if (mtu !== undefined && mtu !== record.mtu) {
      throw invalid(
        `link ${record.name} has MTU ${record.mtu}, set by its first end; ${who} asks for ${mtu}`,
        'give both ends the same mtu',
      )
    }
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
    refuseTaken({ netns, spec })
  }

  /**
   * Never fails for the survivor's sake: what could not be healed now is tried again by the next step on the link.
   * A disk that is full does not keep the kernel from being cleaned up.
   */
  async #settleAndRecord(key: string, record: LinkRecord): Promise<void> {
    const save = () => {
      try {
        this.#records.write(key, record)
      } catch (error) {
        this.#warn(record, error)
      }
    }
    save()
    let cleared = false
    try {
      const held = await settle(record, this.#place, save, () => {
        cleared = true
      })
      // Unsaved, an occupant that has left is debris to the next step on the link.
      if (held) save()
      else this.#records.remove(key)
    } catch (error) {
      const survivors = record.ends.some(({ occupant }) => occupant !== null && !occupant.leaving)
      if (!survivors || !cleared) throw error
      this.#warn(record, error)
    }
  }

  async #attempt(record: LinkRecord, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#warn(record, error)
    }
  }

  #warn(record: LinkRecord, error: unknown): void {
    const what = error instanceof Error ? error.message : String(error)
    this.#place.warn(`nugator: link ${record.name}: ${what}\n`)
  }
}
