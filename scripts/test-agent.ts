/** An agent for a run of the tests, on a socket of its own. Whatever goes wrong in it is a failure of the run. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const START_MS = 20_000
const STOP_MS = 20_000
/** What an agent with nothing to do may have open: standard streams, libuv's own, its socket, lock and namespace. */
const DESCRIPTORS_MAX = 40

interface Line {
  readonly event: string
}

export class TestAgent {
  readonly #dir = mkdtempSync(join(tmpdir(), 'ngt-agent-'))
  readonly #log = join(this.#dir, 'log')
  readonly #process: ChildProcess
  readonly socket: string = join(this.#dir, 'run/agent.sock')

  constructor(plugin: string) {
    const log = openSync(this.#log, 'a')
    const { CNI_COMMAND, ...env } = process.env
    this.#process = spawn(plugin, ['agent'], {
      env: { ...env, NUGATOR_RUN_DIR: join(this.#dir, 'run'), NUGATOR_STATE_DIR: join(this.#dir, 'state') },
      stdio: ['ignore', 'ignore', log],
    })
    closeSync(log)
    process.once('exit', () => this.#process.kill('SIGKILL'))
  }

  async ready(): Promise<void> {
    const start = performance.now()
    while (!this.#lines().some(({ event }) => event === 'ready')) {
      if (this.#process.exitCode !== null || performance.now() - start > START_MS) {
        throw new Error(`the agent did not start: ${readFileSync(this.#log, 'utf8')}`)
      }
      await pause(20)
    }
  }

  /** Stops it. @returns what was wrong with it, and a line that says what it did */
  async stop(): Promise<{ problems: string[]; summary: string }> {
    const problems: string[] = []
    let summary = 'it does not answer'
    try {
      await pause(500) // for the last deletions to end in the kernel
      const status = JSON.parse(await this.#ask('/status'))
      const calls = Object.values<{ count: number }>(status.verbs).reduce((sum, { count }) => sum + count, 0)
      summary = `${calls} calls through the agent, ${status.refused} sent back to be done cold, ${Math.round(status.rss / 2 ** 20)} MiB`
      if (calls === 0) problems.push('no call came through the agent')
      if (status.inFlight > 0) problems.push(`${status.inFlight} calls are still under way in the agent`)
      problems.push(...this.#held())
    } catch (error) {
      problems.push(`the agent does not answer: ${error instanceof Error ? error.message : String(error)}`)
    }
    const ended = new Promise((done) => this.#process.once('exit', done))
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGTERM')
      await Promise.race([ended, pause(STOP_MS)])
    }
    if (this.#process.exitCode !== 0) {
      problems.push(`the agent ended with ${this.#process.exitCode ?? this.#process.signalCode ?? 'nothing'}`)
      this.#process.kill('SIGKILL')
    }
    for (const line of this.#lines())
      if (line.event === 'error') problems.push(`agent: ${JSON.stringify(line)}`)
    rmSync(this.#dir, { recursive: true, force: true })
    return { problems, summary }
  }

  /** Descriptors and namespaces that an idle agent should not have. */
  #held(): string[] {
    const proc = `/proc/${this.#process.pid}`
    const descriptors = readdirSync(`${proc}/fd`)
    const problems =
      descriptors.length > DESCRIPTORS_MAX ? [`the agent has ${descriptors.length} descriptors open`] : []
    const own = readlinkSync(`${proc}/ns/net`)
    for (const task of readdirSync(`${proc}/task`)) {
      const netns = readlinkSync(`${proc}/task/${task}/ns/net`)
      if (netns !== own) problems.push(`a thread of the agent stayed in ${netns}`)
    }
    for (const fd of descriptors) {
      const target = readlinkSync(`${proc}/fd/${fd}`)
      if (target.startsWith('net:') && target !== own) problems.push(`the agent holds ${target}`)
    }
    return problems
  }

  #lines(): Line[] {
    const text = readFileSync(this.#log, 'utf8')
    return text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
  }

  #ask(path: string): Promise<string> {
    return new Promise((done, failed) => {
      const request = get({ socketPath: this.socket, path, timeout: 10_000 }, (response) => {
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
}
