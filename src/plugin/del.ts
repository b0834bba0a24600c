/** DEL: removes everything of the attachment, however little is left or known of it. */
import type { Surroundings } from '../cni/exec.ts'
import type { CniCall } from '../cni/serve.ts'
import { type AttachmentRecord, identify, openState } from './attachment.ts'
import { type Caller, surroundings } from './caller.ts'
import { type IpamCall, ipamCallOf } from './ipam.ts'
import { ipamType, type Netconf, parseNetconf } from './netconf.ts'
import { refuseOwnNetns } from './netns-check.ts'
import { ipamOfRecord, readRecord, recordedIpam } from './recorded.ts'
import { joinErrors } from './report.ts'
import { lockForDeletion, unbury } from './tombstone.ts'
import { undo } from './undo.ts'

export async function del(call: CniCall, caller: Caller): Promise<void> {
  refuseOwnNetns(call, caller)
  const errors: unknown[] = []
  const conf = tryParse(call, errors)
  const state = openState(conf ?? directories(call), call.env)
  const ifName = conf?.ifName || text(call.conf.ifName) || call.ifName
  const identity = identify(call.network, call.containerID, ifName, call.ifName)
  const held = await lockForDeletion(state, identity.key)
  try {
    caller.proceed('delete')
    const host = caller.openHost()
    const where = surroundings(host, caller)
    try {
      const ipam = ipamOfCall(call, conf, ifName, where, errors)
      const found = readRecord(state, identity.key)
      const record = found === 'damaged' ? undefined : found
      const failures = await undo({
        identity,
        record,
        state,
        caller,
        host,
        netnsPath: call.netns,
        link: conf?.link?.name ?? null,
        masquerade: conf?.ipMasq ? conf.ipMasqBackend || 'nftables' : null,
        ipam: [...ipam, ...otherIpam(call, ipam, record, where)],
      })
      errors.push(...failures.map(({ error }) => error))
    } finally {
      host.close()
    }
    if (errors.length === 0) unbury(state, identity.key)
  } finally {
    held.release()
  }
  const error = joinErrors(errors)
  if (error !== undefined) throw error
}

/** A netconf that no longer parses is reported at the end, not instead of the work. */
function tryParse(call: CniCall, errors: unknown[]): Netconf | undefined {
  try {
    // prevResult must not matter to DEL
    return parseNetconf({ ...call.conf, prevResult: undefined })
  } catch (error) {
    errors.push(error)
    return undefined
  }
}

const text = (value: unknown) => (typeof value === 'string' ? value : undefined)

function directories(call: CniCall): Pick<Netconf, 'stateDir' | 'runDir'> {
  const path = (value: unknown) => (text(value)?.startsWith('/') ? text(value) : undefined)
  return { stateDir: path(call.conf.stateDir), runDir: path(call.conf.runDir) }
}

function ipamOfCall(
  call: CniCall,
  conf: Netconf | undefined,
  ifName: string,
  where: Surroundings,
  errors: unknown[],
): IpamCall[] {
  if (conf === undefined) return []
  try {
    const type = ipamType(conf)
    return type === undefined ? [] : [ipamCallOf(call, type, ifName, where)]
  } catch (error) {
    errors.push(error)
    return []
  }
}

/** The lease was given under the netconf of the ADD: if that named another IPAM, it is asked as well. */
function otherIpam(
  call: CniCall,
  ipam: readonly IpamCall[],
  record: AttachmentRecord | undefined,
  where: Surroundings,
): IpamCall[] {
  if (record === undefined) return []
  if (ipam.length > 0 && JSON.stringify(recordedIpam(record)) === JSON.stringify(call.conf.ipam)) return []
  return ipamOfRecord(record, call.env, call.path, where)
}
