/** The agent's socket: for root alone, and nobody can keep it busy. */
import { mkdirSync, rmSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Calls } from './calls.ts'
import { goCold as coldAnswer, FrameError, frameLength, parseFrame } from './frame.ts'
import { isRoot } from './handover.ts'
import type { Journal } from './journal.ts'

/** Who comes when this many are there is turned away, and goes cold. */
const CONNECTIONS_MAX = 1024
/** For the whole request to arrive, in ms: the client has it ready before it connects. */
const ARRIVAL_MS = 5000
/** For all that is arriving at a time, in bytes: four of the longest requests. */
const ARRIVING_MAX = 64 * 1024 * 1024
/** Who sends no more than this is not turned away for what others send. */
const SHARE = ARRIVING_MAX / CONNECTIONS_MAX
const BACKLOG = 511

export class AgentServer {
  readonly #server: Server
  readonly #calls: Calls
  readonly #control: HttpServer
  readonly #journal: Journal
  readonly #connections = new Set<Socket>()
  /** Those of which the request is not whole yet. */
  readonly #waiting = new Set<Socket>()
  #arriving = 0
  #stopping = false

  constructor(calls: Calls, control: HttpServer, journal: Journal) {
    this.#calls = calls
    this.#control = control
    this.#journal = journal
    this.#server = createServer({ allowHalfOpen: true, noDelay: false }, (socket) => this.#receive(socket))
    this.#server.maxConnections = CONNECTIONS_MAX
  }

  /** Listens on a socket of its own at `path`, in place of what a dead agent left there. */
  async listen(path: string): Promise<void> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    rmSync(path, { force: true })
    const umask = process.umask(0o177)
    try {
      await this.#start({ path, backlog: BACKLOG })
    } finally {
      process.umask(umask)
    }
  }

  /** Listens on a socket that was opened before, by systemd. */
  async listenOn(fd: number): Promise<void> {
    await this.#start({ fd })
  }

  #start(options: { path: string; backlog: number } | { fd: number }): Promise<void> {
    return new Promise((started, failed) => {
      this.#server.once('error', failed)
      this.#server.listen(options, () => {
        this.#server.off('error', failed)
        this.#server.on('error', (error) => this.#journal.say('error', { error: error.message }))
        started()
      })
    })
  }

  /** Takes no more calls; those that came too late go cold. */
  stop(): void {
    this.#stopping = true
    this.#server.close()
    for (const socket of this.#waiting) socket.end(coldAnswer())
  }

  /** Lets go of everybody who is still connected, once he has his answer. */
  close(): void {
    for (const socket of this.#connections) socket.destroySoon()
  }

  #receive(socket: Socket): void {
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', () => socket.destroy())
    if (!isRoot(socket)) {
      this.#journal.say('refused', { why: 'the caller is not root' })
      socket.destroy()
      return
    }
    if (this.#stopping) {
      socket.end(coldAnswer())
      return
    }
    const late = setTimeout(() => socket.destroy(), ARRIVAL_MS)
    const done = () => {
      this.#waiting.delete(socket)
      this.#arriving -= length
      length = 0
      socket.off('data', gather)
    }
    let chunks: Buffer[] = []
    let length = 0
    let wanted: number | undefined
    const gather = (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.length
      this.#arriving += chunk.length
      try {
        if (wanted === undefined) {
          const head = chunks.length === 1 ? chunk : Buffer.concat(chunks)
          chunks = [head]
          if (head.toString('latin1', 0, 4) === 'GET ') return this.#hand(socket, head, done)
          wanted = frameLength(head)
        }
        if (this.#arriving > ARRIVING_MAX && length > SHARE) throw new FrameError('too much at a time')
        if (wanted === undefined || length < wanted) return
        clearTimeout(late)
        done()
        const [only] = chunks
        void this.#answer(socket, chunks.length === 1 && only ? only : Buffer.concat(chunks))
      } catch (error) {
        if (!(error instanceof FrameError)) throw error
        done()
        this.#journal.say('refused', { why: error.message })
        socket.destroy()
      }
    }
    this.#waiting.add(socket)
    socket.on('data', gather)
    socket.on('close', () => {
      clearTimeout(late)
      done()
    })
  }

  async #answer(socket: Socket, bytes: Buffer): Promise<void> {
    try {
      await this.#calls.answer(socket, parseFrame(bytes))
    } catch (error) {
      this.#journal.say('error', {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
      socket.destroy()
    }
  }

  #hand(socket: Socket, head: Buffer, done: () => void): void {
    done()
    socket.pause()
    socket.unshift(head)
    this.#control.emit('connection', socket)
    socket.resume()
  }
}
