import { insideNew } from './inside.ts'
import { Netns } from './netns.ts'

/** Runs `fn` with a namespace that has no name and ends, with all that is in it, when `fn` returns. */
export function withTemporaryNetns<T>(fn: (netns: Netns) => T extends PromiseLike<unknown> ? never : T): T {
  const netns = insideNew(() => Netns.current())
  try {
    return fn(netns)
  } finally {
    netns.close()
  }
}
