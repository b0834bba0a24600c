/**
 * A DEL that finds its attachment locked leaves a tombstone before it waits: whoever holds the lock may be an ADD in an
 * agent that is stopped for now. When it goes on it finds that it has been deleted meanwhile, and undoes itself.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { CniError, Code } from '../cni/error.ts'
import { type Lock, lock, tryLock } from '../koko/lock.ts'
import { bootTime } from '../netlink/libc.ts'
import type { Identity, State } from './attachment.ts'

/** Longer than any ADD may take; what is older nobody asks for. */
const KEPT_NS = 3_600_000_000_000n

const fileOf = ({ tombstones }: State, key: string): string => `${tombstones}/${key}`

/** The attachment's lock; if it is held, a tombstone comes first. @throws WireError ('busy') */
export async function lockForDeletion(state: State, key: string): Promise<Lock> {
  const held = tryLock(state.locks, key)
  if (held !== undefined) return held
  mkdirSync(state.tombstones, { recursive: true, mode: 0o700 })
  writeFileSync(fileOf(state, key), String(bootTime()), { mode: 0o600 })
  return lock(state.locks, key)
}

/** To be called by the DEL, under the lock: nobody is left who could need the tombstone. */
export function unbury(state: State, key: string): void {
  const file = fileOf(state, key)
  if (existsSync(file)) rmSync(file, { force: true })
}

/** @throws CniError (try again later) if a DEL came after the ADD that began at `began` */
export function refuseBuried(state: State, { key, words }: Identity, began: bigint): void {
  const time = timeOf(fileOf(state, key))
  if (time === undefined || time < began) return
  throw new CniError(Code.tryAgainLater, `${words} was deleted while it was added`, 'nothing of it is left')
}

/** Removes those that nobody asks for any more. */
export function sweepTombstones({ tombstones }: State): void {
  if (!existsSync(tombstones)) return
  for (const name of readdirSync(tombstones)) {
    const file = `${tombstones}/${name}`
    const time = timeOf(file)
    if (time === undefined || time < bootTime() - KEPT_NS) rmSync(file, { force: true })
  }
}

/** CLOCK_BOOTTIME in ns; undefined if there is none. */
function timeOf(file: string): bigint | undefined {
  if (!existsSync(file)) return undefined
  try {
    return BigInt(readFileSync(file, 'utf8'))
  } catch {
    return undefined // removed meanwhile, or half written: its DEL has not begun to wait yet
  }
}
