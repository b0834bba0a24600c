/** A process of its own with our host-local: one question a line, one answer a line, as many at once as are asked. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type Ask, askOurs, type Outcome } from './host-local.ts'

interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class HostLocalProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (outcome: Outcome | undefined) => void>()
  readonly ended: Promise<Exit>
  #asked = 0
  #isDead = false

  constructor(env: Record<string, string> = {}) {
    this.#child = spawn(process.execPath, [import.meta.filename], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const { stdin, stdout } = this.#child
    stdin?.on('error', () => {}) // it may be dead
    if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => this.#answer(line))
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        this.#isDead = true
        for (const answer of this.#waiting.values()) answer(undefined)
        resolve({ code, signal })
      })
    })
  }

  #answer(line: string): void {
    const { number, outcome }: { number: number; outcome: Outcome } = JSON.parse(line)
    this.#waiting.get(number)?.(outcome)
    this.#waiting.delete(number)
  }

  /** @returns undefined if the process is dead, or died of it */
  async ask(ask: Ask): Promise<Outcome | undefined> {
    if (this.#isDead) return undefined
    this.#asked += 1
    const number = this.#asked
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve)
      this.#child.stdin?.write(`${JSON.stringify({ number, ask })}\n`)
    })
  }

  end(): Promise<Exit> {
    this.#child.stdin?.end()
    return this.ended
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal)
  }
}

/** One call in a process that ends with it. */
export async function askOnce(ask: Ask, env: Record<string, string> = {}): Promise<Outcome | undefined> {
  const once = new HostLocalProcess(env)
  const outcome = await once.ask(ask)
  await once.end()
  return outcome
}

if (import.meta.main) {
  const open = new Set<Promise<void>>()
  for await (const line of createInterface({ input: process.stdin })) {
    const { number, ask }: { number: number; ask: Ask } = JSON.parse(line)
    const answered = askOurs(ask).then((outcome) => {
      process.stdout.write(`${JSON.stringify({ number, outcome })}\n`)
      open.delete(answered)
    })
    open.add(answered)
  }
  await Promise.all(open)
}
