/** An attachment: CNI's (network, containerID, ifName), where it is recorded, and what the record says. */
import type { CniCall } from '../cni/serve.ts'
import type { EndSpec } from '../koko/endpoint.ts'
import type { LinkRecord } from '../koko/link-record.ts'
import { parseLinkRecord } from '../koko/link-record.ts'
import { aliasOf, keyOf } from '../koko/marks.ts'
import { RecordDirectory } from '../koko/records.ts'
import { Rendezvous } from '../koko/rendezvous.ts'
import { bootId, type Netns } from '../netns/netns.ts'
import type { Caller } from './caller.ts'
import type { Netconf } from './netconf.ts'

const STATE_DIRECTORY = '/var/lib/cni/nugator'
const RUN_DIRECTORY = '/run/nugator'

/** How an ADD finds its other end. */
export type Mode = 'host' | 'peer' | 'link'

export interface RecordedEnd {
  readonly path: string
  readonly cookie: string
  readonly ifName: string
  readonly mac: string
  /** Null until the kernel has given one. */
  index: number | null
  /** What was wanted, for CHECK; null until it is decided. */
  spec: EndSpec | null
}

export interface AttachmentRecord {
  readonly bootId: string
  /** Cookie of the namespace that was the host's. */
  readonly host: string
  readonly network: string
  readonly containerID: string
  /** CNI_IFNAME: what a runtime calls the attachment by. */
  readonly cniIfName: string
  readonly mode: Mode
  /** The exact call, so that IPAM can be asked to release what it gave. */
  readonly stdin: string
  readonly args: string
  readonly path: readonly string[]
  readonly netnsPath: string
  own: RecordedEnd
  /** The host's end, or the peer's; null in link mode, where the link's own record has it. */
  other: RecordedEnd | null
  readonly link: string | null
  readonly masquerade: 'nftables' | 'iptables' | null
}

export interface State {
  readonly pending: RecordDirectory<AttachmentRecord>
  readonly attachments: RecordDirectory<AttachmentRecord>
  readonly links: RecordDirectory<LinkRecord>
  /** The file of all locks. */
  readonly locks: string
  /** DELs that came while an ADD was under way: see tombstone.ts. */
  readonly tombstones: string
}

/** Netconf first, then the environment, then the usual places. */
export function openState(conf: Partial<Pick<Netconf, 'stateDir' | 'runDir'>>, env: CniCall['env']): State {
  const state = conf.stateDir || env.NUGATOR_STATE_DIR || STATE_DIRECTORY
  const run = conf.runDir || env.NUGATOR_RUN_DIR || RUN_DIRECTORY
  return {
    pending: new RecordDirectory(`${state}/pending`, parseRecord),
    attachments: new RecordDirectory(`${state}/attachments`, parseRecord),
    links: new RecordDirectory(`${state}/links`, parseLinkRecord),
    locks: `${run}/lock`,
    tombstones: `${run}/tombstones`,
  }
}

/** Throws unless the value is a whole record; ours are the only writers, so this guards against truncation. */
function parseRecord(value: unknown): AttachmentRecord {
  if (typeof value !== 'object' || value === null || !('own' in value) || !('stdin' in value)) {
    throw new TypeError('not an attachment record')
  }
  return value as AttachmentRecord
}

/** Who asks, in every form that is needed. */
export interface Identity {
  readonly key: string
  readonly network: string
  readonly containerID: string
  readonly ifName: string
  /** For messages: `network mynet, container abc, interface eth0`. */
  readonly words: string
  readonly alias: string
}

/** @param cniIfName what the runtime calls the interface, if that differs */
export function identify(
  network: string,
  containerID: string,
  ifName: string,
  cniIfName: string = ifName,
): Identity {
  const key = keyOf('attachment', network, containerID, ifName)
  return {
    key,
    network,
    containerID,
    ifName,
    words: `network ${network}, container ${containerID}, interface ${ifName}`,
    alias: aliasOf(key, [network, containerID, ifName, cniIfName].join('/')),
  }
}

export function modeOf(conf: Netconf): Mode {
  if (conf.link) return 'link'
  return conf.peer ? 'peer' : 'host'
}

/** Everything an ADD has decided about itself before its first change. */
export interface Context {
  readonly call: CniCall
  readonly caller: Caller
  /** To be called before each part of the work, which it names. @throws CniError if it is not to be done any more */
  readonly proceed: (part: string) => void
  readonly conf: Netconf
  readonly args: ReadonlyMap<string, string>
  readonly identity: Identity
  readonly state: State
  readonly host: Netns
  readonly netns: Netns
}

export function openRendezvous(state: State, host: Netns, { removeLink, warn }: Caller): Rendezvous {
  const isCommitted = (owner: string) => state.attachments.has(owner)
  return new Rendezvous(state.links, state.locks, { host, removeLink, warn }, isCommitted)
}

/** The record an ADD starts with. */
export function newRecord(ctx: Context, own: RecordedEnd, other: RecordedEnd | null): AttachmentRecord {
  const { call, conf, identity } = ctx
  return {
    bootId: bootId(),
    host: ctx.host.cookie,
    network: identity.network,
    containerID: identity.containerID,
    cniIfName: call.ifName,
    mode: modeOf(conf),
    stdin: call.stdin.toString('utf8'),
    args: call.args,
    path: call.path,
    netnsPath: call.netns,
    own,
    other,
    link: conf.link?.name ?? null,
    masquerade: conf.ipMasq ? conf.ipMasqBackend || 'nftables' : null,
  }
}

/** An end as it is recorded before it exists. */
export function recordedEnd(netns: Netns, { ifName, mac }: Pick<EndSpec, 'ifName' | 'mac'>): RecordedEnd {
  return { path: netns.path, cookie: netns.cookie, ifName, mac, index: null, spec: null }
}
