/** The agent's end of the client's protocol, version 1, with answers that a test makes up. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const REQUEST_HEADER = 40

/** What a client sent. Numbers are little-endian: x86-64 and ARM. */
export interface Frame {
  readonly magic: string
  readonly version: number
  readonly flags: number
  /** CLOCK_BOOTTIME, ns. */
  readonly deadline: bigint
  readonly began: bigint
  readonly own: number
  readonly netns: number
  /** NAME=VALUE each. */
  readonly env: readonly string[]
  readonly stdin: Buffer
}

/** The frame that the bytes are, or undefined as long as they are not a whole one. */
function frameOf(bytes: Buffer): Frame | undefined {
  if (bytes.length < REQUEST_HEADER) return undefined
  const input = REQUEST_HEADER + bytes.readUInt32LE(32)
  if (bytes.length < input + bytes.readUInt32LE(36)) return undefined
  return {
    magic: bytes.toString('latin1', 0, 4),
    version: bytes.readUInt16LE(4),
    flags: bytes.readUInt16LE(6),
    deadline: bytes.readBigUInt64LE(8),
    began: bytes.readBigUInt64LE(16),
    own: bytes.readInt32LE(24),
    netns: bytes.readInt32LE(28),
    env: bytes.toString('latin1', REQUEST_HEADER, input).split('\0').slice(0, -1),
    stdin: bytes.subarray(input),
  }
}

export interface Answer {
  magic?: string
  version?: number
  verdict?: number
  status?: number
  stdout?: Buffer | string
  stderr?: Buffer | string
  /** Instead of the true ones. */
  stdoutLength?: number
  stderrLength?: number
}

/** An answer as bytes. */
export function encode(answer: Answer): Buffer {
  const [stdout, stderr] = [Buffer.from(answer.stdout ?? ''), Buffer.from(answer.stderr ?? '')]
  const header = Buffer.alloc(20)
  header.write(answer.magic ?? 'NGAT', 'latin1')
  header.writeUInt16LE(answer.version ?? 1, 4)
  header.writeUInt16LE(answer.verdict ?? 0, 6)
  header.writeInt32LE(answer.status ?? 0, 8)
  header.writeUInt32LE(answer.stdoutLength ?? stdout.length, 12)
  header.writeUInt32LE(answer.stderrLength ?? stderr.length, 16)
  return Buffer.concat([header, stdout, stderr])
}

/** What is done when a whole request is there. */
export type Script = (socket: Socket, frame: Frame) => unknown

/** Answers each request and hangs up. */
export const answering =
  (answer: Answer): Script =>
  (socket) =>
    socket.end(encode(answer))

export class ScriptedAgent {
  readonly path: string
  /** The requests that came whole. */
  readonly frames: Frame[] = []
  connections = 0
  script: Script
  /** Called as soon as somebody connects. */
  greet: (socket: Socket) => unknown = () => {}
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(path: string, script: Script) {
    this.path = path
    this.script = script
    this.#server = createServer((socket) => this.#serve(socket))
  }

  /** One that listens until the test ends; at `path`, or somewhere of its own. */
  static async start(t: Test, script: Script, path?: string): Promise<ScriptedAgent> {
    const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
    t.teardown(() => rmSync(dir, { recursive: true, force: true }))
    const agent = new ScriptedAgent(path ?? join(dir, 'agent.sock'), script)
    await new Promise<void>((done) => agent.#server.listen(agent.path, done))
    t.teardown(() => agent.#stop())
    return agent
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {}) // a client that hung up
    let bytes = Buffer.alloc(0)
    let length = 0
    let asked = false
    socket.on('data', (chunk) => {
      if (asked) return
      if (length + chunk.length > bytes.length) bytes = Buffer.concat([bytes], 2 * (length + chunk.length))
      length += chunk.copy(bytes, length)
      const frame = frameOf(bytes.subarray(0, length))
      if (frame === undefined) return
      asked = true
      this.frames.push(frame)
      this.script(socket, frame)
    })
    this.greet(socket)
  }

  #stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((done) => this.#server.close(() => done()))
  }
}
