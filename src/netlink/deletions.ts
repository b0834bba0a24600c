/** The kernel's announcements that interfaces are gone (RTM_DELLINK on RTNLGRP_LINK). */
import { closeSync, read } from 'node:fs'
import { promisify } from 'node:util'
import {
  AF_NETLINK,
  addressOf,
  bind,
  receiveNow,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  setsockoptBytes,
  socket,
} from './libc.ts'
import { parseMessages } from './message.ts'
import { errorCode } from './socket.ts'

const NETLINK_ROUTE = 0
const RTMGRP_LINK = 1
const RTM_DELLINK = 17
const SO_ATTACH_FILTER = 26
const SO_RCVTIMEO = 20
const IFINFO_INDEX = 4

/** How long a thread of the pool is kept if nothing happens, in ms: nothing ends the waiting sooner. */
const WAIT_MS = 50

const readElsewhere = promisify(read)

/**
 * Lets only deletions through (classic BPF), so that nobody is woken for the rest. The type is a number in the
 * machine's byte order; BPF reads it as if it were in the network's.
 */
function filter(): { readonly program: Buffer; readonly code: Buffer } {
  const type = Buffer.from(new Uint16Array([RTM_DELLINK]).buffer).readUInt16BE()
  const instructions = [
    [0x28, 0, 0, 4], // ldh [4], nlmsg_type
    [0x15, 0, 1, type], // jeq
    [0x06, 0, 0, 0xffffffff], // ret all
    [0x06, 0, 0, 0], // ret nothing
  ] as const
  const code = Buffer.alloc(8 * instructions.length)
  for (const [line, [operation, yes, no, value]] of instructions.entries()) {
    code.writeUInt16LE(operation, line * 8)
    code.writeUInt8(yes, line * 8 + 2)
    code.writeUInt8(no, line * 8 + 3)
    code.writeUInt32LE(value, line * 8 + 4)
  }
  const program = Buffer.alloc(16)
  program.writeUInt16LE(instructions.length, 0)
  program.writeBigUInt64LE(addressOf(code), 8)
  return { program, code }
}

/** Hears of every interface that is removed in the namespace in which it was made. */
export class DeletionMonitor {
  readonly #fd: number
  readonly #buffer = Buffer.allocUnsafeSlow(32 * 1024)

  /** Opens the socket in the calling thread's network namespace. @throws SystemCallError */
  constructor() {
    this.#fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    const { program } = filter()
    setsockoptBytes(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, program)
    const timeout = Buffer.alloc(16)
    timeout.writeBigInt64LE(BigInt(WAIT_MS) * 1000n, 8)
    setsockoptBytes(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeout)
    const address = Buffer.alloc(12)
    address.writeUInt16LE(AF_NETLINK)
    address.writeUInt32LE(RTMGRP_LINK, 8)
    bind(this.#fd, address)
  }

  /** Waits, in a thread of libuv's pool, at most {@link WAIT_MS}. @returns the ifindexes that are gone */
  async wait(): Promise<number[]> {
    const gone: number[] = []
    try {
      let length: number | undefined = (
        await readElsewhere(this.#fd, this.#buffer, 0, this.#buffer.length, null)
      ).bytesRead
      while (length !== undefined) {
        for (const message of parseMessages(this.#buffer.subarray(0, length))) {
          if (message.type === RTM_DELLINK) gone.push(message.data.readInt32LE(IFINFO_INDEX))
        }
        length = receiveNow(this.#fd, this.#buffer)
      }
    } catch (error) {
      // EAGAIN: nothing happened. ENOBUFS: some were lost, and those who wait learn it by their own ACK.
      const code = errorCode(error)
      if (code !== 'EAGAIN' && code !== 'ENOBUFS') throw error
    }
    return gone
  }

  /** Not while somebody waits. */
  close(): void {
    closeSync(this.#fd)
  }
}
