/** A process that listens on a socket and does nothing else: to be killed, stopped, or somebody else's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

const SOURCE = `require('node:net').createServer(() => {})
  .listen({ path: process.argv[1], backlog: Number(process.argv[2]) }, () => process.stdout.write('up'))`

export class ListeningProcess {
  readonly path: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting: Socket[] = []

  private constructor(path: string, uid: number, backlog: number) {
    this.path = path
    this.#child = spawn(process.execPath, ['-e', SOURCE, path, String(backlog)], {
      uid,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#ended = once(this.#child, 'exit')
  }

  /** Accepts connections and never answers, until the test ends. */
  static async start(t: Test, path: string, { uid = 0, backlog = 100 } = {}): Promise<ListeningProcess> {
    const process = new ListeningProcess(path, uid, backlog)
    t.teardown(() => process.kill())
    const { stdout } = process.#child
    if (stdout === null) throw new Error('it has no stdout')
    await Promise.race([
      once(stdout, 'data'),
      process.#ended.then(() => Promise.reject(new Error('it did not start'))),
    ])
    return process
  }

  /** From now on nothing moves in it; the kernel still takes connections for it. */
  stop(): void {
    this.#child.kill('SIGSTOP')
  }

  /** Connects to the stopped process until the kernel takes no more. */
  async fill(): Promise<void> {
    for (;;) {
      const socket = connect(this.path)
      this.#waiting.push(socket)
      const outcome = await new Promise<string | undefined>((done) => {
        socket.once('connect', () => done('connected'))
        socket.once('error', (error: NodeJS.ErrnoException) => done(error.code))
      })
      if (outcome === 'EAGAIN') return
      if (outcome !== 'connected') throw new Error(`connecting: ${outcome}`)
    }
  }

  /** Leaves the socket file behind. */
  async kill(): Promise<void> {
    for (const socket of this.#waiting.splice(0)) socket.destroy()
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
