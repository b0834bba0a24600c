import { CniError, Code } from '../cni/error.ts'
import { parseResult, type Result } from '../cni/result.ts'
import type { CniVersion } from '../cni/version.ts'
import { parseCidr, parseDestination, parseIp } from '../koko/cidr.ts'
import { report } from './report.ts'

/** Versions whose results look the same; a prevResult must be of the configuration's own kind. */
const FAMILIES: readonly (readonly CniVersion[])[] = [
  ['0.1.0', '0.2.0'],
  ['0.3.0', '0.3.1', '0.4.0'],
  ['1.0.0', '1.1.0'],
]

/** @returns undefined if there is none. @throws CniError (internal) if it cannot be understood */
export function parsePrevResult(value: unknown, version: CniVersion): Result | undefined {
  if (value === undefined || value === null) return undefined
  const family = FAMILIES.find((versions) => versions.includes(version)) ?? []
  try {
    const parsed = parseResult(value, version)
    if (!family.includes(parsed.version)) {
      throw new CniError(
        Code.internal,
        `result type supports [${family.join(' ')}] but unmarshalled CNIVersion is "${parsed.version}"`,
      )
    }
    return parsed.result
  } catch (error) {
    throw unparsable(error)
  }
}

/** For CHECK: its addresses and routes can be compared. @throws CniError (internal) if there is none such */
export function requirePrevResult(value: unknown, version: CniVersion): Result {
  const prev = parsePrevResult(value, version)
  if (prev === undefined) throw new CniError(Code.internal, 'nugator: Required prevResult missing')
  try {
    for (const { address } of prev.ips) parseCidr(address)
    for (const { dst, gw } of prev.routes) {
      parseDestination(dst)
      if (gw) parseIp(gw)
    }
  } catch (error) {
    throw unparsable(error)
  }
  return prev
}

function unparsable(error: unknown): CniError {
  const { msg, details } = report(error)
  return new CniError(Code.internal, `could not parse prevResult: ${msg}`, details)
}

/** A later plugin of a chain answers with everything before it and its own. */
export function mergeResults(prev: Result, own: Result): Result {
  const offset = prev.interfaces.length
  return {
    interfaces: [...prev.interfaces, ...own.interfaces],
    ips: [
      ...prev.ips,
      ...own.ips.map((ip) => (ip.interface === undefined ? ip : { ...ip, interface: ip.interface + offset })),
    ],
    routes: [...prev.routes, ...own.routes],
    dns: Object.keys(own.dns).length > 0 ? own.dns : prev.dns,
  }
}
