/** What the records say of an attachment, also when they are not whole. */
import type { Environment } from '../cni/environment.ts'
import type { Surroundings } from '../cni/exec.ts'
import type { AttachmentRecord, State } from './attachment.ts'
import { type IpamCall, isOwnIpam } from './ipam.ts'

/**
 * The record of an attachment: the completed one, else the one that was begun. The begun one is read first, for a
 * commit writes the one before it removes the other.
 */
export function readRecord(state: State, key: string): AttachmentRecord | 'damaged' | undefined {
  const begun = state.pending.read(key)
  const completed = state.attachments.read(key)
  return typeof completed === 'object' ? completed : (begun ?? completed)
}

/** The `ipam` of a record's netconf; undefined if there is none or the text cannot be read. */
export function recordedIpam(record: AttachmentRecord): unknown {
  return recordedConf(record).ipam
}

function recordedConf(record: AttachmentRecord): { readonly [key: string]: unknown } {
  try {
    return JSON.parse(record.stdin)
  } catch {
    return {}
  }
}

/** The call to IPAM that a record's ADD made, to be undone. */
export function ipamOfRecord(
  record: AttachmentRecord,
  env: Environment,
  path: readonly string[],
  where: Surroundings,
): IpamCall[] {
  const conf = recordedConf(record)
  const { ipam } = conf
  if (typeof ipam !== 'object' || ipam === null || !('type' in ipam)) return []
  const { type } = ipam
  if (typeof type !== 'string' || type === '') return []
  const search = [...new Set([...record.path, ...path])]
  return [
    {
      type,
      path: search,
      stdin: Buffer.from(record.stdin),
      where,
      isOwn: isOwnIpam(conf),
      env: {
        ...env,
        CNI_CONTAINERID: record.containerID,
        CNI_NETNS: record.netnsPath,
        CNI_IFNAME: record.own.ifName,
        CNI_ARGS: record.args,
        CNI_PATH: search.join(':'),
      },
    },
  ]
}
