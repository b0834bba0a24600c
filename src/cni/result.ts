/** CNI results: one shape inside (1.1.0), every version's own outside (specification, section "Success"). */
import * as z from 'zod/mini'
import { CniError, Code } from './error.ts'
import { describeIssues } from './issues.ts'
import { type CniVersion, isCniVersion } from './version.ts'

const optional = <T extends z.core.SomeType>(schema: T) => z.nullish(schema)

const interfaceSchema = z.object({
  name: z.string(),
  mac: optional(z.string()),
  mtu: optional(z.number()),
  sandbox: optional(z.string()),
  socketPath: optional(z.string()),
  pciID: optional(z.string()),
})

const routeSchema = z.object({
  dst: z.string(),
  gw: optional(z.string()),
  mtu: optional(z.number()),
  advmss: optional(z.number()),
  priority: optional(z.number()),
  table: optional(z.number()),
  scope: optional(z.number()),
})

const ipSchema = z.object({
  interface: optional(z.int().check(z.minimum(0))),
  address: z.string(),
  gateway: optional(z.string()),
})

const dnsSchema = z.object({
  nameservers: optional(z.array(z.string())),
  domain: optional(z.string()),
  search: optional(z.array(z.string())),
  options: optional(z.array(z.string())),
})

const currentSchema = z.object({
  interfaces: optional(z.array(interfaceSchema)),
  ips: optional(z.array(ipSchema)),
  routes: optional(z.array(routeSchema)),
  dns: optional(dnsSchema),
})

const legacyIpSchema = z.object({
  ip: z.string(),
  gateway: optional(z.string()),
  routes: optional(z.array(routeSchema)),
})

const legacySchema = z.object({
  ip4: optional(legacyIpSchema),
  ip6: optional(legacyIpSchema),
  dns: optional(dnsSchema),
})

export interface ResultInterface {
  name: string
  mac?: string
  mtu?: number
  /** The namespace's path; absent for an interface in the host's. */
  sandbox?: string
  socketPath?: string
  pciID?: string
}

export interface ResultIp {
  /** Index into `interfaces`. */
  interface?: number
  address: string
  gateway?: string
}

export interface ResultRoute {
  dst: string
  gw?: string
  mtu?: number
  advmss?: number
  priority?: number
  table?: number
  scope?: number
}

export interface Dns {
  nameservers?: string[]
  domain?: string
  search?: string[]
  options?: string[]
}

export interface Result {
  interfaces: ResultInterface[]
  ips: ResultIp[]
  routes: ResultRoute[]
  dns: Dns
}

/** Drops null and undefined members, for a type whose members are exactly optional. */
function compact<T extends object>(value: object): T {
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== null && member !== undefined),
  ) as T
}

/**
 * Reads a result of any version.
 *
 * @param fallback the version of a result that does not say one
 * @throws CniError (internal) if it is of no known version, or not of the shape of its version
 */
export function parseResult(value: unknown, fallback: CniVersion): { result: Result; version: CniVersion } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CniError(Code.internal, 'failed to unmarshal raw result: not a JSON object')
  }
  const stated = 'cniVersion' in value && value.cniVersion ? value.cniVersion : fallback
  if (typeof stated !== 'string' || !isCniVersion(stated)) {
    throw new CniError(Code.internal, `unsupported CNI result version ${JSON.stringify(stated)}`)
  }
  const result = isLegacy(stated) ? parseLegacy(value) : parseCurrent(value)
  return { result, version: stated }
}

function isLegacy(version: CniVersion): boolean {
  return version === '0.1.0' || version === '0.2.0'
}

function parseCurrent(value: unknown): Result {
  const parsed = shaped(currentSchema, value)
  return {
    interfaces: (parsed.interfaces ?? []).map((entry) => compact<ResultInterface>(entry)),
    ips: (parsed.ips ?? []).map((entry) => compact<ResultIp>(entry)),
    routes: (parsed.routes ?? []).map((entry) => compact<ResultRoute>(entry)),
    dns: compact(parsed.dns ?? {}),
  }
}

function parseLegacy(value: unknown): Result {
  const parsed = shaped(legacySchema, value)
  const families = [parsed.ip4, parsed.ip6].filter((family) => family !== null && family !== undefined)
  return {
    interfaces: [],
    ips: families.map(({ ip, gateway }) => compact<ResultIp>({ address: ip, gateway })),
    routes: families.flatMap(({ routes }) => (routes ?? []).map((entry) => compact<ResultRoute>(entry))),
    dns: compact(parsed.dns ?? {}),
  }
}

function shaped<T extends z.core.$ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = z.safeParse(schema, value)
  if (parsed.success) return parsed.data
  throw new CniError(Code.internal, `failed to unmarshal raw result: ${describeIssues(parsed.error)}`)
}

const familyOf = (address: string) => (address.includes(':') ? 6 : 4)

/** True if a result with these addresses can be told in this version: 0.1.0 and 0.2.0 need at least one. */
export function isExpressible(ips: readonly unknown[], version: CniVersion): boolean {
  return !isLegacy(version) || ips.length > 0
}

/** The result as JSON of the given version. @throws CniError (internal) if it cannot be expressed there */
export function formatResult(result: Result, version: CniVersion): object {
  if (isLegacy(version)) return formatLegacy(result, version)
  const old = version.startsWith('0.')
  const interfaces = result.interfaces.map(({ mtu, socketPath, pciID, ...rest }) =>
    version === '1.1.0' ? compact({ ...rest, mtu, socketPath, pciID }) : rest,
  )
  const ips = result.ips.map((ip) => (old ? { version: String(familyOf(ip.address)), ...ip } : ip))
  const dns = old || Object.keys(result.dns).length > 0 ? { dns: result.dns } : {}
  return {
    cniVersion: version,
    ...(interfaces.length > 0 ? { interfaces } : {}),
    ...(ips.length > 0 ? { ips } : {}),
    ...(result.routes.length > 0 ? { routes: result.routes } : {}),
    ...dns,
  }
}

function formatLegacy(result: Result, version: CniVersion): object {
  const family = (wanted: 4 | 6) => {
    const ip = result.ips.find(({ address }) => familyOf(address) === wanted)
    if (ip === undefined) return undefined
    const routes = result.routes
      .filter(({ dst }) => familyOf(dst) === wanted)
      .map(({ dst, gw }) => compact({ dst, gw }))
    return compact({ ip: ip.address, gateway: ip.gateway, routes: routes.length > 0 ? routes : undefined })
  }
  const [ip4, ip6] = [family(4), family(6)]
  if (ip4 === undefined && ip6 === undefined) {
    throw new CniError(Code.internal, 'cannot convert: no valid IP addresses')
  }
  return { cniVersion: version, ...compact({ ip4, ip6 }), dns: result.dns }
}
