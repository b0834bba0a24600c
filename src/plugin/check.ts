/** CHECK: compares the kernel with prevResult and with what was wanted, on both ends, and says what differs. */
import { CniError, Code } from '../cni/error.ts'
import type { Result } from '../cni/result.ts'
import type { CniCall } from '../cni/serve.ts'
import { differences, missingNetworkRoutes } from '../koko/check.ts'
import { parseCidr } from '../koko/cidr.ts'
import { findLink, findLinkByIndex, type Inspection, inspect } from '../koko/inspect.ts'
import { arePeers } from '../koko/peers.ts'
import type { Link } from '../netlink/link-info.ts'
import { bootId, type Netns, openIfSame } from '../netns/netns.ts'
import { readSysctl } from '../netns/sysctl.ts'
import {
  type AttachmentRecord,
  type Identity,
  identify,
  openRendezvous,
  openState,
  type RecordedEnd,
  type State,
} from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import { ipamCallOf, ipamRun } from './ipam.ts'
import { locateEnd } from './locate.ts'
import { checkMasquerade } from './masquerade.ts'
import { ipamType, parseNetconf, routeSpec } from './netconf.ts'
import { requirePrevResult } from './prev-result.ts'
import { readRecord } from './recorded.ts'

const FORWARDING = {
  4: ['net', 'ipv4', 'ip_forward'],
  6: ['net', 'ipv6', 'conf', 'all', 'forwarding'],
} as const

/** A recorded attachment, and its own end as it was found. */
interface Found {
  readonly identity: Identity
  readonly record: AttachmentRecord
  readonly netns: Netns
  readonly host: Netns
  readonly own: Inspection
  readonly caller: Caller
}

export async function check(call: CniCall, caller: Caller): Promise<void> {
  const conf = parseNetconf(call.conf)
  const identity = identify(call.network, call.containerID, conf.ifName || call.ifName)
  const host = caller.openHost()
  let netns: Netns | undefined
  try {
    netns = caller.openContainer(call.netns)
    const type = ipamType(conf)
    if (type !== undefined)
      await ipamRun(ipamCallOf(call, type, identity.ifName, surroundings(host, caller)), 'CHECK')
    const prev = requirePrevResult(conf.prevResult, call.version)
    const state = openState(conf, call.env)
    const record = currentRecord(state, identity.key)
    const link = findLink(netns, identity.ifName)
    const own = link && inspect(netns, link)
    const index = record?.own.cookie === netns.cookie ? record.own.index : null
    const says = own
      ? compareWithPrevResult(netns, own, prev, call.netns)
      : [missing('interface', identity.ifName, index, netns)]
    if (record === undefined) {
      const why = readRecord(state, identity.key) === undefined ? 'missing' : 'unfinished or not of this boot'
      says.push(`the record of the attachment is ${why} in ${state.attachments.directory}`)
    } else if (record.own.cookie !== netns.cookie) {
      says.push(`${call.netns} is no longer the namespace that was wired`)
    } else {
      if (own !== undefined)
        says.push(...compareWithRecord({ identity, record, netns, host, own, caller }, state))
      says.push(...forwardingDifferences(record, host))
      if (record.masquerade !== null && record.other !== null) {
        const addresses = record.own.spec?.addresses.map(({ address }) => address) ?? []
        says.push(
          ...(await checkMasquerade(host, record.masquerade, identity, record.other.ifName, addresses)),
        )
      }
    }
    const unique = [...new Set(says)]
    if (unique.length > 0) {
      throw new CniError(Code.internal, `${identity.words} is not as it was made`, unique.join('\n'))
    }
  } finally {
    netns?.close()
    host.close()
  }
}

/** The record of a completed ADD of this boot. */
function currentRecord(state: State, key: string): AttachmentRecord | undefined {
  const record = state.attachments.read(key)
  return record === 'damaged' || record?.bootId !== bootId() ? undefined : record
}

/** In words that an interface is not there, and what became of it if only its name was changed. */
function missing(what: string, ifName: string, index: number | null, netns: Netns): string {
  const found = index === null ? undefined : findLinkByIndex(netns, index)
  const renamed = found !== undefined && found.name !== ifName
  const now = renamed ? `: its ifindex ${index} is now called ${found.name}` : ''
  return `${what} ${ifName} is missing in ${netns.label}${now}`
}

/** What the runtime believes: interface, MAC, addresses with a route to their network, routes in their tables. */
function compareWithPrevResult(netns: Netns, own: Inspection, prev: Result, sandbox: string): string[] {
  const { link } = own
  const index = prev.interfaces.findIndex((entry) => entry.name === link.name && entry.sandbox === sandbox)
  const entry = prev.interfaces[index]
  if (entry === undefined) {
    const other = prev.interfaces.find(({ name }) => name === link.name)?.sandbox ?? 'none'
    return [`prevResult has no interface ${link.name} in ${sandbox} (sandbox in prevResult: ${other})`]
  }
  if (link.kind !== 'veth')
    return [`interface ${link.name} in ${sandbox} is no veth but ${link.kind ?? 'a device'}`]
  const addresses = prev.ips
    .filter((ip) => ip.interface === undefined || ip.interface === index)
    .map(({ address }) => address)
  // A default route may have come by any gateway: the first one of its family was meant.
  const routes = prev.routes
    .map(routeSpec)
    .map(({ gw, scope, mtu, advmss, ...route }) =>
      gw === undefined || /\/0$/.test(route.dst) ? route : { ...route, gw },
    )
  // In a chain the other interfaces' routes stand in prevResult as well: they are for their plugins to check.
  const single = prev.interfaces.filter(({ sandbox: of }) => of).length <= 1
  const expected = {
    ...(entry.mac ? { mac: entry.mac } : {}),
    addresses: addresses.map((address) => ({ address })),
    ...(single ? { routes } : {}),
  }
  return [...differences(netns, link, expected, own), ...missingNetworkRoutes(own, addresses, netns.label)]
}

/** What was wanted: both ends, each other's peer, host routes, settings. */
function compareWithRecord(found: Found, state: State): string[] {
  const { identity, record, netns, host, own } = found
  const { other } = record
  if (record.own.spec === null) return []
  const { mac, ...spec } = record.own.spec // prevResult knows the MAC: a later plugin may have changed it
  const says = differences(netns, own.link, { ...spec, up: true }, own)
  if (record.link !== null) return [...says, ...compareWithLink(found, record.link, state)]
  if (other === null) return says
  const locate = (there: Netns) => locateEnd(there, other, record, identity, host)
  return [...says, ...compareOther(found, other, locate)]
}

function compareWithLink(found: Found, name: string, state: State): string[] {
  const { identity, record, netns, host, own, caller } = found
  const link = openRendezvous(state, host, caller).read({ network: record.network, name })
  const mine = link?.ends.find(({ occupant }) => occupant?.owner === identity.key)
  if (mine === undefined) return [`link ${name} does not know this attachment`]
  const says: string[] = []
  if (mine.occupant?.index !== own.link.index)
    says.push(`${own.link.name} in ${netns.label} is not the end of link ${name}`)
  const other = link?.ends.find((end) => end !== mine)
  if (other?.occupant && !other.occupant.leaving) {
    const { path, cookie, spec, index } = other.occupant
    // An attachment of its own, with a CHECK of its own: only that it is there and up is looked at.
    const theirs = { path, cookie, ifName: spec.ifName, mac: other.mac, index, spec: null }
    says.push(...compareOther(found, theirs, (there) => findLink(there, spec.ifName)))
  }
  return says
}

function compareOther(
  { netns, host, own }: Found,
  end: RecordedEnd,
  locate: (there: Netns) => Link | undefined,
): string[] {
  const there = end.cookie === host.cookie ? host : openIfSame(end.path, end.cookie)
  if (there === undefined) return [`the namespace ${end.path} of the other end ${end.ifName} is gone`]
  try {
    const link = locate(there)
    if (link === undefined) return [missing('the other end', end.ifName, end.index, there)]
    if (!arePeers({ netns: there, link }, { netns, link: own.link })) {
      return [`${link.name} in ${there.label} is not the peer of ${own.link.name} in ${netns.label}`]
    }
    const says = differences(there, link, { ...end.spec, up: true })
    if (link.name !== end.ifName)
      says.push(`the other end ${end.ifName} in ${there.label} is now called ${link.name}`)
    if (link.up) says.push(...differences(netns, own.link, { carrier: true }, own))
    return says
  } finally {
    if (there !== host) there.close()
  }
}

/** The host forwards for each family it gave an address of. */
function forwardingDifferences({ mode, own }: AttachmentRecord, host: Netns): string[] {
  if (mode !== 'host') return []
  const families = new Set(own.spec?.addresses.map(({ address }) => parseCidr(address).family))
  return [...families]
    .map((family) => FORWARDING[family])
    .filter((path) => host.inside(() => readSysctl(path) === '0'))
    .map((path) => `${path.join('/')} of ${host.label} is 0, expected 1: it forwards nothing`)
}
