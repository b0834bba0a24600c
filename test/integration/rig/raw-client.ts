/** The client's end of the agent's protocol, with whatever a test wants to send. */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

export interface Request {
  magic?: string
  version?: number
  flags?: number
  /** ms from now. */
  deadline?: number
  own?: number
  netns?: number
  env?: Record<string, string>
  stdin?: string | Buffer
  /** Instead of the true ones. */
  envLength?: number
  stdinLength?: number
}

/** CLOCK_BOOTTIME in ns, as near as a file tells it. */
function bootTime(): bigint {
  return BigInt(Math.round(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000)) * 1_000_000n
}

/** A request as bytes. */
export function encodeRequest(request: Request): Buffer {
  const variables = Object.entries(request.env ?? {}).map(([name, value]) => `${name}=${value}\0`)
  const [env, stdin] = [Buffer.from(variables.join('')), Buffer.from(request.stdin ?? '')]
  const header = Buffer.alloc(40)
  header.write(request.magic ?? 'NGAT', 'latin1')
  header.writeUInt16LE(request.version ?? 1, 4)
  header.writeUInt16LE(request.flags ?? 0, 6)
  header.writeBigUInt64LE(bootTime() + BigInt(request.deadline ?? 10_000) * 1_000_000n, 8)
  header.writeBigUInt64LE(bootTime(), 16)
  header.writeInt32LE(request.own ?? -1, 24)
  header.writeInt32LE(request.netns ?? -1, 28)
  header.writeUInt32LE(request.envLength ?? env.length, 32)
  header.writeUInt32LE(request.stdinLength ?? stdin.length, 36)
  return Buffer.concat([header, env, stdin])
}

/** What became of a connection. */
export interface Hearing {
  /** All that the agent said. */
  readonly said: Buffer
  /** ms until it hung up; undefined if it had not within the time given. */
  readonly closed: number | undefined
}

export class RawClient {
  readonly #socket: Socket
  readonly #chunks: Buffer[] = []
  readonly #opened = performance.now()
  #closed: number | undefined
  readonly #end: Promise<void>

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk))
    socket.on('error', () => {}) // the agent may hang up while it is written to
    this.#end = new Promise((done) => {
      socket.on('close', () => {
        this.#closed = performance.now() - this.#opened
        done()
      })
    })
  }

  /** @throws what connect(2) says */
  static open(path: string): Promise<RawClient> {
    return new Promise((done, failed) => {
      const socket = connect({ path })
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        done(new RawClient(socket))
      })
    })
  }

  get isOpen(): boolean {
    return this.#closed === undefined
  }

  send(bytes: Buffer | string): this {
    if (this.isOpen) this.#socket.write(bytes)
    return this
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Waits until the agent hangs up. */
  async heard(patience = 5000): Promise<Hearing> {
    await Promise.race([this.#end, pause(patience, undefined, { ref: false })])
    return { said: Buffer.concat(this.#chunks), closed: this.#closed }
  }
}

/** One request, and what is said to it. */
export async function say(path: string, bytes: Buffer | string, patience?: number): Promise<Hearing> {
  const client = await RawClient.open(path)
  try {
    return await client.send(bytes).heard(patience)
  } finally {
    client.close()
  }
}

/** The verdict of an answer: 0 it is one, 1 go cold; undefined if nothing whole was said. */
export function verdictOf({ said }: Hearing): number | undefined {
  return said.length >= 20 && said.toString('latin1', 0, 4) === 'NGAT' ? said.readUInt16LE(6) : undefined
}
