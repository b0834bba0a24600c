/** RTM_*ADDR requests (linux/if_addr.h). Addresses are raw bytes here: 4 or 16. */
import * as rt from 'netlink/dist/rt/structs.js'
import { putU32 } from 'netlink/dist/structs.js'
import {
  type AttrStream,
  attributes,
  type NetlinkMessage,
  NLM_F_CREATE,
  NLM_F_EXCL,
  parseAttributes,
  type Request,
} from './message.ts'

const { NEWADDR, GETADDR } = rt.MessageType

const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
const IFA_FLAGS = 8
const IFA_F_NODAD = 0x02
const IFA_F_NOPREFIXROUTE = 0x200
export const IFA_F_DADFAILED = 0x08
export const IFA_F_TENTATIVE = 0x40

export const AF_INET = 2
export const AF_INET6 = 10

export interface InterfaceAddress {
  readonly family: 4 | 6
  readonly index: number
  readonly bytes: Buffer
  readonly prefix: number
  /** 0 global, 253 link. */
  readonly scope: number
  readonly tentative: boolean
  readonly dadFailed: boolean
}

export interface AddressChange {
  readonly index: number
  readonly bytes: Buffer
  readonly prefix: number
  /** In words, for errors. */
  readonly text: string
  /** 0 global (default), 253 link. */
  readonly scope?: number
  /** Leave out the route to the prefix that the kernel would add. */
  readonly noPrefixRoute?: boolean
}

function payload(change: AddressChange, extra: (out: AttrStream, ipv4: boolean) => void): Uint8Array[] {
  const { bytes, prefix, index, scope = 0 } = change
  const ipv4 = bytes.length === 4
  return attributes((out) => {
    out.emit(rt.formatAddress({ family: ipv4 ? AF_INET : AF_INET6, prefixlen: prefix, index, scope }))
    out.push(IFA_LOCAL, bytes)
    out.push(IFA_ADDRESS, bytes)
    extra(out, ipv4)
  })
}

function broadcastOf(bytes: Buffer, prefix: number): Buffer {
  const broadcast = Buffer.alloc(4)
  broadcast.writeUInt32BE((bytes.readUInt32BE(0) | (0xffffffff >>> prefix)) >>> 0)
  return broadcast
}

/** Adds an address, usable at once: IPv6 without duplicate address detection (IFA_F_NODAD). */
export function addAddress(change: AddressChange): Request {
  return {
    what: `add address ${change.text}`,
    type: NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: payload(change, (out, ipv4) => {
      if (ipv4 && change.prefix < 31) out.push(IFA_BROADCAST, broadcastOf(change.bytes, change.prefix))
      // Both ends of the wire are ours: nobody else can hold the address.
      const flags = (ipv4 ? 0 : IFA_F_NODAD) | (change.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0)
      if (flags !== 0) out.push(IFA_FLAGS, putU32(flags))
    }),
  }
}

/** The addresses of all interfaces, or of one, for `dump`. */
export function listAddresses(index = 0): Request<InterfaceAddress> {
  return {
    what: 'list addresses',
    type: GETADDR,
    flags: 0,
    parse: parseAddress,
    payload: attributes((out) =>
      rt.formatAddressMessage({ kind: 'address', data: { index }, attrs: {} }, out),
    ),
  }
}

function parseAddress(message: NetlinkMessage): InterfaceAddress {
  const family = message.data[0] === AF_INET6 ? 6 : 4
  let flags = message.data[2] ?? 0
  let address: Buffer | undefined
  let local: Buffer | undefined
  parseAttributes(message.data.subarray(rt.__LENGTH_Address), ({ type, data }) => {
    if (type === IFA_ADDRESS) address = Buffer.from(data)
    else if (type === IFA_LOCAL) local = Buffer.from(data)
    else if (type === IFA_FLAGS) flags = data.readUInt32LE(0)
  })
  return {
    family,
    index: message.data.readUInt32LE(4),
    bytes: local ?? address ?? Buffer.alloc(family === 4 ? 4 : 16),
    prefix: message.data[1] ?? 0,
    scope: message.data[3] ?? 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    dadFailed: (flags & IFA_F_DADFAILED) !== 0,
  }
}
