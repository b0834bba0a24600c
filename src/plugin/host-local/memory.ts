/**
 * What the directories of leases held when this process left them, so that not every call has to read every file.
 *
 * It is believed only while the directory's mtime is exactly the one that we gave it, still under the lock: a moment
 * in the last minute that nobody else would choose. Whoever adds or removes a file sets it to the present. (To be told
 * by an mtime that the kernel set would not do: its clock for that stands still for up to 10 ms.)
 */
import { type BigIntStats, statfsSync, statSync, utimesSync } from 'node:fs'
import { step } from '../../netlink/steps.ts'
import type { Leases } from './leases.ts'

/** An unused memory goes after this, milliseconds. */
const UNUSED_MS = 5 * 60_000
/** A used one is read anew after this: what writes over leases without the lock is noticed then at the latest. */
const OLDEST_MS = 10 * 60_000
/** Files remembered in all, at some 250 bytes each. */
const MOST_FILES = 100_000

/** File systems whose directories say at once what every process did to them: no network and no FUSE. */
const LOCAL_FILE_SYSTEMS = new Set([
  0xef53, // ext2, 3, 4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x01021994, // tmpfs
  0x794c7630, // overlay
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
])

interface Memory {
  /** Absent after the first visit: most processes come only once. */
  held?: { readonly leases: Leases; readonly left: BigIntStats; readonly since: number } | undefined
  readonly expiry: NodeJS.Timeout
}

/** The most recently used last. */
const memories = new Map<string, Memory>()

/** To be called under the lock. @returns what is in the directory, if that is known for sure */
export function recall(directory: string): Leases | undefined {
  const memory = memories.get(directory)
  if (memory === undefined) return undefined
  memories.delete(directory)
  memories.set(directory, memory)
  memory.expiry.refresh()
  const { held } = memory
  if (held === undefined) return undefined
  const isYoung = performance.now() - held.since < OLDEST_MS
  const found = statSync(directory, { bigint: true, throwIfNoEntry: false })
  if (isYoung && found !== undefined && isSame(held.left, found)) return held.leases
  memory.held = undefined
  return undefined
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino && a.dev === b.dev
}

/**
 * To be called under the lock, as the last thing.
 *
 * @param isRead the files were read just now; otherwise what was recalled has been kept up to date
 */
export function remember(directory: string, leases: Leases, isRead: boolean): void {
  const memory = memories.get(directory)
  if (memory === undefined) {
    const expiry = setTimeout(() => memories.delete(directory), UNUSED_MS)
    memories.set(directory, { expiry: expiry.unref() })
    return
  }
  const since = isRead ? performance.now() : memory.held?.since
  memory.held = undefined
  const left = since === undefined || !hasRoom(directory, leases) ? undefined : leave(directory, isRead)
  if (left !== undefined && since !== undefined) memory.held = { leases, left, since }
}

export function forget(directory: string): void {
  const memory = memories.get(directory)
  if (memory !== undefined) memory.held = undefined
}

/** Gives the directory its mtime. @returns undefined if that does not work here */
function leave(directory: string, isRead: boolean): BigIntStats | undefined {
  try {
    if (isRead && !LOCAL_FILE_SYSTEMS.has(statfsSync(directory).type)) return undefined
    const now = Date.now() / 1000
    const mtime = now - 1 - 59 * Math.random()
    step()
    utimesSync(directory, now, mtime)
    const left = statSync(directory, { bigint: true })
    const off = Number(left.mtimeNs - BigInt(Math.round(mtime * 1e6)) * 1000n)
    return Math.abs(off) < 3000 ? left : undefined // else the file system keeps only seconds
  } catch {
    return undefined // not ours to do: another's directory, a read-only one
  }
}

/** Lets go of what was used least recently. */
function hasRoom(directory: string, leases: Leases): boolean {
  let files = leases.names.size
  for (const [name, { held }] of memories) if (name !== directory) files += held?.leases.names.size ?? 0
  for (const [name, memory] of memories) {
    if (files <= MOST_FILES) break
    if (name === directory) continue
    files -= memory.held?.leases.names.size ?? 0
    memory.held = undefined
  }
  return files <= MOST_FILES
}
