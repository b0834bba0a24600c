/** A resident agent of a test's own, and what can be seen of it from outside. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Status } from '../../../src/agent/control.ts'
import { type Host, PLUGIN } from './host.ts'

const START_MS = 30_000
const STOP_MS = 20_000

interface Teardown {
  teardown(fn: () => unknown): void
}

/** A line of its log. */
export interface LogLine {
  readonly time: string
  readonly event: string
  readonly [more: string]: unknown
}

export interface AgentOptions {
  /** More of its environment; undefined takes a variable away. */
  readonly env?: Record<string, string | undefined>
  /** Where it runs; the host's namespace if nothing is said. */
  readonly netns?: string
  /** Below a directory of its own if nothing is said. */
  readonly socket?: string
  /** Words before the command line: a program that starts it. */
  readonly by?: readonly string[]
}

export class Agent {
  readonly socket: string
  readonly #process: ChildProcess
  readonly #log: string
  readonly #exited: Promise<unknown>

  private constructor(host: Host, { env, netns = host.path, socket, by = [] }: AgentOptions) {
    const dir = join(host.dir, 'agent')
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.socket = socket ?? join(dir, 'agent.sock')
    this.#log = join(dir, `log-${performance.now()}`)
    const all = {
      PATH: process.env.PATH,
      NUGATOR_STATE_DIR: host.stateDir,
      NUGATOR_RUN_DIR: host.runDir,
      NUGATOR_AGENT_SOCKET: this.socket,
      ...env,
    }
    // tap adds to an environment that is given to spawn
    const variables = Object.entries(all).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}=${value}`,
    )
    const log = openSync(this.#log, 'a')
    // It does not outlive a test that is itself killed.
    const tied = ['setpriv', '--pdeathsig', 'KILL', 'nsenter', `--net=${netns}`]
    const args = ['-i', ...variables, ...tied, ...by, PLUGIN, 'agent']
    this.#process = spawn('env', args, { stdio: ['ignore', 'ignore', log] })
    closeSync(log)
    this.#exited = once(this.#process, 'exit')
  }

  /** One that is ready, and is killed when the test ends. */
  static async start(t: Teardown, host: Host, options: AgentOptions = {}): Promise<Agent> {
    const agent = Agent.begin(t, host, options)
    await agent.says('ready')
    return agent
  }

  /** One that has just been started. */
  static begin(t: Teardown, host: Host, options: AgentOptions = {}): Agent {
    const agent = new Agent(host, options)
    t.teardown(() => agent.kill())
    return agent
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  /** For a call that goes to it. */
  get env(): { NUGATOR_AGENT_SOCKET: string } {
    return { NUGATOR_AGENT_SOCKET: this.socket }
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Everything that it wrote, as text. */
  get log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  /** Its log; throws if a line of it is no JSON. */
  lines(event?: string): LogLine[] {
    const text = this.log
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
    const parsed: LogLine[] = lines.filter((line) => line !== '').map((line) => JSON.parse(line))
    return event === undefined ? parsed : parsed.filter((line) => line.event === event)
  }

  /** Waits until it has said something a number of times. */
  async says(event: string, times = 1): Promise<LogLine[]> {
    const start = performance.now()
    for (;;) {
      const found = this.lines(event)
      if (found.length >= times) return found
      if (!this.isRunning || performance.now() - start > START_MS) {
        throw new Error(`the agent does not say ${event}: ${this.log}`)
      }
      await pause(5)
    }
  }

  status(): Promise<Status> {
    return this.page('/status').then((text): Status => JSON.parse(text))
  }

  /** Asks by HTTP. */
  page(path: string): Promise<string> {
    return new Promise((done, failed) => {
      const request = get({ socketPath: this.socket, path, timeout: 10_000 }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => done(text))
      })
      request.on('timeout', () => request.destroy(new Error('no answer in time')))
      request.on('error', failed)
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Nothing moves in it from now on. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP')
    while (!/^State:\s+T/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'))) await pause(1)
  }

  thaw(): void {
    this.signal('SIGCONT')
  }

  /** Waits for its end. @returns its exit status, or the signal that ended it; null if it still runs then */
  async ended(patience = STOP_MS): Promise<number | NodeJS.Signals | null> {
    await Promise.race([this.#exited, pause(patience, undefined, { ref: false })])
    return this.#process.exitCode ?? this.#process.signalCode
  }

  /** Stops it as a service manager does. */
  stop(): Promise<number | NodeJS.Signals | null> {
    this.signal('SIGTERM')
    return this.ended()
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#exited
  }
}
