import { closeSync, openSync } from 'node:fs'
import { setns, unshareNet } from '../netlink/libc.ts'
import { Netns } from './netns.ts'
import { OWN_NETNS } from './reference.ts'

/** Runs `fn` with a namespace that has no name and ends, with all that is in it, when `fn` returns. */
export function withTemporaryNetns<T>(fn: (netns: Netns) => T extends PromiseLike<unknown> ? never : T): T {
  const home = openSync(OWN_NETNS, 'r')
  let netns: Netns
  try {
    unshareNet()
    try {
      netns = Netns.at(OWN_NETNS)
    } finally {
      try {
        setns(home)
      } catch {
        process.abort() // this thread would not know where it is
      }
    }
  } finally {
    closeSync(home)
  }
  try {
    return fn(netns)
  } finally {
    netns.close()
  }
}
