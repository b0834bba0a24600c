/**
 * Who comes first: whoever adds. A container that starts waits for its ADD; everything else may wait a moment for the
 * ADDs under way, and is done one at a time in between, so that an ADD that comes meanwhile waits for one at most.
 */

/** Nobody is kept waiting longer than this, in ms, however many ADDs there are. */
const PATIENCE_MS = 20
/** Where there was an ADD, another one may be about to come, for this many ms. */
const BETWEEN_ADDS_MS = 10

interface Waiting {
  readonly since: number
  readonly begin: () => void
}

export class Turns {
  readonly #queue: Waiting[] = []
  #adding = 0
  #lastAdd = Number.NEGATIVE_INFINITY
  #scheduled = false

  /** True while there are ADDs, and shortly after. */
  get isAdding(): boolean {
    return this.#adding > 0 || performance.now() - this.#lastAdd < BETWEEN_ADDS_MS
  }

  addBegins(): void {
    this.#adding += 1
  }

  addEnds(): void {
    this.#adding -= 1
    this.#lastAdd = performance.now()
    this.#schedule()
  }

  /** Resolves when something other than an ADD may begin. */
  async wait(): Promise<void> {
    await new Promise<void>((begin) => {
      this.#queue.push({ since: performance.now(), begin })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      const [first] = this.#queue
      if (first === undefined) return
      if (this.#adding > 0 && performance.now() - first.since < PATIENCE_MS) {
        setTimeout(() => this.#schedule(), 1)
        return
      }
      this.#queue.shift()
      first.begin()
      this.#schedule()
    })
  }
}
