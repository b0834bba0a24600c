/**
 * One lock for each attachment and each link: a byte of one file, at an offset made of its key (an open file
 * description lock, fcntl(2)). Nothing is made and nothing removed, so no lock can be left behind, and a file system
 * that is slow to make files (ext4, after many deletions) is not asked to.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLockByte } from '../netlink/libc.ts'
import { errorCode } from '../netlink/socket.ts'
import { WireError } from './error.ts'
import { makePrivate } from './private-files.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const FIRST_WAIT_MS = 1
const LONGEST_WAIT_MS = 20
/** Hex digits of a key that make an offset: 60 bits, so two keys hardly ever meet, and then they only wait. */
const DIGITS = 15

export interface Lock {
  release(): void
}

/** Takes the lock if it is free. @param key hex digits */
export function tryLock(file: string, key: string): Lock | undefined {
  for (;;) {
    const fd = open(file)
    if (!tryLockByte(fd, BigInt(`0x${key.slice(0, DIGITS)}`))) {
      closeSync(fd)
      return undefined
    }
    if (isStill(file, fd)) return { release: () => closeSync(fd) }
    closeSync(fd) // somebody has cleared the directory: whoever comes next would not see this lock
  }
}

function open(file: string): number {
  try {
    return openSync(file, 'a', 0o600)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    makePrivate(dirname(file))
    return openSync(file, 'a', 0o600)
  }
}

function isStill(file: string, fd: number): boolean {
  const held = fstatSync(fd)
  const named = statSync(file, { throwIfNoEntry: false })
  return named !== undefined && named.ino === held.ino && named.dev === held.dev
}

/** Waits for the lock, never on the main thread. @throws WireError ('busy') after `timeout` ms */
export async function lock(file: string, key: string, timeout = lockTimeout()): Promise<Lock> {
  const deadline = performance.now() + timeout
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const held = tryLock(file, key)
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
