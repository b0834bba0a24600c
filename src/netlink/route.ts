/** RTM_*ROUTE requests (linux/rtnetlink.h). Addresses are raw bytes here: 4 or 16. */
import * as rt from 'netlink/dist/rt/structs.js'
import { AF_INET, AF_INET6 } from './address.ts'
import {
  attributes,
  type NetlinkMessage,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  parseAttributes,
  type Request,
} from './message.ts'

const { NEWROUTE, GETROUTE } = rt.MessageType

const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_METRICS = 8
const RTA_MULTIPATH = 9
const RTA_TABLE = 15
const RTA_VIA = 18
const RTAX_MTU = 2
const RTAX_ADVMSS = 8
const RTNH_F_ONLINK = 4
const RTM_F_CLONED = 0x200
const RTNH_LENGTH = 8

export const RT_TABLE_MAIN = 254
export const RT_SCOPE_UNIVERSE = 0
export const RT_SCOPE_LINK = 253
export const RT_SCOPE_HOST = 254

export interface RouteChange {
  /** In words, for errors. */
  readonly text: string
  readonly family: 4 | 6
  readonly dst: Buffer
  readonly prefix: number
  /** Outgoing ifindex. */
  readonly index: number
  readonly gateway?: Buffer
  readonly source?: Buffer
  readonly table?: number
  readonly scope?: number
  readonly priority?: number
  readonly mtu?: number
  readonly advmss?: number
  /** The gateway is reachable on this link whatever the addresses say. */
  readonly onlink?: boolean
  /** Fail if there is any route to this destination in the table, with this priority. */
  readonly exclusive?: boolean
}

export interface KernelRoute {
  readonly family: 4 | 6
  readonly dst: Buffer
  readonly prefix: number
  readonly table: number
  readonly scope: number
  /** RTN_UNICAST is 1. */
  readonly type: number
  readonly protocol: number
  readonly priority: number
  readonly source: Buffer | undefined
  readonly mtu: number | undefined
  readonly advmss: number | undefined
  /** One for a plain route, several for a multipath one. */
  readonly hops: readonly { readonly index: number; readonly gateway: Buffer | undefined }[]
}

function message(route: RouteChange, scope: number, created: boolean): Uint8Array[] {
  const table = route.table ?? RT_TABLE_MAIN
  const metrics = {
    ...(route.mtu ? { mtu: u32(route.mtu) } : {}),
    ...(route.advmss ? { advmss: u32(route.advmss) } : {}),
  }
  return attributes((out) =>
    rt.formatRouteMessage(
      {
        kind: 'route',
        data: {
          family: route.family === 4 ? AF_INET : AF_INET6,
          dstLen: route.prefix,
          table: table < 256 ? table : 0,
          scope,
          ...(created ? { protocol: 'BOOT' as const, type: 'UNICAST' as const } : {}),
          // The package models rtm_flags as RTM_F_*; next-hop flags share the field.
          ...(route.onlink ? { flags: { __unknown: RTNH_F_ONLINK } } : {}),
        },
        attrs: {
          ...(route.prefix === 0 ? {} : { dst: route.dst }),
          oif: route.index,
          table,
          ...(route.gateway ? { gateway: route.gateway } : {}),
          ...(route.source ? { prefsrc: route.source } : {}),
          ...(route.priority ? { priority: route.priority } : {}),
          ...(Object.keys(metrics).length > 0 ? { metrics } : {}),
        },
      },
      out,
    ),
  )
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/**
 * Adds a route. Another route to the same destination with another gateway comes after it (IPv4: the first one
 * counts; IPv6: both, ECMP); an exact duplicate is EEXIST. Without `scope`: universe with a gateway, else link (as `ip route add`).
 */
export function addRoute(route: RouteChange): Request {
  const scope = route.scope ?? (route.gateway || route.family === 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK)
  return {
    what: `add route ${route.text}`,
    type: NEWROUTE,
    flags: NLM_F_CREATE | (route.exclusive ? NLM_F_EXCL : NLM_F_APPEND),
    payload: message(route, scope, true),
  }
}

/** The routes of one family in all tables, for `dump`. */
export function listRoutes(family: 4 | 6): Request<KernelRoute> {
  return {
    what: `list IPv${family} routes`,
    type: GETROUTE,
    flags: 0,
    parse: parseRoute,
    payload: attributes((out) =>
      rt.formatRouteMessage(
        { kind: 'route', data: { family: family === 4 ? AF_INET : AF_INET6 }, attrs: {} },
        out,
      ),
    ),
  }
}

function parseRoute(message: NetlinkMessage): KernelRoute | undefined {
  const header = message.data
  const flags = header.readUInt32LE(8)
  if ((flags & RTM_F_CLONED) !== 0) return undefined // a cached path, not a route anybody set
  const family = header[0] === AF_INET6 ? 6 : 4
  let dst: Buffer = Buffer.alloc(family === 4 ? 4 : 16)
  let table = header[4] ?? 0
  let priority = 0
  let source: Buffer | undefined
  let mtu: number | undefined
  let advmss: number | undefined
  let oif = 0
  let gateway: Buffer | undefined
  let hops: { index: number; gateway: Buffer | undefined }[] | undefined
  parseAttributes(header.subarray(rt.__LENGTH_Route), ({ type, data }) => {
    if (type === RTA_DST) dst = Buffer.from(data)
    else if (type === RTA_OIF) oif = data.readUInt32LE(0)
    else if (type === RTA_GATEWAY) gateway = Buffer.from(data)
    else if (type === RTA_VIA) gateway = Buffer.from(data.subarray(2))
    else if (type === RTA_PRIORITY) priority = data.readUInt32LE(0)
    else if (type === RTA_PREFSRC) source = Buffer.from(data)
    else if (type === RTA_TABLE) table = data.readUInt32LE(0)
    else if (type === RTA_MULTIPATH) hops = parseHops(data)
    else if (type === RTA_METRICS) {
      parseAttributes(data, (metric) => {
        if (metric.type === RTAX_MTU) mtu = metric.data.readUInt32LE(0)
        if (metric.type === RTAX_ADVMSS) advmss = metric.data.readUInt32LE(0)
      })
    }
  })
  return {
    family,
    dst,
    prefix: header[1] ?? 0,
    table,
    protocol: header[5] ?? 0,
    scope: header[6] ?? 0,
    type: header[7] ?? 0,
    priority,
    source,
    mtu,
    advmss,
    hops: hops ?? [{ index: oif, gateway }],
  }
}

function parseHops(data: Buffer): { index: number; gateway: Buffer | undefined }[] {
  const hops: { index: number; gateway: Buffer | undefined }[] = []
  for (let offset = 0; offset + RTNH_LENGTH <= data.length; ) {
    const length = data.readUInt16LE(offset)
    if (length < RTNH_LENGTH) break
    let gateway: Buffer | undefined
    parseAttributes(data.subarray(offset + RTNH_LENGTH, offset + length), (attribute) => {
      if (attribute.type === RTA_GATEWAY) gateway = Buffer.from(attribute.data)
      if (attribute.type === RTA_VIA) gateway = Buffer.from(attribute.data.subarray(2))
    })
    hops.push({ index: data.readInt32LE(offset + 4), gateway })
    offset += (length + 3) & ~3
  }
  return hops
}
