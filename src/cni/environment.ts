/** The environment of a plugin call: which variables each verb needs, and in what order faults are reported. */
import { CniError, Code } from './error.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const
export type Verb = (typeof VERBS)[number]

export function isVerb(text: string): text is Verb {
  return (VERBS as readonly string[]).includes(text)
}

export interface CallEnvironment {
  /** As given: may be a verb that does not exist. */
  readonly command: string
  readonly containerID: string
  /** Empty if the runtime gave none. */
  readonly netns: string
  readonly ifName: string
  readonly args: string
  /** CNI_PATH, split. */
  readonly path: readonly string[]
}

const ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

function validateContainerID(id: string): void {
  if (!ID.test(id)) throw new CniError(Code.invalidEnvironment, 'invalid characters in containerID', id)
}

function validateIfName(name: string): void {
  if (Buffer.byteLength(name) > 15) {
    throw new CniError(
      Code.invalidEnvironment,
      'interface name is too long',
      'interface name should be less than 16 characters',
    )
  }
  if (name === '.' || name === '..') {
    throw new CniError(Code.invalidEnvironment, 'interface name is . or ..', name)
  }
  if (/[/:\s\u0085]/u.test(name)) {
    throw new CniError(
      Code.invalidEnvironment,
      'interface name contains / or : or whitespace characters',
      name,
    )
  }
}

/** @throws CniError (invalid config) unless the network has a name that all of CNI accepts */
export function validateNetworkName(name: string): void {
  if (name === '') throw new CniError(Code.invalidConfig, 'missing network name')
  if (!ID.test(name)) {
    throw new CniError(Code.invalidConfig, 'invalid characters found in network name', name)
  }
}

interface Variable {
  readonly name: string
  readonly neededBy: readonly string[]
  readonly validate?: (value: string) => void
}

// In libcni's order: the first invalid one is reported at once, missing ones together at the end.
const VARIABLES: readonly Variable[] = [
  { name: 'CNI_CONTAINERID', neededBy: ['ADD', 'DEL', 'CHECK'], validate: validateContainerID },
  { name: 'CNI_NETNS', neededBy: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', neededBy: ['ADD', 'DEL', 'CHECK'], validate: validateIfName },
  { name: 'CNI_PATH', neededBy: ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] },
]

/** @throws CniError (invalid environment) */
export function readEnvironment(env: Environment): CallEnvironment {
  const command = env.CNI_COMMAND ?? ''
  const missing: string[] = []
  for (const { name, neededBy, validate } of VARIABLES) {
    const value = env[name] ?? ''
    if (!neededBy.includes(command)) continue
    if (value === '') missing.push(name)
    else validate?.(value)
  }
  if (missing.length > 0) {
    throw new CniError(Code.invalidEnvironment, `required env variables [${missing.join(',')}] missing`)
  }
  return {
    command,
    containerID: env.CNI_CONTAINERID ?? '',
    netns: env.CNI_NETNS ?? '',
    ifName: env.CNI_IFNAME ?? '',
    args: env.CNI_ARGS ?? '',
    path: (env.CNI_PATH ?? '').split(':').filter((directory) => directory !== ''),
  }
}
