/**
 * A wire: a veth pair whose two ends come to be in their final namespaces under their final names.
 * Validate first; then all or nothing; ready on return.
 */
import { listAddresses } from '../netlink/address.ts'
import { NetlinkError } from '../netlink/error.ts'
import { hasCarrier } from '../netlink/ethtool.ts'
import {
  createVeth,
  deleteLink,
  getLinkByName,
  setLink,
  setVethAlias,
  type VethEnd,
} from '../netlink/link.ts'
import type { Link } from '../netlink/link-info.ts'
import type { Request } from '../netlink/message.ts'
import { errorCode } from '../netlink/socket.ts'
import type { Netns } from '../netns/netns.ts'
import { writeSysctl } from '../netns/sysctl.ts'
import { parseCidr } from './cidr.ts'
import { applySettings, configureRequests } from './configure.ts'
import type { EndSpec } from './endpoint.ts'
import { invalid, WireError } from './error.ts'
import { LIVE_GROUP } from './marks.ts'
import { validateEnd, validatePair } from './validate.ts'

/** In every namespace (net/core/dev.c, dev_index_reserve; net/core/net_namespace.c). */
const LOOPBACK_INDEX = 1

export interface WireEnd {
  readonly netns: Netns
  readonly spec: EndSpec
  /** Left down, without IPv6 and addresses, until somebody comes for it. */
  readonly parked?: boolean
  /** The namespace is a container's, which wants its `lo` up as well. */
  readonly withLoopback?: true
  /** The name is made of our own key: no other can have it, so the mark can be sent together with the creation. */
  readonly ownName?: boolean
}

export interface WirePlan {
  /** The end whose namespace the creating message is sent in, and which carries the mark from that send on. */
  readonly anchor: WireEnd
  readonly other: WireEnd
  readonly alias: string
}

/** The ifindexes that the kernel gave the two ends. */
export interface Wire {
  readonly anchor: number
  readonly other: number
}

/**
 * Refuses what can be refused without asking the kernel; changes nothing. A taken name needs no question: the
 * creation itself fails then and leaves nothing, see {@link refuseTaken} for asking beforehand.
 *
 * @throws WireError
 */
export function planWire(anchor: WireEnd, other: WireEnd, alias: string): WirePlan {
  validateEnd(anchor.spec)
  validateEnd(other.spec)
  validatePair(anchor.spec, other.spec)
  if (anchor.netns.cookie === other.netns.cookie && anchor.spec.ifName === other.spec.ifName) {
    throw invalid(
      `both ends would be called ${anchor.spec.ifName} in the same namespace ${anchor.netns.label}`,
      'give the two ends different names or namespaces',
    )
  }
  return { anchor, other, alias }
}

/** Asks whether the end's name and addresses are free in its namespace. @throws WireError */
export function refuseTaken(end: WireEnd): void {
  refuseTakenName(end.netns, end.spec.ifName)
  refuseTakenAddresses(end)
}

/** @throws WireError ('exists') if an interface has this name or altname */
export function refuseTakenName(netns: Netns, ifName: string): void {
  const [holder] = netns.socket.request(getLinkByName(ifName))
  if (holder !== undefined) throw nameTaken(netns, ifName, holder)
}

/** The refusal of a name that `holder` has. */
export function nameTaken(netns: Netns, ifName: string, holder: Pick<Link, 'name'>): WireError {
  const whose = holder.name === ifName ? '' : ` (an altname of ${holder.name})`
  return new WireError(
    'exists',
    `interface name ${ifName}${whose} already exists in ${netns.label}`,
    'delete that interface or choose another name',
  )
}

/** @throws WireError ('invalid') if another interface of the namespace has one of the addresses */
export function refuseTakenAddresses({ netns, spec }: WireEnd): void {
  if (spec.addresses.length === 0) return
  const wanted = new Map(
    spec.addresses.map(({ address }) => [parseCidr(address).bytes.toString('hex'), address]),
  )
  for (const { bytes } of netns.socket.dump(listAddresses())) {
    const address = wanted.get(bytes.toString('hex'))
    if (address !== undefined) throw addressTaken(netns, address)
  }
}

/** The refusal of an address that an interface of the namespace has. */
export function addressTaken(netns: Netns, address: string): WireError {
  return invalid(`address ${address} is already in use in ${netns.label}`, 'choose another one')
}

/** Makes the wire. Whatever fails, nothing remains. @throws WireError, NetlinkError, SystemCallError */
export function applyWire(plan: WirePlan): Wire {
  const { anchor, other, alias } = plan
  const wire = create(plan)
  try {
    for (const end of [anchor, other]) prepare(end)
    configure(other, wire.other, alias)
    configure(anchor, wire.anchor, alias)
    for (const end of [anchor, other]) awaitCarrier(end)
    return wire
  } catch (error) {
    undoWire(anchor.netns, wire.anchor)
    throw error
  }
}

/** What an end needs after its creation or arrival. @throws NetlinkError, WireError */
export function configure(end: WireEnd, index: number, alias: string): void {
  try {
    end.netns.socket.request(...endRequests(end, index, alias))
  } catch (error) {
    throw configurationError(error, end)
  }
}

/** The messages of {@link configure}. */
export function endRequests(end: WireEnd, index: number, alias: string): Request[] {
  const { spec, parked, withLoopback } = end
  if (parked) return [setLink(index, { alias }, spec.ifName)]
  const loopback = withLoopback ? [setLink(LOOPBACK_INDEX, { up: true }, 'lo')] : []
  return [...configureRequests(index, spec, alias), ...loopback]
}

/** What the refusal of one of them means. */
export function configurationError(error: unknown, { netns }: WireEnd): unknown {
  const taken =
    error instanceof NetlinkError && error.code === 'EEXIST' && error.request.startsWith('add route')
  if (!taken) return error
  return new WireError(
    'invalid',
    `${error.request}: ${netns.label} already has a route there`,
    'is the address taken?',
  )
}

/** Once both ends are up: what the kernel still has to do before frames pass is done now. */
export function awaitCarrier({ netns, spec, parked }: WireEnd): void {
  if (parked) return
  try {
    hasCarrier(netns.socket.fd, spec.ifName)
  } catch (error) {
    if (errorCode(error) !== 'ENODEV') throw error // root in the container calls it something else
  }
}

function create({ anchor, other, alias }: WirePlan): Wire {
  const { netns, spec } = anchor
  const mark = setVethAlias(spec.ifName, alias)
  const creation = createVeth(vethEnd(spec), vethEnd(other.spec), other.netns.fd)
  // In one send no kill can come between. But if the creation fails, the mark goes to whoever has the name.
  const together = anchor.ownName ? [creation, mark] : [creation]
  const [created, markedAtOnce] = netns.socket.exchange(together)
  if (created?.error !== undefined) throw creationError(created.error, anchor, other)
  const marked = markedAtOnce ?? netns.socket.exchange([mark])[0]
  const index = netns.socket.indexOf(spec.ifName)
  const peerIndex = other.netns.socket.indexOf(other.spec.ifName)
  if (marked?.error === undefined && index !== undefined && peerIndex !== undefined) {
    return { anchor: index, other: peerIndex }
  }
  if (index !== undefined) undoWire(netns, index)
  throw marked?.error ?? new WireError('failed', `${spec.ifName} vanished while it was being made`)
}

/** As the creating message says it. */
export function vethEnd(spec: EndSpec): VethEnd {
  return {
    name: spec.ifName,
    mac: spec.mac,
    mtu: spec.mtu,
    txQueueLength: spec.txQueueLength,
    group: LIVE_GROUP,
  }
}

/** EEXIST does not say which end clashed: look on both sides. */
function creationError(error: NetlinkError, anchor: WireEnd, other: WireEnd): Error {
  if (error.code === 'EEXIST') {
    refuseTakenName(anchor.netns, anchor.spec.ifName)
    refuseTakenName(other.netns, other.spec.ifName)
  }
  return error
}

export function prepare(end: WireEnd): void {
  if (end.parked) park(end.netns, end.spec.ifName)
  else applySettings(end.netns, end.spec)
}

/** A parked end must not speak: without IPv6 it would not even if somebody set it up. */
export function park(netns: Netns, ifName: string): void {
  netns.inside(() => {
    try {
      writeSysctl(['net', 'ipv6', 'conf', ifName, 'disable_ipv6'], '1')
    } catch (error) {
      // ENOENT: a kernel without IPv6 has nothing to be silenced.
      if (errorCode(error) !== 'ENOENT') throw error
    }
  })
}

/** Removes a wire that is only just being made, by the ifindex that the kernel gave it. */
export function undoWire(netns: Netns, index: number): void {
  netns.socket.exchange([deleteLink(index)])
}
