/** RTM_*LINK requests (linux/if_link.h), named after what `ip link` calls them. */
import type * as ifla from 'netlink/dist/rt/ifla.js'
import * as rt from 'netlink/dist/rt/structs.js'
import { formatAttribute, pad, putString, putU32 } from 'netlink/dist/structs.js'
import { type Link, parseLink } from './link-info.ts'
import { type AttrStream, attributes, NLM_F_CREATE, NLM_F_EXCL, type Request } from './message.ts'

const { NEWLINK, DELLINK, GETLINK, SETLINK } = rt.MessageType

const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_ADDRESS = 1
const IFLA_TXQLEN = 13
const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_AF_SPEC = 26
const IFLA_GROUP = 27
const IFLA_NET_NS_FD = 28
const IFLA_NUM_TX_QUEUES = 31
const IFLA_NUM_RX_QUEUES = 32
const IFLA_PROP_LIST = 52
const IFLA_ALT_IFNAME = 53
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const VETH_INFO_PEER = 1
const IFLA_INET6_ADDR_GEN_MODE = 8
const IN6_ADDR_GEN_MODE_NONE = 1
const AF_INET6 = 10
const RTEXT_FILTER_SKIP_STATS = 8

export function macToBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex')
}

/** One end of a veth pair, as the creating message gives it. */
export interface VethEnd {
  readonly name: string
  readonly mac: string
  /** Bytes. */
  readonly mtu: number
  readonly txQueueLength: number
  readonly group: number
  /** The ifindex it is to have; absent: the kernel chooses. Both ends or none (drivers/net/veth.c). */
  readonly index?: number
}

// The package's formatLinkAttrs serves every attribute there is and is slow for it; these are the ones we send.
function endAttributes(out: AttrStream, end: VethEnd, netnsFd: number | undefined): void {
  out.push(IFLA_IFNAME, putString(end.name))
  out.push(IFLA_ADDRESS, macToBytes(end.mac))
  out.push(IFLA_MTU, putU32(end.mtu))
  out.push(IFLA_TXQLEN, putU32(end.txQueueLength))
  out.push(IFLA_GROUP, putU32(end.group))
  // One queue: the default is one for each possible CPU, which costs time to make and serves only XDP.
  out.push(IFLA_NUM_TX_QUEUES, putU32(1))
  out.push(IFLA_NUM_RX_QUEUES, putU32(1))
  if (netnsFd !== undefined) out.push(IFLA_NET_NS_FD, putU32(netnsFd))
}

function indexOf({ index }: VethEnd): rt.Link {
  return index === undefined ? {} : { index }
}

/**
 * Creates a veth pair: `end` in the socket's namespace, `peer` straight in the namespace `peerNetnsFd`, both
 * under their final names. A clash on either side gives EEXIST and leaves nothing anywhere (drivers/net/veth.c).
 */
export function createVeth(end: VethEnd, peer: VethEnd, peerNetnsFd: number): Request {
  return {
    what: `create veth ${end.name} with peer ${peer.name}`,
    type: NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: attributes((out) => {
      out.emit(rt.formatLink(indexOf(end)))
      endAttributes(out, end, undefined)
      out.push(IFLA_LINKINFO, (info) => {
        info.push(IFLA_INFO_KIND, Buffer.from('veth'))
        info.push(IFLA_INFO_DATA, (data) => {
          data.push(VETH_INFO_PEER, (nested) => {
            nested.emit(rt.formatLink(indexOf(peer)))
            endAttributes(nested, peer, peerNetnsFd)
          })
        })
      })
    }),
  }
}

/** Sets the alias of the interface called `name`, of whatever kind: the kernel looks at the kind only to make one. */
export function setVethAlias(name: string, alias: string): Request {
  return {
    what: `mark ${name}`,
    type: NEWLINK,
    flags: 0,
    payload: attributes((out) => {
      out.emit(rt.formatLink({}))
      out.push(IFLA_IFNAME, putString(name))
      out.push(IFLA_IFALIAS, Buffer.from(alias)) // without NUL, or the longest would not fit
      out.push(IFLA_LINKINFO, (info) => info.push(IFLA_INFO_KIND, Buffer.from('veth')))
    }),
  }
}

export interface LinkChange {
  readonly name?: string
  readonly mac?: string
  readonly mtu?: number
  readonly txQueueLength?: number
  readonly alias?: string
  readonly group?: number
  readonly up?: boolean
  /** Moves the interface to this namespace; it arrives down and without addresses. */
  readonly netnsFd?: number
  /**
   * False stops the kernel from making a link-local address of its own (IN6_ADDR_GEN_MODE_NONE), which it would
   * have to probe for a second or two. The whole change fails in a namespace without IPv6.
   */
  readonly automaticLinkLocal?: false
  /** Clears what root in a container may have set: no ARP, promiscuous, all multicast. */
  readonly plain?: true
}

/** Changes the interface of this ifindex, as `ip link set` does. */
export function setLink(
  index: number,
  change: LinkChange,
  label = `interface ${index}`,
  tolerate: readonly string[] = [],
): Request {
  const { name, mac, mtu, txQueueLength, alias, group, up, netnsFd, automaticLinkLocal, plain } = change
  const mask: rt.DeviceFlags = {
    ...(up === undefined ? {} : { up: true }),
    ...(plain ? { noarp: true, promisc: true, allmulti: true } : {}),
  }
  return {
    get what() {
      return `set ${label} ${describe(change)}` // only if it fails
    },
    type: SETLINK,
    flags: 0,
    tolerate,
    payload: attributes((out) => {
      out.emit(rt.formatLink({ index, flags: up ? { up: true } : {}, change: mask }))
      if (netnsFd !== undefined) out.push(IFLA_NET_NS_FD, putU32(netnsFd))
      if (name !== undefined) out.push(IFLA_IFNAME, putString(name))
      if (mac !== undefined) out.push(IFLA_ADDRESS, macToBytes(mac))
      if (mtu !== undefined) out.push(IFLA_MTU, putU32(mtu))
      if (txQueueLength !== undefined) out.push(IFLA_TXQLEN, putU32(txQueueLength))
      if (alias !== undefined) out.push(IFLA_IFALIAS, Buffer.from(alias))
      if (group !== undefined) out.push(IFLA_GROUP, putU32(group))
      if (automaticLinkLocal === false) {
        out.push(IFLA_AF_SPEC, (families) =>
          families.push(AF_INET6, (inet6) =>
            inet6.push(IFLA_INET6_ADDR_GEN_MODE, Buffer.from([IN6_ADDR_GEN_MODE_NONE])),
          ),
        )
      }
    }),
  }
}

function describe(change: LinkChange): string {
  const words = Object.entries(change).map(([key, value]) => {
    if (key === 'up') return value === true ? 'up' : 'down'
    return key === 'netnsFd' ? 'to another namespace' : `${key} ${value}`
  })
  return words.join(' ')
}

/** Deletes the interface of this ifindex, and a veth's peer with it. */
export function deleteLink(index: number, label = `interface ${index}`): Request {
  return {
    what: `delete ${label}`,
    type: DELLINK,
    flags: 0,
    payload: attributes((out) => rt.formatLinkMessage({ kind: 'link', data: { index }, attrs: {} }, out)),
  }
}

/**
 * Deletes every interface of a device group of the namespace as one change: RCU goes round once for all. ENODEV if the
 * group is empty; one member that cannot be deleted keeps them all (net/core/rtnetlink.c, rtnl_group_dellink).
 */
export function deleteGroup(group: number): Request {
  return {
    what: `delete group ${group.toString(16)}`,
    type: DELLINK,
    flags: 0,
    payload: attributes((out) => {
      out.emit(rt.formatLink({}))
      out.push(IFLA_GROUP, putU32(group))
    }),
  }
}

/** Takes altnames off an interface. No failure if it has lost them meanwhile. */
export function deleteAltNames(index: number, names: readonly string[]): Request {
  const list = names.flatMap((name) => pad(formatAttribute({ type: IFLA_ALT_IFNAME, data: putString(name) })))
  // The package's AttrStream drops the mark of a nested attribute, which the kernel insists on here.
  const properties = formatAttribute({ type: IFLA_PROP_LIST, nested: true, data: list })
  return {
    what: `delete altnames of interface ${index}`,
    type: rt.MessageType.DELLINKPROP,
    flags: 0,
    tolerate: ['ENOENT', 'ENODEV'],
    payload: [rt.formatLink({ index }), ...properties],
  }
}

/** The interface of this ifindex; no answer if there is none. */
export function getLinkByIndex(index: number): Request<Link> {
  return getLink(`look up interface ${index}`, { index }, {})
}

/** The interface called so, *or with that altname*: compare the returned name. No answer if there is none. */
export function getLinkByName(name: string): Request<Link> {
  return getLink(`look up interface ${name}`, {}, { ifname: name })
}

function getLink(what: string, data: rt.Link, attrs: ifla.LinkAttrs): Request<Link> {
  return {
    what,
    type: GETLINK,
    flags: 0,
    tolerate: ['ENODEV'],
    parse: parseLink,
    payload: attributes((out) =>
      rt.formatLinkMessage({ kind: 'link', data, attrs: { ...attrs, extMask: skipStats() } }, out),
    ),
  }
}

/** All interfaces of the namespace, for `dump`. */
export function listLinks(): Request<Link> {
  return {
    what: 'list interfaces',
    type: GETLINK,
    flags: 0,
    parse: parseLink,
    payload: attributes((out) =>
      rt.formatLinkMessage({ kind: 'link', data: {}, attrs: { extMask: skipStats() } }, out),
    ),
  }
}

function skipStats(): Buffer {
  const mask = Buffer.alloc(4)
  mask.writeUInt32LE(RTEXT_FILTER_SKIP_STATS)
  return mask
}
