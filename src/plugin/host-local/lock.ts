/**
 * host-local's lock on a directory of leases: an flock on its file `lock`. Within this process calls wait in a queue;
 * against others the flock is tried again and again, for a blocking one would stop every other call as well.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CniError, Code } from '../../cni/error.ts'
import { tryFlock } from '../../netlink/libc.ts'
import { step } from '../../netlink/steps.ts'
import { errnoOf, pathRefusal, reasonOf, refusal } from './wording.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const FIRST_WAIT_MS = 0.5
const LONGEST_WAIT_MS = 8

/** The end of each directory's queue. */
const queues = new Map<string, Promise<void>>()

/**
 * Does `work` while no other host-local, ours or the real one, is at the directory, which is made if need be.
 *
 * @param proceed called whenever there was something to wait for; what it throws ends the waiting
 * @throws CniError: internal if the lock cannot be had, in the real one's words; "try again later" after 30 s
 */
export async function underLock<T>(
  directory: string,
  proceed: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeout()
  const before = queues.get(directory)
  let leave = () => {}
  const stay = new Promise<void>((resolve) => {
    leave = resolve
  })
  const end = before === undefined ? stay : before.then(() => stay)
  queues.set(directory, end)
  try {
    if (before !== undefined) await inTime(before, deadline, directory)
    proceed()
    const fd = await lock(directory, deadline, proceed)
    try {
      return await work()
    } finally {
      closeSync(fd) // which gives the lock back
    }
  } finally {
    leave()
    if (queues.get(directory) === end) queues.delete(directory)
  }
}

function inTime(before: Promise<void>, deadline: number, directory: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(busy(directory)), deadline - performance.now())
    void before.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** @returns the descriptor that holds the lock */
async function lock(directory: string, deadline: number, proceed: () => void): Promise<number> {
  const path = `${directory}/lock`
  for (let wait = FIRST_WAIT_MS; ; ) {
    const fd = open(directory, path)
    try {
      if (hasLock(fd) && isStill(path, fd)) return fd
    } catch (error) {
      closeSync(fd)
      throw error
    }
    closeSync(fd)
    if (performance.now() > deadline) throw busy(directory)
    await sleep(wait * (0.5 + Math.random()))
    wait = Math.min(wait * 1.5, LONGEST_WAIT_MS)
    proceed()
  }
}

/** Where there are no locks at all (some network file systems), the real one goes on without. */
function hasLock(fd: number): boolean {
  try {
    return tryFlock(fd)
  } catch {
    return true
  }
}

/** The directory may have been removed and made again meanwhile. */
function isStill(path: string, fd: number): boolean {
  const held = fstatSync(fd)
  if (held.isDirectory()) throw refusal('is a directory')
  const named = statOf(path)
  return named !== undefined && named.ino === held.ino && named.dev === held.dev
}

const { O_CREAT, O_NONBLOCK, O_RDONLY } = constants

function open(directory: string, path: string): number {
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK)
  } catch {
    // not there yet, or nothing that can be a lock: the real one's way says which
  }
  makeDirectory(directory)
  step()
  try {
    return openSync(path, O_RDONLY | O_NONBLOCK | O_CREAT, 0o750)
  } catch (error) {
    throw refusal(reasonOf(error))
  }
}

/** os.MkdirAll, for its errors name the directory at fault. */
function makeDirectory(path: string): void {
  const there = statOf(path)
  if (there?.isDirectory()) return
  if (there !== undefined) throw refusal(`mkdir ${path}: not a directory`)
  if (dirname(path) !== path) makeDirectory(dirname(path))
  step()
  try {
    mkdirSync(path, 0o755)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !statOf(path)?.isDirectory()) throw pathRefusal('mkdir', path, error)
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}

function busy(directory: string): CniError {
  const seconds = timeout() / 1000
  return new CniError(
    Code.tryAgainLater,
    `the leases in ${directory} have been in use by others for ${seconds} s`,
    'try again later',
  )
}

/** How long to wait for the lock in all, milliseconds. */
function timeout(): number {
  const asked = Number(process.env.NUGATOR_LOCK_TIMEOUT_MS)
  return Number.isFinite(asked) && asked > 0 ? asked : DEFAULT_TIMEOUT_MS
}
