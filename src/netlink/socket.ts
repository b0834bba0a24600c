/**
 * A route netlink socket, synchronous: the kernel has queued every answer by the time the send returns, so
 * reading them needs no event loop, and nothing else can run between a request and its ACK.
 */
import { closeSync, readSync, write, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import { NetlinkError } from './error.ts'
import {
  AF_NETLINK,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SystemCallError,
  setsockoptInt,
  socket,
  tryIoctl,
} from './libc.ts'
import {
  type Ack,
  encode,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseAck,
  parseMessages,
  type Request,
} from './message.ts'
import { step, stepping } from './steps.ts'

const NETLINK_ROUTE = 0
const SOL_NETLINK = 270
const NETLINK_EXT_ACK = 11

const SIOCGIFINDEX = 0x8933
const IFNAMSIZ = 16
const IFREQ_LENGTH = 40

/** As many messages as their ACKs surely fit in a default receive buffer (208 KiB, about 1.3 KiB each). */
const BATCH = 64
const DUMP_TRIES = 10

/** What became of one request of a batch. */
export interface Outcome<Reply> {
  readonly error?: NetlinkError
  /** The answers the kernel sent besides the ACK. */
  readonly replies: Reply[]
}

const writeElsewhere = promisify(write)

// One buffer serves all sockets: reads are synchronous and replies are parsed before the next read.
const buffer = Buffer.allocUnsafeSlow(256 * 1024)

/** The replies; the first failure that its request does not tolerate is thrown. */
export function demand<Reply>(outcomes: readonly Outcome<Reply>[]): Reply[] {
  for (const outcome of outcomes) if (outcome.error !== undefined) throw outcome.error
  return outcomes.flatMap((outcome) => outcome.replies)
}

export class NetlinkSocket {
  readonly fd: number
  #seq = 1

  /** Opens the socket in the calling thread's network namespace; it stays there. @throws SystemCallError */
  constructor() {
    this.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)
    setsockoptInt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
  }

  close(): void {
    closeSync(this.fd)
  }

  /**
   * The ifindex of an interface *known to exist* by this name, by SIOCGIFINDEX: a twentieth of what an RTM_GETLINK
   * costs. Not for asking whether there is one: for a name it does not find the kernel tries to load a module.
   *
   * @returns undefined if it is gone
   */
  indexOf(name: string): number | undefined {
    const request = Buffer.alloc(IFREQ_LENGTH)
    if (request.write(name) >= IFNAMSIZ) return undefined
    const result = tryIoctl(this.fd, SIOCGIFINDEX, request)
    if (result === -constants.errno.ENODEV) return undefined
    if (result < 0) throw new SystemCallError('ioctl SIOCGIFINDEX', -result)
    return request.readInt32LE(IFNAMSIZ)
  }

  /**
   * Sends all requests, several a send, and reads each one's ACK. The kernel goes on after a failed one, so the
   * caller decides what a failure means.
   */
  exchange<Reply>(requests: readonly Request<Reply>[]): Outcome<Reply>[] {
    const outcomes: Outcome<Reply>[] = []
    const size = stepping ? 1 : BATCH
    for (let start = 0; start < requests.length; start += size) {
      outcomes.push(...this.#exchangeBatch(requests.slice(start, start + size)))
    }
    return outcomes
  }

  /**
   * Like {@link exchange}, but the thread that sends, and may be held up in the kernel for long (a deletion or a move
   * waits some 20 ms for RCU), is one of libuv's pool. Nothing else may use the socket meanwhile.
   */
  async exchangeElsewhere<Reply>(requests: readonly Request<Reply>[]): Promise<Outcome<Reply>[]> {
    const outcomes: Outcome<Reply>[] = []
    const size = stepping ? 1 : BATCH
    for (let start = 0; start < requests.length; start += size) {
      const batch = requests.slice(start, start + size)
      const first = this.#seq
      const bytes = this.#encode(batch)
      await writeElsewhere(this.fd, bytes)
      outcomes.push(...this.#collect(batch, first))
    }
    return outcomes
  }

  /** Like {@link exchange}, but the first failure that its request does not tolerate is thrown. */
  request<Reply>(...requests: readonly Request<Reply>[]): Reply[] {
    return demand(this.exchange(requests))
  }

  /** All answers to a dump request; an interrupted dump (NLM_F_DUMP_INTR) is asked again. @throws NetlinkError */
  dump<Reply>(request: Request<Reply>): Reply[] {
    for (let attempt = 1; ; attempt += 1) {
      const seq = this.#seq
      this.#seq += 1
      this.#write(encode([request], seq, NLM_F_DUMP))
      const replies: Reply[] = []
      let interrupted = false
      for (const message of this.#readUntilDone(seq, request.what)) {
        interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0
        if (message.type === NLMSG_DONE) continue
        const reply = request.parse?.(message)
        if (reply !== undefined) replies.push(reply)
      }
      if (!interrupted) return replies
      if (attempt === DUMP_TRIES) {
        throw new NetlinkError(request.what, 'EINTR', `the dump was interrupted ${DUMP_TRIES} times`)
      }
    }
  }

  #exchangeBatch<Reply>(requests: readonly Request<Reply>[]): Outcome<Reply>[] {
    if (requests.length === 0) return []
    const first = this.#seq
    this.#write(this.#encode(requests))
    return this.#collect(requests, first)
  }

  /**
   * NLM_F_ACK on the last request alone. The kernel goes through them in order and answers each failed one in any case,
   * so with the last answer all are there; and an answer less is a read less.
   */
  #encode(requests: readonly Request<unknown>[]): Buffer {
    const bytes = encode(requests, this.#seq, NLM_F_ACK)
    this.#seq += requests.length
    if (stepping && requests.some(changes)) step()
    return bytes
  }

  /** The outcomes of the requests numbered from `first` on, which have been sent. */
  #collect<Reply>(requests: readonly Request<Reply>[], first: number): Outcome<Reply>[] {
    const replies: Reply[][] = requests.map(() => [])
    const acks: (Ack | undefined)[] = requests.map(() => undefined)
    while (acks.at(-1) === undefined) {
      for (const message of this.#read(requests[0]?.what ?? '')) {
        const index = message.seq - first
        const request = requests[index]
        if (request === undefined) continue // an answer to an older, abandoned request
        if (message.type === NLMSG_ERROR) {
          acks[index] = parseAck(message)
        } else {
          const reply = request.parse?.(message)
          if (reply !== undefined) replies[index]?.push(reply)
        }
      }
    }
    return requests.map((request, index) => {
      const ack = acks[index]
      const own = replies[index] ?? []
      if (ack?.code === undefined || request.tolerate?.includes(ack.code)) return { replies: own }
      return { error: new NetlinkError(request.what, ack.code, ack.text), replies: own }
    })
  }

  #write(bytes: Buffer): void {
    writeSync(this.fd, bytes)
  }

  #read(what: string): NetlinkMessage[] {
    try {
      return parseMessages(buffer.subarray(0, readSync(this.fd, buffer)))
    } catch (error) {
      const code = errorCode(error)
      if (code === 'EAGAIN') throw new NetlinkError(what, 'EIO', 'the kernel did not answer')
      throw error
    }
  }

  *#readUntilDone(seq: number, what: string): Generator<NetlinkMessage> {
    for (;;) {
      for (const message of this.#read(what)) {
        if (message.seq !== seq) continue
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          const ack = parseAck(message)
          if (ack.code !== undefined) throw new NetlinkError(what, ack.code, ack.text)
          yield message
          return
        }
        yield message
      }
    }
  }
}

/** rtnetlink numbers its types in fours: NEW, DEL, GET, SET. */
function changes(request: Request<unknown>): boolean {
  return (request.type & 3) !== 2
}

/** The errno name of whatever was thrown, if it carries one. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof NetlinkError || error instanceof SystemCallError) return error.code
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return undefined
}
