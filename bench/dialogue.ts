/** A program that is asked by lines on its stdin and answers by lines on its stdout. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

export class Dialogue {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: AsyncIterator<string>
  readonly #program: string

  constructor(program: string, args: readonly string[] = []) {
    this.#program = program
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdin.on('error', () => {}) // if it died, the missing answer says so
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#program} did not start`)
    return this.#child.pid
  }

  async ask(question: string): Promise<string> {
    const [answer = ''] = await this.askFor(1, question)
    return answer
  }

  /** @returns as many lines as there have to be */
  async askFor(lines: number, question: string): Promise<string[]> {
    this.#child.stdin.write(`${question}\n`)
    const answer: string[] = []
    while (answer.length < lines) {
      const line = await this.#answers.next()
      if (line.done)
        throw new Error(`${this.#program} ended (${await this.#end()}) at: ${question.slice(0, 80)}`)
      answer.push(line.value)
    }
    return answer
  }

  /** Exit status or signal. */
  async #end(): Promise<string | number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    return this.#child.exitCode ?? this.#child.signalCode
  }

  /** It ends when it has nothing more to read. */
  stop(): void {
    this.#child.stdin.end()
  }
}
