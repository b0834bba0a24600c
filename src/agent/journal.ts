/** What the agent says of its work: a line of JSON each, on stderr, where systemd's journal takes it up. */

/** How long lines may wait for more to be written together, in ms. */
const GATHER_MS = 20

export class Journal {
  readonly #write: (text: string) => void
  #lines: string[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Something that happened; `event` says what. */
  say(event: string, more: object = {}): void {
    this.#lines.push(JSON.stringify({ time: new Date().toISOString(), event, ...more }))
    // Not before the answer is on its way.
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const lines = this.#lines
    this.#lines = []
    try {
      if (lines.length > 0) this.#write(`${lines.join('\n')}\n`)
    } catch {
      // Nobody reads it: that keeps no container from its wires.
    }
  }
}
