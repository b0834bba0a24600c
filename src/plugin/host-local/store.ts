/** A directory of leases under its lock. */
import { unlinkSync } from 'node:fs'
import { step } from '../../netlink/steps.ts'
import { type Address, parseAddress } from './address.ts'
import { createLease, writeOver } from './lease-file.ts'
import { addressesOf, CURSOR, contentOf, type Leases, readLeases, textOf } from './leases.ts'
import { underLock } from './lock.ts'
import { forget, recall, remember } from './memory.ts'

/** What a lease of the attachment says; older host-locals wrote the container's ID alone. */
export interface Owner {
  readonly current: string
  readonly old: string
}

export function ownerOf(containerID: string, ifName: string): Owner {
  return { current: `${containerID}\r\n${ifName}`, old: containerID }
}

/** Does `work` on the leases in `directory`, alone. @throws CniError, see {@link underLock} */
export function withStore<T>(
  directory: string,
  proceed: () => void,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  return underLock(directory, proceed, async () => {
    const store = new Store(directory)
    try {
      return await work(store)
    } finally {
      store.close()
    }
  })
}

export class Store {
  readonly #directory: string
  #leases: Leases | undefined
  /** The files have been read under this lock: what is known of them is beyond doubt. */
  #isRead = false
  #isChanged = false

  constructor(directory: string) {
    this.#directory = directory
    this.#leases = recall(directory)
  }

  close(): void {
    if (this.#leases === undefined || !this.#leases.isPlain) forget(this.#directory)
    else if (this.#isChanged || this.#isRead) remember(this.#directory, this.#leases, this.#isRead)
  }

  /** Everything in the directory, as remembered or as read. */
  async leases(): Promise<Leases> {
    return this.#leases ?? (await this.#read())
  }

  async #read(): Promise<Leases> {
    this.#leases = await readLeases(this.#directory)
    this.#isRead = true
    return this.#leases
  }

  /** Before anything is refused because of what is only remembered. @returns false if that has been read anyway */
  async readAgain(): Promise<boolean> {
    if (this.#isRead) return false
    await this.#read()
    return true
  }

  /** The files that say one of these, each looked at under this lock. */
  async #filesWith(contents: readonly string[]): Promise<string[]> {
    const leases = await this.leases()
    const files = contents.flatMap((content) => [
      ...leases.with(content),
      ...(parseAddress(content) === undefined ? [] : leases.cursors()),
    ])
    const sure = files.filter((name) => contents.some((content) => this.#says(name, content)))
    const isKnown = files.every((name) => sure.includes(name) || name.startsWith(CURSOR))
    if (isKnown || !(await this.readAgain())) return sure
    return this.#filesWith(contents)
  }

  #says(name: string, content: string): boolean {
    return contentOf(`${this.#directory}/${name}`) === content
  }

  /** The addresses that the attachment has, and those of its container without an interface. */
  async addressesOf(owner: Owner): Promise<Address[]> {
    return addressesOf(await this.#filesWith([owner.current, owner.old]))
  }

  /** True if there is any file of the attachment's. */
  async knows(owner: Owner): Promise<boolean> {
    do {
      if ((await this.#filesWith([owner.current, owner.old])).length > 0) return true
    } while (await this.readAgain())
    return false
  }

  /** Releases all that the attachment has; if that is nothing, what its container has without an interface. */
  async release(owner: Owner): Promise<void> {
    if (!(await this.#remove(owner.current))) await this.#remove(owner.old)
  }

  /** Like the real one, as much as can be removed. @returns true if anything was */
  async #remove(content: string): Promise<boolean> {
    const names = await this.#filesWith([content])
    let removed = 0
    for (const name of names) {
      try {
        step()
        unlinkSync(`${this.#directory}/${name}`)
      } catch {
        continue
      }
      this.#isChanged = true
      this.#leases?.remove(name, content)
      removed += 1
    }
    if (removed < names.length) this.#leases = undefined // whether it is still there is not known
    return removed > 0
  }

  /**
   * @param ip the canonical spelling of a free address, as far as is known
   * @param set the number of the range set, whose round robin goes on from here
   * @returns false if it is not free
   * @throws CniError (internal); the lease may then exist, as the real one's
   */
  reserve(ip: string, owner: Owner, set: number): boolean {
    if (this.#leases?.names.has(ip)) return false
    this.#isChanged = true
    const known = this.#leases
    this.#leases = undefined // until it is sure what has become of the directory
    if (!createLease(this.#directory, ip, owner.current)) return false
    this.#leases = known
    known?.add(ip, owner.current)
    const cursor = `${CURSOR}${set}`
    writeOver(`${this.#directory}/${cursor}`, ip)
    known?.names.add(cursor)
    return true
  }

  /** The address that the round robin gave last. */
  lastReserved(set: number): Address | undefined {
    try {
      return parseAddress(textOf(`${this.#directory}/${CURSOR}${set}`) ?? '')
    } catch {
      return undefined // the first one, or one that cannot be read: it begins anew
    }
  }
}
