/** What the kernel says of an interface (RTM_NEWLINK, linux/if_link.h). */
import * as rt from 'netlink/dist/rt/structs.js'
import { type NetlinkMessage, parseAttributes } from './message.ts'

const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINK = 5
const IFLA_ADDRESS = 1
const IFLA_TXQLEN = 13
const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_GROUP = 27
const IFLA_CARRIER = 33
const IFLA_LINK_NETNSID = 37
const IFLA_PROP_LIST = 52
const IFLA_ALT_IFNAME = 53
const IFLA_INFO_KIND = 1
const IFF_UP = 0x1

/** An interface as the kernel describes it. */
export interface Link {
  readonly index: number
  readonly name: string
  readonly altNames: readonly string[]
  /** `veth`, `bridge`, …; undefined for hardware and `lo`. */
  readonly kind: string | undefined
  /** Lower case, colons; empty if the device has none. */
  readonly mac: string
  readonly mtu: number
  readonly txQueueLength: number
  readonly group: number
  readonly alias: string
  /** For a veth: the peer's ifindex, in the peer's namespace. */
  readonly peerIndex: number | undefined
  /** For a veth whose peer is elsewhere: that namespace as this one numbers it. */
  readonly peerNetnsid: number | undefined
  readonly up: boolean
  readonly carrier: boolean
}

function macFromBytes(bytes: Buffer): string {
  return bytes.toString('hex').replace(/(..)(?!$)/g, '$1:')
}

function text(bytes: Buffer): string {
  return bytes.toString('utf8').replace(/\0+$/, '')
}

/** Reads what nugator needs of an RTM_NEWLINK message; attributes newer than this code are passed over. */
export function parseLink(message: NetlinkMessage): Link {
  const header = rt.parseLink(message.data.subarray(0, rt.__LENGTH_Link))
  const flags = message.data.readUInt32LE(8)
  const altNames: string[] = []
  let name = ''
  let kind: string | undefined
  let mac = ''
  let mtu = 0
  let txQueueLength = 0
  let group = 0
  let alias = ''
  let peerIndex: number | undefined
  let peerNetnsid: number | undefined
  let carrier = false
  parseAttributes(message.data.subarray(rt.__LENGTH_Link), ({ type, data }) => {
    if (type === IFLA_IFNAME) name = text(data)
    else if (type === IFLA_ADDRESS) mac = macFromBytes(data)
    else if (type === IFLA_MTU) mtu = data.readUInt32LE(0)
    else if (type === IFLA_TXQLEN) txQueueLength = data.readUInt32LE(0)
    else if (type === IFLA_GROUP) group = data.readUInt32LE(0)
    else if (type === IFLA_IFALIAS) alias = text(data)
    else if (type === IFLA_LINK) peerIndex = data.readUInt32LE(0)
    else if (type === IFLA_LINK_NETNSID) peerNetnsid = data.readInt32LE(0)
    else if (type === IFLA_CARRIER) carrier = data[0] === 1
    else if (type === IFLA_LINKINFO) {
      parseAttributes(data, (info) => {
        if (info.type === IFLA_INFO_KIND) kind = text(info.data)
      })
    } else if (type === IFLA_PROP_LIST) {
      parseAttributes(data, (property) => {
        if (property.type === IFLA_ALT_IFNAME) altNames.push(text(property.data))
      })
    }
  })
  return {
    index: header.index ?? 0,
    name,
    altNames,
    kind,
    mac,
    mtu,
    txQueueLength,
    group,
    alias,
    peerIndex,
    peerNetnsid,
    up: (flags & IFF_UP) !== 0,
    carrier,
  }
}
