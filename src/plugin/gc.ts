/** GC: removes every attachment of the network that the runtime no longer knows. */
import * as z from 'zod/mini'
import { CniError, Code } from '../cni/error.ts'
import { describeIssues } from '../cni/issues.ts'
import type { CniCall } from '../cni/serve.ts'
import { linkKeyOf } from '../koko/link-record.ts'
import { tryLock } from '../koko/lock.ts'
import { isMarked, parseAlias } from '../koko/marks.ts'
import { listLinks } from '../netlink/link.ts'
import { bootId, type Netns } from '../netns/netns.ts'
import { type AttachmentRecord, identify, openRendezvous, openState, type State } from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import { ipamAsk, isOwnIpam } from './ipam.ts'
import { ipamType, type Netconf, parseNetconf } from './netconf.ts'
import { ipamOfRecord, readRecord } from './recorded.ts'
import { joinErrors } from './report.ts'
import { sweepTombstones } from './tombstone.ts'
import { undo } from './undo.ts'

const KEY = 'cni.dev/valid-attachments'

const validAttachments = z.nullable(z.array(z.object({ containerID: z.string(), ifname: z.string() })))

type IsValid = (containerID: string, cniIfName: string) => boolean

interface Collection {
  readonly call: CniCall
  readonly caller: Caller
  readonly state: State
  readonly host: Netns
  readonly isValid: IsValid
}

export async function gc(call: CniCall, caller: Caller): Promise<void> {
  const conf = parseNetconf(call.conf)
  const isValid = readValid(call, conf)
  const state = openState(conf, call.env)
  const host = caller.openHost()
  const errors: unknown[] = []
  const attempt = async (part: () => Promise<void>) => {
    try {
      await part()
    } catch (error) {
      errors.push(error)
    }
  }
  try {
    for (const key of new Set([...state.attachments.keys(), ...state.pending.keys()])) {
      await attempt(() => collect({ call, caller, state, host, isValid }, key))
    }
    await attempt(async () => {
      const stale = (id: string) => !isValid(...parseId(id))
      for (const owner of await openRendezvous(state, host, caller).sweep(call.network, stale)) {
        state.attachments.remove(owner) // one too damaged to be told by itself
        state.pending.remove(owner)
      }
    })
    await attempt(() => collectUnrecorded({ call, caller, state, host, isValid }, conf))
    await attempt(async () => dropDamaged(state, host))
    sweepTombstones(state)
    const type = ipamType(conf)
    if (type !== undefined) {
      const { path, env, stdin } = call
      await attempt(() =>
        ipamAsk(
          { type, path, env, stdin, where: surroundings(host, caller), isOwn: isOwnIpam(call.conf) },
          'GC',
        ),
      )
    }
  } finally {
    host.close()
  }
  const error = joinErrors(errors)
  if (error !== undefined) throw error
}

/** `[]` and null (libcni's empty list) mean that nothing is valid; an absent list may be a mistake. */
function readValid(call: CniCall, conf: Netconf): IsValid {
  if (!(KEY in call.conf)) {
    if (conf.allowPurge) return () => false
    throw new CniError(
      Code.invalidConfig,
      `"${KEY}" is missing: nothing was removed`,
      'without the list every attachment of the network would go; set "allowPurge": true if that is meant',
    )
  }
  const parsed = z.safeParse(validAttachments, call.conf[KEY])
  if (!parsed.success) {
    throw new CniError(Code.decoding, `"${KEY}" cannot be read: ${describeIssues(parsed.error)}`)
  }
  const valid = new Set(
    (parsed.data ?? []).map(({ containerID, ifname }) => JSON.stringify([containerID, ifname])),
  )
  return (containerID, cniIfName) => valid.has(JSON.stringify([containerID, cniIfName]))
}

/** What `link.ts` wrote: container ID and CNI_IFNAME. */
function parseId(id: string): [string, string] {
  const [containerID = '', cniIfName = '']: string[] = JSON.parse(id)
  return [containerID, cniIfName]
}

/** Removes one recorded attachment if it is of this network and host, not valid, and nobody works on it. */
async function collect({ call, caller, state, host, isValid }: Collection, key: string): Promise<void> {
  const first = readRecord(state, key)
  if (typeof first === 'object' && !isStale(first, call, host, isValid)) return
  const held = tryLock(state.locks, key)
  if (held === undefined) return
  try {
    const record = readRecord(state, key)
    if (record === undefined || record === 'damaged') {
      // Begun and never whole: nothing had been done yet. A damaged completed one is known by its mark, below.
      state.pending.remove(key)
      if (record === undefined) state.attachments.remove(key)
      return
    }
    if (!isStale(record, call, host, isValid)) return
    const failures = await undo({
      identity: identify(record.network, record.containerID, record.own.ifName, record.cniIfName),
      record,
      state,
      caller,
      host,
      netnsPath: '',
      link: record.link,
      masquerade: null,
      ipam: ipamOfRecord(record, call.env, call.path, surroundings(host, caller)),
    })
    const error = joinErrors(failures.map((failure) => failure.error))
    if (error !== undefined) throw error
  } finally {
    held.release()
  }
}

/** Records that say nothing any more, and whose attachment no link and no interface of the host knows. */
function dropDamaged(state: State, host: Netns): void {
  const damaged = state.attachments.keys().filter((key) => state.attachments.read(key) === 'damaged')
  if (damaged.length === 0) return
  const links = state.links.keys().map((key) => state.links.read(key))
  const occupants = links.flatMap((link) => (typeof link === 'object' ? link.ends : []))
  const known = new Set(occupants.map(({ occupant }) => occupant?.owner))
  for (const link of host.socket.dump(listLinks())) known.add(parseAlias(link.alias)?.key)
  for (const key of damaged) if (!known.has(key)) state.attachments.remove(key)
}

function isStale(record: AttachmentRecord, call: CniCall, host: Netns, isValid: IsValid): boolean {
  if (record.network !== call.network) return false
  if (record.bootId === bootId() && record.host !== host.cookie) return false // another host's
  return !isValid(record.containerID, record.cniIfName)
}

/** Interfaces with our mark whose record is lost or damaged: the mark says whose they were. */
async function collectUnrecorded(
  { call, caller, state, host, isValid }: Collection,
  conf: Netconf,
): Promise<void> {
  const masquerade = conf.ipMasq ? conf.ipMasqBackend || 'nftables' : null
  for (const link of host.socket.dump(listLinks())) {
    const mark = parseAlias(link.alias)
    if (mark === undefined || !isMarked(link, mark.key)) continue
    const [network, containerID, ifName, cniIfName] = mark.words.split('/')
    if (network !== call.network || containerID === undefined) continue
    if (ifName === undefined || cniIfName === undefined) {
      const known =
        linkKeyOf(host.cookie, { network, name: containerID }) !== mark.key || state.links.has(mark.key)
      if (!known) await caller.removeLink(host, link)
      continue
    }
    const identity = identify(network, containerID, ifName, cniIfName)
    const recorded = typeof readRecord(state, mark.key) === 'object'
    if (identity.key !== mark.key || recorded || isValid(containerID, cniIfName)) continue
    const removal = {
      identity,
      record: undefined,
      state,
      caller,
      host,
      netnsPath: '',
      link: null,
      masquerade,
      ipam: [],
    }
    const error = joinErrors((await undo(removal)).map((failure) => failure.error))
    if (error !== undefined) throw error
  }
}
