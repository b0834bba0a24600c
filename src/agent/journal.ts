/** What the agent says of its work: a line of JSON each, on stderr, where systemd's journal takes it up. */

/** How long lines may wait for more to be written together, in ms. */
const GATHER_MS = 20
/** Lines that wait for a reader who does not read; the rest is lost. */
const WAITING_MAX = 10_000

export class Journal {
  readonly #write: (text: string) => Promise<unknown>
  #lines: string[] = []
  #lost = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined

  /** @param write resolves when it is written; until then nothing more is */
  constructor(write: (text: string) => Promise<unknown>) {
    this.#write = write
  }

  /** Something that happened; `event` says what. */
  say(event: string, more: object = {}): void {
    if (this.#lines.length < WAITING_MAX) {
      this.#lines.push(JSON.stringify({ time: new Date().toISOString(), event, ...more }))
    } else {
      this.#lost += 1
    }
    this.#later()
  }

  /** Resolves when all has been written. Nobody who reads slowly, or not at all, keeps a container from its wires. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.#writing !== undefined) await this.#writing
    const lines = this.#lines
    if (lines.length === 0) return
    if (this.#lost > 0) lines.push(JSON.stringify({ event: 'lost', lines: this.#lost }))
    this.#lines = []
    this.#lost = 0
    this.#writing = this.#write(`${lines.join('\n')}\n`)
      .catch(() => {})
      .then(() => {
        this.#writing = undefined
        if (this.#lines.length > 0) this.#later()
      })
    await this.#writing
  }

  /** Not before the answer is on its way. */
  #later(): void {
    if (this.#writing === undefined) this.#timer ??= setTimeout(() => void this.flush(), GATHER_MS)
  }
}
