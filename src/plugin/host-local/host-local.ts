/**
 * The IPAM plugin host-local without its process: the same configuration, answers and errors, and on disk the same
 * files under the same lock, so that both can work on one directory at the same time.
 *
 * It follows release 1.1.1 (Debian's) and, where that only accepts more, 1.9.1: CNI 1.1.0, routes with MTU and the
 * like, subnets that begin with zeros. GC and STATUS mean nothing to either.
 */
import { posix } from 'node:path'
import { type Environment, readEnvironment, validateNetworkName } from '../../cni/environment.ts'
import { CniError, Code } from '../../cni/error.ts'
import { formatResult, parseResult, type Result } from '../../cni/result.ts'
import { type CniVersion, supportedVersion, versionForVerb, versionOf } from '../../cni/version.ts'
import { allocate } from './allocate.ts'
import { type IpamConf, readConf } from './conf.ts'
import { readResolvConf } from './resolv-conf.ts'
import { type Owner, ownerOf, withStore } from './store.ts'
import { refusal } from './wording.ts'

const DEFAULT_DATA_DIR = '/var/lib/cni/networks'

export interface HostLocalCall {
  /** The whole netconf, as received. */
  readonly stdin: Uint8Array
  /** CNI_CONTAINERID, CNI_IFNAME, CNI_ARGS and what else a plugin is told. */
  readonly env: Environment
  /** Throws if the caller has gone. Called whenever there was something to wait for, and before any change. */
  readonly proceed?: () => void
}

/** Leases one address from each range set. @throws CniError as the real one prints it */
export async function hostLocalAdd(call: HostLocalCall): Promise<Result> {
  const { conf, version, owner, directory, proceed } = prepare(call, 'ADD')
  const dns = conf.resolvConf === '' ? {} : readResolvConf(conf.resolvConf)
  const ips = await withStore(directory, proceed, (store) => allocate(conf, owner, store))
  const result: Result = { interfaces: [], ips, routes: conf.routes, dns }
  // The oldest versions have one address a family, and a route only beside one: what they cannot say is lost.
  const isLegacy = version === '0.1.0' || version === '0.2.0'
  return isLegacy ? parseResult(formatResult(result, version), version).result : result
}

/** Releases what the attachment has; nothing is no fault. @throws CniError as the real one prints it */
export async function hostLocalDel(call: HostLocalCall): Promise<void> {
  const { conf, owner, directory, proceed } = prepare(call, 'DEL')
  await withStore(directory, proceed, async (store) => {
    for (const _ of conf.sets) await store.release(owner) // for each: the second takes what is of the old form
  })
}

/** @throws CniError (internal) if the attachment has no lease here */
export async function hostLocalCheck(call: HostLocalCall): Promise<void> {
  const { owner, directory, proceed } = prepare(call, 'CHECK')
  const isKnown = await withStore(directory, proceed, (store) => store.knows(owner))
  if (!isKnown) throw refusal(`host-local: Failed to find address added by container ${owner.old}`)
}

interface Prepared {
  readonly conf: IpamConf
  readonly version: CniVersion
  readonly owner: Owner
  readonly directory: string
  readonly proceed: () => void
}

/** Whatever can be refused without touching the disk, in the order in which skel and host-local do. */
function prepare(call: HostLocalCall, verb: 'ADD' | 'DEL' | 'CHECK'): Prepared {
  const { containerID, ifName, args } = readEnvironment({ ...call.env, CNI_COMMAND: verb })
  const netconf = parse(call.stdin)
  validateNetworkName('name' in netconf && typeof netconf.name === 'string' ? netconf.name : '')
  const stated = versionOf(netconf)
  const version = verb === 'CHECK' ? versionForVerb(stated, verb) : supportedVersion(stated)
  const conf = readConf(netconf, args)
  const directory = posix.join(conf.dataDir || DEFAULT_DATA_DIR, conf.name)
  return {
    conf,
    version,
    owner: ownerOf(containerID, ifName),
    directory,
    proceed: call.proceed ?? (() => {}),
  }
}

function parse(stdin: Uint8Array): object {
  const prefix = 'error unmarshall network config'
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(stdin.buffer, stdin.byteOffset, stdin.byteLength).toString('utf8'))
  } catch (error) {
    throw new CniError(Code.decoding, `${prefix}: ${error instanceof Error ? error.message : 'not JSON'}`)
  }
  if (value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value
  throw new CniError(Code.decoding, `${prefix}: it must be a JSON object`)
}
