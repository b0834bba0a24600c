import { CniError, Code } from '../cni/error.ts'
import { parseResult, type Result } from '../cni/result.ts'
import type { CniVersion } from '../cni/version.ts'

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
    const why = error instanceof CniError ? error.msg : String(error)
    throw new CniError(Code.internal, `could not parse prevResult: ${why}`)
  }
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
