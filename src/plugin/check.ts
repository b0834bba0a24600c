/** CHECK: compares the kernel with prevResult and with what was wanted, on both ends, and says what differs. */
import { CniError, Code } from '../cni/error.ts'
import type { Result } from '../cni/result.ts'
import type { CniCall } from '../cni/serve.ts'
import { differences, missingNetworkRoutes } from '../koko/check.ts'
import type { EndSpec } from '../koko/endpoint.ts'
import { findLink } from '../koko/inspect.ts'
import type { Link } from '../netlink/link-info.ts'
import { bootId, Netns, openIfSame } from '../netns/netns.ts'
import { type AttachmentRecord, identify, openRendezvous, openState, type RecordedEnd } from './attachment.ts'
import { ipamRun } from './ipam.ts'
import { checkMasquerade } from './masquerade.ts'
import { ipamType, parseNetconf, routeSpec } from './netconf.ts'
import { parsePrevResult } from './prev-result.ts'
import { locateEnd, readRecord } from './undo.ts'

export async function check(call: CniCall): Promise<void> {
  const conf = parseNetconf(call.conf)
  const identity = identify(call.network, call.containerID, conf.ifName || call.ifName)
  const host = Netns.own()
  let netns: Netns | undefined
  try {
    netns = Netns.at(call.netns)
    const type = ipamType(conf)
    if (type !== undefined)
      await ipamRun({ type, path: call.path, env: call.env, stdin: call.stdin }, 'CHECK')
    const prev = parsePrevResult(conf.prevResult, call.version)
    if (prev === undefined) throw new CniError(Code.internal, 'nugator: Required prevResult missing')
    const says = compareWithPrevResult(netns, prev, identity.ifName, call.netns)
    const state = openState(conf, call.env)
    const record = state.attachments.read(identity.key)
    if (record === undefined || record === 'damaged' || record.bootId !== bootId()) {
      const why = readRecord(state, identity.key) === undefined ? 'missing' : 'unfinished or not of this boot'
      says.push(`the record of the attachment is ${why} in ${state.attachments.directory}`)
    } else if (record.own.cookie !== netns.cookie) {
      says.push(`${call.netns} is no longer the namespace that was wired`)
    } else {
      says.push(...compareWithRecord(record, netns, host, identity, openRendezvous(state, host)))
      if (record.masquerade !== null && record.other !== null) {
        const addresses = record.own.spec?.addresses.map(({ address }) => address) ?? []
        says.push(...(await checkMasquerade(record.masquerade, identity, record.other.ifName, addresses)))
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

/** What the runtime believes: interface, MAC, addresses with a route to their network, routes in their tables. */
function compareWithPrevResult(netns: Netns, prev: Result, ifName: string, sandbox: string): string[] {
  const index = prev.interfaces.findIndex((entry) => entry.name === ifName && entry.sandbox === sandbox)
  const entry = prev.interfaces[index]
  if (entry === undefined) {
    const other = prev.interfaces.find(({ name }) => name === ifName)?.sandbox ?? 'none'
    return [`prevResult has no interface ${ifName} in ${sandbox} (sandbox in prevResult: ${other})`]
  }
  const link = findLink(netns, ifName)
  if (link === undefined) return [`interface ${ifName} is missing in ${sandbox}`]
  if (link.kind !== 'veth')
    return [`interface ${ifName} in ${sandbox} is no veth but ${link.kind ?? 'a device'}`]
  const addresses = prev.ips
    .filter((ip) => ip.interface === undefined || ip.interface === index)
    .map(({ address }) => address)
  const says = differences(netns, link, {
    ...(entry.mac ? { mac: entry.mac } : {}),
    addresses: addresses.map((address) => ({ address })),
  })
  says.push(...missingNetworkRoutes(netns, link, addresses))
  // A default route may have come by any gateway: the first one of its family was meant.
  const routes = prev.routes
    .map(routeSpec)
    .map(({ gw, scope, mtu, advmss, ...route }) =>
      gw === undefined || /\/0$/.test(route.dst) ? route : { ...route, gw },
    )
  const single = prev.interfaces.filter(({ sandbox: of }) => of).length <= 1
  // In a chain the other interfaces' routes stand in prevResult as well: they are for their plugins to check.
  return single ? [...says, ...differences(netns, link, { routes })] : says
}

type Identity = ReturnType<typeof identify>

/** What was wanted: both ends, each other's peer, host routes, settings. */
function compareWithRecord(
  record: AttachmentRecord,
  netns: Netns,
  host: Netns,
  identity: Identity,
  rendezvous: ReturnType<typeof openRendezvous>,
): string[] {
  const own = findLink(netns, record.own.ifName)
  if (own === undefined || record.own.spec === null) return []
  const says = compareEnd(netns, own, record.own.spec)
  if (record.link !== null) {
    const link = rendezvous.read({ network: record.network, name: record.link })
    const mine = link?.ends.find(({ occupant }) => occupant?.owner === identity.key)
    if (mine === undefined) return [...says, `link ${record.link} does not know this attachment`]
    if (mine.occupant?.index !== own.index)
      says.push(`${own.name} in ${netns.label} is not the end of link ${record.link}`)
    const other = link?.ends.find((end) => end !== mine)
    if (other?.occupant && !other.occupant.leaving) {
      const { path, cookie, spec, index } = other.occupant
      const theirs = { path, cookie, ifName: spec.ifName, mac: other.mac, index, spec: null }
      says.push(...compareOther(theirs, own, netns, host, (there) => findLink(there, spec.ifName)))
    }
    return says
  }
  const { other } = record
  if (other === null) return says
  return [
    ...says,
    ...compareOther(other, own, netns, host, (there) => locateEnd(there, other, record, identity, host)),
  ]
}

function compareEnd(netns: Netns, link: Link, spec: EndSpec): string[] {
  const { mac, ...rest } = spec // prevResult knows the MAC: a later plugin may have changed it
  const routes = rest.routes.map(({ src, ...route }) => route)
  return differences(netns, link, { ...rest, routes, up: true })
}

function compareOther(
  end: RecordedEnd,
  own: Link,
  netns: Netns,
  host: Netns,
  locate: (there: Netns) => Link | undefined,
): string[] {
  const there = end.cookie === host.cookie ? host : openIfSame(end.path, end.cookie)
  if (there === undefined) return [`the namespace ${end.path} of the other end ${end.ifName} is gone`]
  try {
    const link = locate(there)
    if (link === undefined) return [`the other end ${end.ifName} is missing in ${there.label}`]
    if (link.peerIndex !== own.index || own.peerIndex !== link.index) {
      return [`${link.name} in ${there.label} is not the peer of ${own.name} in ${netns.label}`]
    }
    const says = end.spec === null ? [] : compareEnd(there, link, end.spec)
    if (!link.up) says.push(`the other end ${link.name} in ${there.label} is down, expected up`)
    else if (own.up && !own.carrier) says.push(`${own.name} in ${netns.label} has no carrier`)
    return says
  } finally {
    if (there !== host) there.close()
  }
}
