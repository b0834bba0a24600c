/** Running other people's plugins: finding them, handing them our call, reading their answer. */
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment } from './environment.ts'
import { CniError, Code } from './error.ts'

/** The first regular file called `type` in the directories of CNI_PATH. @throws CniError (internal) */
export function findPlugin(type: string, path: readonly string[]): string {
  if (type === '') throw new CniError(Code.internal, 'no plugin name provided')
  if (type.includes('/') || type.includes('\0') || type === '..' || type === '.') {
    throw new CniError(Code.internal, `invalid plugin name: ${type}`)
  }
  for (const directory of path) {
    const file = `${directory}/${type}`
    if (isFile(file)) return file
  }
  throw new CniError(Code.internal, `failed to find plugin "${type}" in path [${path.join(' ')}]`)
}

function isFile(file: string): boolean {
  try {
    return statSync(file).isFile()
  } catch {
    return false // whatever keeps it from being looked at keeps it from being run
  }
}

const BUSY_TRIES = 6
const BUSY_WAIT_MS = 1000

/** What surrounds a program that is run for a caller. */
export interface Surroundings {
  /** Calls `spawn` with the thread in the network namespace that the program is to run in. */
  readonly within: (spawn: () => void) => void
  /** Where its stderr goes, as it comes. */
  readonly warn: (text: string | Uint8Array) => void
}

/** Starts a program where it is to run. A process begins in the namespace of the thread that starts it. */
export function startWithin<T>(within: Surroundings['within'], start: () => T): T {
  const started: T[] = []
  within(() => {
    started.push(start())
  })
  const [running] = started
  if (running === undefined) throw new CniError(Code.internal, 'the program was not started')
  return running
}

/**
 * Execs a plugin with the caller's environment, one verb and the stdin given, byte for byte. What it says on
 * stderr goes to the caller's as it comes.
 *
 * @returns its stdout, empty for verbs without an answer
 * @throws CniError with the plugin's own code, or 0 if it failed without a readable error
 */
export async function execPlugin(
  file: string,
  verb: string,
  env: Environment,
  stdin: Uint8Array,
  { within, warn }: Surroundings,
): Promise<string> {
  const { execa } = await import('execa')
  for (let attempt = 1; ; attempt += 1) {
    const running = startWithin(within, () =>
      execa(file, [], {
        env: { ...env, CNI_COMMAND: verb },
        extendEnv: false,
        input: stdin,
        stripFinalNewline: false,
        reject: false,
        maxBuffer: 64 * 1024 * 1024,
      }),
    )
    running.stderr?.on('data', warn)
    const done = await running
    if (!done.failed) return done.stdout
    // A plugin that is being replaced on disk right now.
    if (done.code === 'ETXTBSY' && attempt < BUSY_TRIES) {
      await sleep(BUSY_WAIT_MS)
      continue
    }
    throw failure(file, done)
  }
}

interface Failed {
  readonly stdout?: string
  readonly stderr?: string
  readonly exitCode?: number | undefined
  readonly signal?: string | undefined
  readonly code?: string | undefined
}

function failure(file: string, done: Failed): CniError {
  if (done.exitCode === undefined && done.signal === undefined) {
    const why = done.code === 'EACCES' ? 'permission denied' : (done.code ?? 'it did not start')
    return new CniError(0, `fork/exec ${file}: ${why}`)
  }
  const status = done.signal === undefined ? `exit status ${done.exitCode}` : `signal: ${done.signal}`
  const stdout = done.stdout ?? ''
  const stderr = done.stderr ?? ''
  if (stdout.trim() === '') {
    if (stderr === '') return new CniError(0, `netplugin failed with no error message: ${status}`)
    return new CniError(0, `netplugin failed: ${JSON.stringify(stderr)}: ${status}`)
  }
  const error = parseError(stdout)
  if (error !== undefined) return error
  return new CniError(
    0,
    `netplugin failed but error parsing its diagnostic message ${JSON.stringify(stdout.slice(0, 1000))}: not a CNI error`,
  )
}

function parseError(stdout: string): CniError | undefined {
  let value: unknown
  try {
    value = JSON.parse(stdout)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { code, msg, details }: { code?: unknown; msg?: unknown; details?: unknown } = value
  return new CniError(
    typeof code === 'number' && Number.isInteger(code) ? code : 0,
    typeof msg === 'string' && msg !== '' ? msg : 'the plugin failed without saying why',
    typeof details === 'string' ? details : '',
  )
}
