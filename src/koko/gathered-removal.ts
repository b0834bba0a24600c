/**
 * Removing interfaces as fast as the kernel lets one. A deletion is done when the kernel announces it, half a
 * millisecond after it was asked for; the request itself returns some 20 ms later, when RCU has gone round, and so it
 * is sent from a thread of the pool. Those that come together go together, by a device group of their own.
 */
import { DeletionMonitor } from '../netlink/deletions.ts'
import { NetlinkSocket } from '../netlink/socket.ts'
import type { Netns } from '../netns/netns.ts'
import { type RemoveLink, removeTogether } from './removal.ts'

/** Threads that may wait for RCU at a time in one namespace. */
const SENDERS = 6
/**
 * Links in one request: rtnl is held for all of them, some 0.3 ms each, and whoever wires something meanwhile waits.
 */
const GROUP_MAX = 16
const GROUP_MAX_WHILE_WIRING = 4

interface Doomed {
  readonly index: number
  readonly name: string
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/**
 * Removes interfaces of hosts' namespaces, gathered.
 *
 * @param isWiring true while others have something to wire
 */
export function gatheredRemoval(isWiring: () => boolean): RemoveLink {
  const lanes = new Map<string, Lane>()
  return (netns, { index, name }) =>
    new Promise((done, failed) => {
      let lane = lanes.get(netns.cookie)
      if (lane === undefined) {
        lane = new Lane(netns, isWiring, () => lanes.delete(netns.cookie))
        lanes.set(netns.cookie, lane)
      }
      lane.add(netns, { index, name, done, failed })
    })
}

/** One namespace, as long as there is something to remove in it. */
class Lane {
  readonly #monitor: DeletionMonitor
  readonly #isWiring: () => boolean
  readonly #end: () => void
  readonly #idle: NetlinkSocket[] = []
  #busy = 0
  #queue: Doomed[] = []
  /** Asked for and not yet announced; some perhaps twice. */
  readonly #awaited = new Set<Doomed>()
  #listening = false
  #gathering = false
  #closed = false

  constructor(netns: Netns, isWiring: () => boolean, end: () => void) {
    this.#isWiring = isWiring
    this.#end = end
    this.#monitor = netns.inside(() => new DeletionMonitor())
  }

  add(netns: Netns, doomed: Doomed): void {
    if (this.#idle.length === 0 && this.#busy < SENDERS) {
      this.#idle.push(netns.inside(() => new NetlinkSocket()))
    }
    this.#queue.push(doomed)
    if (this.#gathering) return
    this.#gathering = true
    setImmediate(() => {
      this.#gathering = false
      this.#send()
    })
  }

  /** One request at a time holds rtnl; once it is announced the next one goes, while the first waits for RCU. */
  #send(): void {
    if (this.#queue.length === 0 || this.#awaited.size > 0) return
    const socket = this.#idle.pop()
    if (socket === undefined) return
    const size = this.#isWiring() ? GROUP_MAX_WHILE_WIRING : GROUP_MAX
    const batch = this.#queue.splice(0, size)
    for (const doomed of batch) this.#awaited.add(doomed)
    void this.#listen()
    this.#busy += 1
    void this.#remove(socket, batch).finally(() => {
      this.#busy -= 1
      this.#idle.push(socket)
      this.#send()
      this.#closeIfIdle()
    })
  }

  /** Resolves those that the kernel has not announced by then: the ACK says the same, only later. */
  async #remove(socket: NetlinkSocket, batch: readonly Doomed[]): Promise<void> {
    try {
      const errors = await removeTogether(socket, batch)
      for (const [at, doomed] of batch.entries()) this.#settle(doomed, errors[at])
    } catch (error) {
      for (const doomed of batch) this.#settle(doomed, error)
    }
  }

  #settle(doomed: Doomed, error: unknown): void {
    if (!this.#awaited.delete(doomed)) return
    if (error === undefined) doomed.done()
    else doomed.failed(error)
    this.#send()
  }

  async #listen(): Promise<void> {
    if (this.#listening) return
    this.#listening = true
    try {
      while (this.#awaited.size > 0) {
        const gone = new Set(await this.#monitor.wait())
        for (const doomed of this.#awaited) if (gone.has(doomed.index)) this.#settle(doomed, undefined)
      }
    } catch {
      // Unheard: the ACKs will say it.
    } finally {
      this.#listening = false
      this.#closeIfIdle()
    }
  }

  /** Keeps nothing of a namespace that it does not need. */
  #closeIfIdle(): void {
    if (this.#busy > 0 || this.#listening || this.#queue.length > 0) return
    if (this.#gathering || this.#closed) return
    this.#closed = true
    this.#end()
    this.#monitor.close()
    for (const socket of this.#idle.splice(0)) socket.close()
  }
}
