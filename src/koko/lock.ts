/**
 * One flock for each attachment and each link. The file goes away with the lock; whoever then holds a lock on
 * a file that is no longer the one of that name simply tries again.
 */
import { closeSync, fstatSync, openSync, readdirSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryFlock } from '../netlink/libc.ts'
import { errorCode } from '../netlink/socket.ts'
import { WireError } from './error.ts'
import { makePrivate, removeFile } from './private-files.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const FIRST_WAIT_MS = 1
const LONGEST_WAIT_MS = 20

export interface Lock {
  release(): void
}

/** Takes the lock if it is free. */
export function tryLock(directory: string, key: string): Lock | undefined {
  const file = `${directory}/${key}`
  for (;;) {
    const fd = open(file, directory)
    if (!tryFlock(fd)) {
      closeSync(fd)
      return undefined
    }
    if (isStill(file, fd)) {
      return {
        release() {
          removeFile(file)
          closeSync(fd)
        },
      }
    }
    closeSync(fd)
  }
}

function open(file: string, directory: string): number {
  try {
    return openSync(file, 'a', 0o600)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    makePrivate(directory)
    return openSync(file, 'a', 0o600)
  }
}

function isStill(file: string, fd: number): boolean {
  const held = fstatSync(fd)
  const named = statSync(file, { throwIfNoEntry: false })
  return named !== undefined && named.ino === held.ino && named.dev === held.dev
}

/** Waits for the lock, never on the main thread. @throws WireError ('busy') after `timeout` ms */
export async function lock(directory: string, key: string, timeout = lockTimeout()): Promise<Lock> {
  const deadline = performance.now() + timeout
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const held = tryLock(directory, key)
    if (held !== undefined) return held
    if (performance.now() > deadline) {
      throw new WireError(
        'busy',
        `another nugator has been working on this for ${timeout} ms`,
        'try again later',
      )
    }
    await sleep(wait * (0.5 + Math.random()))
  }
}

function lockTimeout(): number {
  const asked = Number(process.env.NUGATOR_LOCK_TIMEOUT_MS)
  return Number.isFinite(asked) && asked > 0 ? asked : DEFAULT_TIMEOUT_MS
}

/** Removes the files of locks that nobody holds: what killed processes left. */
export function sweepLocks(directory: string): void {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    return // no directory, no locks
  }
  for (const name of names) {
    try {
      tryLock(directory, name)?.release()
    } catch {
      // something that is no lock of ours
    }
  }
}
