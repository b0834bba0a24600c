import { CniError, Code } from './error.ts'

/** Every released version of the protocol, oldest first. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type CniVersion = (typeof CNI_VERSIONS)[number]

export const NEWEST_VERSION: CniVersion = '1.1.0'
/** What a configuration without `cniVersion` means (libcni's ConfigDecoder). */
const ASSUMED_VERSION: CniVersion = '0.1.0'

export function isCniVersion(text: string): text is CniVersion {
  return (CNI_VERSIONS as readonly string[]).includes(text)
}

/** The configuration's version as text; not necessarily one that exists. @throws CniError (decoding) */
export function versionOf(conf: object): string {
  const value = 'cniVersion' in conf ? conf.cniVersion : undefined
  if (value === undefined || value === null || value === '') return ASSUMED_VERSION
  if (typeof value !== 'string') {
    throw new CniError(Code.decoding, `decoding version from network config: cniVersion is a ${typeof value}`)
  }
  return value
}

function parseVersion(text: string): readonly [number, number, number] {
  const [major = '', minor = '0', micro = '0'] = text.split('.')
  const part = (label: string, digits: string) => {
    if (/^[+-]?\d+$/.test(digits)) return Number(digits)
    throw new CniError(Code.decoding, `failed to convert ${label} version part "${digits}": invalid syntax`)
  }
  return [part('major', major), part('minor', minor), part('micro', micro)]
}

/** @throws CniError (decoding) if either is not a version at all */
export function atLeast(version: string, floor: string): boolean {
  const a = parseVersion(version)
  const b = parseVersion(floor)
  for (const index of [0, 1, 2] as const) {
    if (a[index] !== b[index]) return a[index] > b[index]
  }
  return true
}

/** @throws CniError (incompatible version) unless it is exactly one of ours */
export function supportedVersion(version: string): CniVersion {
  if (isCniVersion(version)) return version
  const ours = CNI_VERSIONS.map((known) => `"${known}"`).join(' ')
  throw new CniError(
    Code.incompatibleVersion,
    'incompatible CNI versions',
    `config is "${version}", plugin supports [${ours}]`,
  )
}

/** CHECK exists since 0.4.0, GC and STATUS since 1.1.0. @throws CniError */
export function versionForVerb(version: string, verb: 'CHECK' | 'GC' | 'STATUS'): CniVersion {
  if (!atLeast(version, verb === 'CHECK' ? '0.4.0' : '1.1.0')) {
    throw new CniError(Code.incompatibleVersion, `config version does not allow ${verb}`)
  }
  if (!atLeast(NEWEST_VERSION, version)) {
    throw new CniError(Code.incompatibleVersion, `plugin version does not allow ${verb}`)
  }
  return supportedVersion(version)
}
