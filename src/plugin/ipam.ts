/**
 * IPAM is somebody else's plugin: it is handed our call as it came, and its answer is checked. But `host-local` is what
 * most networks have, and its work is done here, in its own files and under its own lock, unless the netconf says
 * `"exec": true`.
 */
import type { Environment } from '../cni/environment.ts'
import { CniError, Code } from '../cni/error.ts'
import { execPlugin, findPlugin, type Surroundings } from '../cni/exec.ts'
import { parseResult, type Result } from '../cni/result.ts'
import type { CniCall } from '../cni/serve.ts'
import { CNI_VERSIONS, type CniVersion, NEWEST_VERSION } from '../cni/version.ts'
import { step } from '../netlink/steps.ts'
import { hostLocalAdd, hostLocalCheck, hostLocalDel } from './host-local/host-local.ts'

/** These only do arithmetic; every other one may want to see the link first (dhcp does). */
const LINK_NOT_NEEDED = new Set(['host-local', 'static'])

export function needsLink(type: string): boolean {
  return !LINK_NOT_NEEDED.has(type)
}

export interface IpamCall {
  readonly type: string
  readonly path: readonly string[]
  readonly env: Environment
  readonly stdin: Uint8Array
  readonly where: Surroundings
  /** Done in this process. */
  readonly isOwn: boolean
}

/** True if this netconf's IPAM is done in this process. */
export function isOwnIpam(conf: { readonly [key: string]: unknown }): boolean {
  const { ipam } = conf
  if (typeof ipam !== 'object' || ipam === null || !('type' in ipam) || ipam.type !== 'host-local')
    return false
  return conf.exec !== true && !('exec' in ipam && ipam.exec === true)
}

/** The call as it came, but under the name that the interface really has. */
export function ipamCallOf(call: CniCall, type: string, ifName: string, where: Surroundings): IpamCall {
  const env = ifName === call.ifName ? call.env : { ...call.env, CNI_IFNAME: ifName }
  return { type, path: call.path, env, stdin: call.stdin, where, isOwn: isOwnIpam(call.conf) }
}

/** @param proceed throws if nobody waits for the lease any more */
export async function ipamAdd(call: IpamCall, version: CniVersion, proceed: () => void): Promise<Result> {
  if (call.isOwn) return requireIps(await hostLocalAdd({ ...call, proceed }), call)
  const stdout = await run(call, 'ADD')
  let value: unknown
  try {
    value = JSON.parse(stdout)
  } catch {
    throw new CniError(
      Code.internal,
      `failed to unmarshal raw result: ${JSON.stringify(stdout.slice(0, 1000))}`,
    )
  }
  // null is an answer without addresses, as it is to the reference plugins
  const { result } = parseResult(value ?? {}, version)
  return requireIps(result, call)
}

function requireIps(result: Result, { type }: IpamCall): Result {
  if (result.ips.length > 0) return result
  throw new CniError(Code.internal, 'IPAM plugin returned missing IP config', `ipam type ${type}`)
}

export async function ipamRun(call: IpamCall, verb: 'DEL' | 'CHECK'): Promise<void> {
  if (!call.isOwn) await run(call, verb)
  else if (verb === 'DEL') await hostLocalDel(call)
  else await hostLocalCheck(call)
}

/** GC and STATUS came with 1.1.0: a plugin that does not know that version has nothing to say. */
export async function ipamAsk(call: IpamCall, verb: 'GC' | 'STATUS'): Promise<void> {
  if (call.isOwn) return // host-local has nothing to say to either
  const file = findPlugin(call.type, call.path)
  try {
    await exec(file, call, verb, call.stdin)
  } catch (error) {
    // What older ones say to a verb without a container differs; their VERSION decides.
    const doubtful = error instanceof CniError && DOUBTFUL.has(error.code)
    if (!doubtful || (await supportedVersions(file, call)).includes(NEWEST_VERSION)) throw error
  }
}

const DOUBTFUL: ReadonlySet<number> = new Set([
  Code.incompatibleVersion,
  Code.unknownContainer,
  Code.invalidEnvironment,
])

async function supportedVersions(file: string, call: IpamCall): Promise<unknown[]> {
  const answer: unknown = JSON.parse(await execPlugin(file, 'VERSION', call.env, call.stdin, call.where))
  const known = typeof answer === 'object' && answer !== null && 'supportedVersions' in answer
  return known && Array.isArray(answer.supportedVersions) ? answer.supportedVersions : []
}

/** The call as it came; a plugin too old for its version gets the newest one that it knows. */
async function run(call: IpamCall, verb: string): Promise<string> {
  const file = findPlugin(call.type, call.path)
  try {
    return await exec(file, call, verb, call.stdin)
  } catch (error) {
    const older = isTooOld(error) ? await downgraded(file, call) : undefined
    if (older === undefined) throw error
    return exec(file, call, verb, older)
  }
}

async function exec(file: string, call: IpamCall, verb: string, stdin: Uint8Array): Promise<string> {
  step()
  const stdout = await execPlugin(file, verb, call.env, stdin, call.where)
  step()
  return stdout
}

function isTooOld(error: unknown): boolean {
  return error instanceof CniError && error.code === Code.incompatibleVersion
}

/** The same configuration in a version that the plugin says it has; prevResult is of no use to IPAM. */
async function downgraded(file: string, call: IpamCall): Promise<Uint8Array | undefined> {
  const supported = await supportedVersions(file, call)
  const newest = CNI_VERSIONS.toReversed().find((version) => supported.includes(version))
  const conf: Record<string, unknown> = JSON.parse(Buffer.from(call.stdin).toString('utf8'))
  if (newest === undefined || newest === conf.cniVersion) return undefined
  const { prevResult, ...rest } = conf
  return Buffer.from(JSON.stringify({ ...rest, cniVersion: newest }))
}
