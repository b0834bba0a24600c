/** What the agent does when it has nothing to do: it gives back the memory that a burst of calls took. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { releaseMemory } from '../netlink/libc.ts'

/** Without a call, in ms. */
const IDLE_MS = 1000
const FREED_MS = 200

export class Rest {
  #timer: NodeJS.Timeout | undefined

  /** To be called at each call. The collection that follows the last one takes some 10 ms. */
  later(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(rest, IDLE_MS).unref()
    else this.#timer.refresh()
  }
}

function rest(): void {
  collectGarbage({ type: 'major', flavor: 'last-resort' })
  // Buffers are freed in the background, after it.
  setTimeout(releaseMemory, FREED_MS).unref()
}

// V8 collects when it needs to, and an agent of a machine where nothing happens would never need to.
setFlagsFromString('--expose-gc')
const collectGarbage: (how: object) => void = runInNewContext('gc')
