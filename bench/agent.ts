/** The agent of a host: started for a scene, made warm, asked what it did. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Host } from './host.ts'
import { agentSocket, type Contestant, nugator, nugatorEnv } from './plugins.ts'
import { quantile } from './stats.ts'

const START_MS = 20_000
/** USER_HZ: the unit of CPU time in /proc. */
const TICK_MS = 10

/** A line of its journal for a call. */
interface CallLine {
  readonly verb: string
  readonly containerID: string
  readonly us: number
  readonly parts: Readonly<Record<string, number>>
}

export class Agent {
  readonly #host: Host
  readonly #log: string
  readonly #process: ChildProcess

  private constructor(host: Host) {
    this.#host = host
    this.#log = join(host.ground.dir, 'agent.log')
    const log = openSync(this.#log, 'a')
    // It ends with the bench even where the bench is killed.
    const args = ['--pdeathsig', 'KILL', 'nsenter', `--net=${host.netns}`, nugator(), 'agent']
    this.#process = spawn('setpriv', args, {
      env: { PATH: process.env.PATH, ...nugatorEnv(host) },
      stdio: ['ignore', 'ignore', log],
    })
    closeSync(log)
  }

  /** Runs something with an agent on the host, and makes sure that the agent did what it was asked to. */
  static async with<T>(host: Host, work: (agent: Agent) => Promise<T>): Promise<T> {
    const agent = new Agent(host)
    try {
      await agent.#ready()
      const outcome = await work(agent)
      await agent.#vouch()
      return outcome
    } finally {
      agent.#process.kill('SIGTERM')
      await agent.#ended()
    }
  }

  async #ready(): Promise<void> {
    const start = performance.now()
    while (!readFileSync(this.#log, 'utf8').includes('"ready"')) {
      if (this.#process.exitCode !== null || performance.now() - start > START_MS)
        throw new Error(`the agent did not start: ${readFileSync(this.#log, 'utf8')}`)
      await pause(20)
    }
  }

  /** @throws if calls that were to be hot were not */
  async #vouch(): Promise<void> {
    const { refused, verbs } = await this.status()
    const answered = Object.values(verbs).reduce((sum, { count }) => sum + count, 0)
    const { hot } = this.#host.caller
    if (answered !== hot || refused > 0)
      throw new Error(`of ${hot} calls the agent answered ${answered} and sent ${refused} back`)
  }

  async #ended(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((done) => this.#process.once('exit', done))
    const late = setTimeout(() => this.#process.kill('SIGKILL'), START_MS)
    await ended
    clearTimeout(late)
  }

  /**
   * ADDs and DELs that do not count, so that the agent is measured as one that has been there for a while: compiled by
   * V8, its caches filled.
   */
  async warm(contestant: Contestant, calls = 400, callers = 4): Promise<void> {
    const containers = await this.#host.containers(50)
    for (let done = 0; done < calls; done += containers.length) {
      await this.#host.caller.many(containers.map(contestant.add), callers)
      await this.#host.caller.many(containers.map(contestant.del), callers)
    }
    await this.#host.quiet(1000)
  }

  async status(): Promise<{ rss: number; refused: number; verbs: Record<string, { count: number }> }> {
    return JSON.parse(await ask(agentSocket(this.#host), '/status'))
  }

  /** Bytes, as the kernel counts them: VmRSS. */
  get rss(): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024
  }

  /** CPU time so far, user and system; ms. */
  get cpu(): number {
    // The second field is the program's name, which may have spaces.
    const fields =
      readFileSync(`/proc/${this.#process.pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS
  }

  /**
   * What the last so many calls of a verb (of a container, if one is named) spent their time on inside the agent:
   * medians of each part, µs.
   */
  async split(verb: string, last: number, id?: string): Promise<Record<string, number>> {
    await pause(100) // the journal gathers its lines
    const calls = this.#calls(verb)
      .filter(({ containerID }) => id === undefined || id === containerID)
      .slice(-last)
    const names = new Set(calls.flatMap(({ parts }) => Object.keys(parts)))
    const medianOf = (part: string) =>
      quantile(
        calls.map(({ parts }) => parts[part] ?? 0),
        0.5,
      )
    return Object.fromEntries([...names].map((name) => [name, medianOf(name)]))
  }

  #calls(verb: string): CallLine[] {
    const lines = readFileSync(this.#log, 'utf8').split('\n')
    return lines.filter((line) => line.includes(`"verb":"${verb}"`)).map((line) => JSON.parse(line))
  }
}

function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((done, failed) => {
    const request = get({ socketPath, path, timeout: 10_000 }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk
      })
      response.on('end', () => done(text))
    })
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('error', failed)
  })
}
