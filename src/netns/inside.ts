import { openSync } from 'node:fs'
import { setns, unshareNet } from '../netlink/libc.ts'
import { OWN_NETNS } from './reference.ts'

let away = false
let home: number | undefined

/**
 * Runs `fn` with the calling thread inside the namespace open at `fd`, then returns home.
 *
 * `fn` is synchronous, always: setns(2) moves one thread, and anything asynchronous would run on another one or
 * after the return. If the way home fails the process aborts, for it could no longer know where it acts.
 *
 * @throws SystemCallError if the namespace cannot be entered, and whatever `fn` throws
 */
export function inside<T>(fd: number, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  if (away) throw new Error('inside() does not nest')
  // Opened once: a thread's own namespace never changes, and this lies on the way of every wire.
  home ??= openSync(OWN_NETNS, 'r')
  setns(fd)
  return returning(home, fn)
}

function returning<T>(to: number, fn: () => T): T {
  away = true
  try {
    return fn()
  } finally {
    try {
      setns(to)
    } catch {
      process.abort()
    }
    away = false
  }
}

/** Runs `fn` with the calling thread in a new, empty namespace, which ends unless `fn` keeps hold of it. */
export function insideNew<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
  if (away) throw new Error('inside() does not nest')
  home ??= openSync(OWN_NETNS, 'r')
  unshareNet()
  return returning(home, fn)
}
