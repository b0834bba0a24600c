/** Netlink messages as bytes: header, flags, ACKs with their extended text (RFC 3549, linux/netlink.h). */
import {
  AttrStream,
  countLength,
  HEADER_LENGTH,
  type NetlinkMessage,
  parseAttributes,
  parseMessages,
  writeU16,
  writeU32,
} from 'netlink/dist/structs.js'
import { errnoName } from './libc.ts'

export const NLM_F_REQUEST = 0x1
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP_INTR = 0x10
export const NLM_F_DUMP = 0x300
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800

export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1

export type { NetlinkMessage }
export { AttrStream, parseAttributes, parseMessages }

/** One request to the kernel, ready to be sent in a batch. `Reply` is what {@link parse} makes of an answer. */
export interface Request<Reply = never> {
  /** In words, for errors: `add address 10.0.0.1/24 to eth0`. */
  readonly what: string
  readonly type: number
  readonly flags: number
  readonly payload: readonly Uint8Array[]
  /** errno names that are no failure for this request (the result is then simply absent). */
  readonly tolerate?: readonly string[]
  readonly parse?: (message: NetlinkMessage) => Reply | undefined
}

const aligned = (length: number) => (length + 3) & ~3

/** The requests as one buffer for one send, numbered from `seq` on; the last one with `flags` besides its own. */
export function encode(requests: readonly Request<unknown>[], seq: number, flags: number): Buffer {
  const lengths = requests.map(({ payload }) => HEADER_LENGTH + countLength([...payload]))
  const bytes = Buffer.alloc(lengths.reduce((sum, length) => sum + aligned(length), 0))
  let start = 0
  for (const [index, request] of requests.entries()) {
    const length = lengths[index] ?? 0
    writeU32.call(bytes, length, start)
    writeU16.call(bytes, request.type, start + 4)
    const more = index === requests.length - 1 ? flags : 0
    writeU16.call(bytes, request.flags | more | NLM_F_REQUEST, start + 6)
    writeU32.call(bytes, seq + index, start + 8)
    let at = start + HEADER_LENGTH
    for (const part of request.payload) {
      bytes.set(part, at)
      at += part.length
    }
    start += aligned(length)
  }
  return bytes
}

/** An attribute stream built by `fill`, as payload. */
export function attributes(fill: (out: AttrStream) => void): Uint8Array[] {
  const out = new AttrStream()
  fill(out)
  return out.bufs
}

export interface Ack {
  /** errno by name, undefined for success. */
  readonly code: string | undefined
  readonly text: string | undefined
}

const SUCCESS: Ack = { code: undefined, text: undefined }

/** Reads an NLMSG_ERROR (or NLMSG_DONE carrying an errno): the `netlink` package leaves its attributes out. */
export function parseAck(message: NetlinkMessage): Ack {
  if (message.data.length >= 4 && message.data.readInt32LE(0) === 0) return SUCCESS
  const errno = message.data.length >= 4 ? -message.data.readInt32LE(0) : 0
  const code = errno === 0 ? undefined : errnoName(errno)
  if (message.type !== NLMSG_ERROR || (message.flags & NLM_F_ACK_TLVS) === 0) return { code, text: undefined }
  let start = 4 + HEADER_LENGTH
  if ((message.flags & NLM_F_CAPPED) === 0 && errno !== 0) {
    start += (message.data.readUInt32LE(4) - HEADER_LENGTH + 3) & ~3
  }
  let text: string | undefined
  parseAttributes(message.data.subarray(start), (attribute) => {
    if (attribute.type === NLMSGERR_ATTR_MSG) text = attribute.data.toString('utf8').replace(/\0+$/, '')
  })
  return { code, text }
}
