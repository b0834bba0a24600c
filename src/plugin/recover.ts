/** Undoing what killed processes left half done, without waiting for the runtime's DEL. */
import { tryLock } from '../koko/lock.ts'
import { bootId, type Netns } from '../netns/netns.ts'
import { identify, type State } from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import { ipamOfRecord } from './recorded.ts'
import { sweepTombstones } from './tombstone.ts'
import { undo } from './undo.ts'

/** An attachment that was found half made. */
export interface Recovered {
  /** In words. */
  readonly attachment: string
  /** What could not be undone; it stays for the next DEL or GC. */
  readonly errors: readonly unknown[]
}

/**
 * Undoes every ADD of this host that was begun and never finished, and on which nobody works: wire, masquerade, lease.
 * Those of other hosts (namespaces that runtimes live in) are for their own ADD, DEL or GC.
 */
export async function recover(state: State, host: Netns, caller: Caller): Promise<Recovered[]> {
  const recovered: Recovered[] = []
  for (const key of state.pending.keys()) {
    try {
      const held = tryLock(state.locks, key)
      if (held === undefined) continue
      try {
        const one = await recoverOne(state, host, caller, key)
        if (one !== undefined) recovered.push(one)
      } finally {
        held.release()
      }
    } catch (error) {
      // One that cannot even be tried keeps nobody from the others.
      recovered.push({ attachment: key, errors: [error] })
    }
  }
  sweepTombstones(state)
  return recovered
}

async function recoverOne(
  state: State,
  host: Netns,
  caller: Caller,
  key: string,
): Promise<Recovered | undefined> {
  const record = state.pending.read(key)
  if (typeof record !== 'object' || typeof state.attachments.read(key) === 'object') {
    // Nothing had been done yet; or all of it, but for this.
    state.pending.remove(key)
    return undefined
  }
  if (record.bootId === bootId() && record.host !== host.cookie) return undefined
  const identity = identify(record.network, record.containerID, record.own.ifName, record.cniIfName)
  const { PATH } = process.env
  const failures = await undo({
    identity,
    record,
    state,
    caller,
    host,
    netnsPath: '',
    link: record.link,
    masquerade: null,
    ipam: ipamOfRecord(record, { PATH }, [], surroundings(host, caller)),
  })
  return { attachment: identity.words, errors: failures.map(({ error }) => error) }
}
