/**
 * One call of a CNI plugin, from environment and stdin to stdout and exit status: validation in libcni's order,
 * then the verb. What the verb means is the plugin's business.
 */
import {
  type CallEnvironment,
  type Environment,
  isVerb,
  readEnvironment,
  type Verb,
  validateNetworkName,
} from './environment.ts'
import { CniError, Code } from './error.ts'
import { formatResult, type Result } from './result.ts'
import {
  CNI_VERSIONS,
  type CniVersion,
  isCniVersion,
  NEWEST_VERSION,
  supportedVersion,
  versionForVerb,
  versionOf,
} from './version.ts'

export interface CniCall extends CallEnvironment {
  readonly env: Environment
  /** As received: delegates get these very bytes. */
  readonly stdin: Buffer
  /** stdin parsed, not yet validated beyond being an object with a name. */
  readonly conf: Readonly<Record<string, unknown>>
  readonly network: string
  readonly version: CniVersion
}

/** A plugin: one function a verb. Only ADD has an answer. */
export interface Plugin {
  /** `CNI nugator plugin version 0.1.0` */
  readonly about: string
  add(call: CniCall): Promise<Result>
  del(call: CniCall): Promise<void>
  check(call: CniCall): Promise<void>
  gc(call: CniCall): Promise<void>
  status(call: CniCall): Promise<void>
  /** Turns whatever a verb threw into what the runtime is told. */
  report(error: unknown): CniError
}

export interface Answer {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: 0 | 1
}

/** Never throws: every failure becomes an answer with exactly one JSON value on stdout. */
export async function serve(plugin: Plugin, env: Environment, readStdin: () => Buffer): Promise<Answer> {
  const command = env.CNI_COMMAND ?? ''
  if (command === '') {
    const versions = CNI_VERSIONS.join(', ')
    return {
      stdout: '',
      stderr: `${plugin.about}\nCNI protocol versions supported: ${versions}\n`,
      exitCode: 0,
    }
  }
  if (command === 'VERSION') {
    return success(JSON.stringify({ cniVersion: NEWEST_VERSION, supportedVersions: CNI_VERSIONS }))
  }
  let version: CniVersion = NEWEST_VERSION
  try {
    const callEnvironment = readEnvironment(env)
    const stdin = read(readStdin)
    const conf = parseObject(stdin)
    const stated = 'cniVersion' in conf ? conf.cniVersion : undefined
    if (typeof stated === 'string' && isCniVersion(stated)) version = stated
    const network = networkName(conf)
    if (!isVerb(command)) {
      throw new CniError(Code.invalidEnvironment, `unknown CNI_COMMAND: ${command}`)
    }
    version = agreeOnVersion(conf, command)
    const call: CniCall = { ...callEnvironment, env, stdin, conf, network, version }
    const result = await dispatch(plugin, command, call)
    return result === undefined
      ? success('')
      : success(JSON.stringify(formatResult(result, version), null, 4))
  } catch (error) {
    return failure(plugin.report(error), version)
  }
}

function success(stdout: string): Answer {
  return { stdout: stdout === '' ? '' : `${stdout}\n`, stderr: '', exitCode: 0 }
}

/** Longer texts only repeat what the caller sent. */
const TEXT_MAX = 4096

function failure(thrown: CniError, cniVersion: CniVersion): Answer {
  const { code } = thrown
  const [msg, details] = [thrown.msg.slice(0, TEXT_MAX), thrown.details.slice(0, TEXT_MAX)]
  const error = { cniVersion, code, msg, ...(details === '' ? {} : { details }) }
  return { stdout: `${JSON.stringify(error, null, 4)}\n`, stderr: '', exitCode: 1 }
}

function read(readStdin: () => Buffer): Buffer {
  try {
    return readStdin()
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    throw new CniError(Code.io, `error reading from stdin: ${what}`)
  }
}

function parseObject(stdin: Buffer): Record<string, unknown> {
  const prefix = 'error unmarshall network config'
  const text = stdin.toString('utf8')
  if (text.trim() === '') throw new CniError(Code.decoding, `${prefix}: unexpected end of JSON input`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CniError(Code.decoding, `${prefix}: ${error instanceof Error ? error.message : 'not JSON'}`)
  }
  if (value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new CniError(Code.decoding, `${prefix}: it must be a JSON object`)
  }
  return Object.fromEntries(Object.entries(value))
}

function networkName(conf: Readonly<Record<string, unknown>>): string {
  const name = conf.name ?? ''
  if (typeof name !== 'string') {
    throw new CniError(
      Code.decoding,
      `error unmarshall network config: name is a ${typeof name}, not a string`,
    )
  }
  validateNetworkName(name)
  return name
}

function agreeOnVersion(conf: object, verb: Verb): CniVersion {
  const version = versionOf(conf)
  if (verb === 'CHECK' || verb === 'GC' || verb === 'STATUS') return versionForVerb(version, verb)
  return supportedVersion(version)
}

async function dispatch(plugin: Plugin, verb: Verb, call: CniCall): Promise<Result | undefined> {
  switch (verb) {
    case 'ADD':
      return plugin.add(call)
    case 'DEL':
      await plugin.del(call)
      return undefined
    case 'CHECK':
      await plugin.check(call)
      return undefined
    case 'GC':
      await plugin.gc(call)
      return undefined
    case 'STATUS':
      await plugin.status(call)
      return undefined
    case 'VERSION':
      return undefined
  }
}
