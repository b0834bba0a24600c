/** Compiles the client, client/nugator.c, with what the machine has. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Client {
  /** The compiler that was there: a name, or `none`. */
  readonly compiler: string
  /** The executable; undefined if no compiler made one. */
  readonly program?: Uint8Array
  /** Why there is no program. */
  readonly why?: string
  /** What to add to the licences, for the libc that is part of it. */
  readonly licence: string
}

interface Attempt {
  readonly command: string
  readonly options: readonly string[]
  /** The file below client/ with the licence of the libc that goes in. */
  readonly licence?: string
}

const OPTIONS = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-s']

const MUSL: Attempt = { command: 'musl-gcc', options: ['-static'], licence: 'musl.txt' }

/** Best first: with musl a start takes 0.1 ms, with static glibc 0.4, with the shared one 0.5. */
function attempts(): Attempt[] {
  const asked = process.env.NUGATOR_CC ?? ''
  if (asked === 'none') return []
  if (asked === MUSL.command) return [MUSL]
  const command = asked === '' ? 'cc' : asked
  const linked = [['-static'], []].map((options): Attempt => ({ command, options }))
  return asked === '' ? [MUSL, ...linked] : linked
}

/**
 * Compiles the client, linked statically if that can be. `NUGATOR_CC` names another compiler than musl-gcc or
 * cc; `none` leaves it.
 */
export function compileClient(root: string): Client {
  const dir = mkdtempSync(join(tmpdir(), 'nugator-client-'))
  const program = join(dir, 'nugator')
  let compiler = 'none'
  let why = 'there is no C compiler'
  try {
    for (const { command, options, licence } of attempts()) {
      const source = join(root, 'client/nugator.c')
      const define = `-DNODE=${JSON.stringify(process.execPath)}`
      const done = spawnSync(command, [...OPTIONS, ...options, define, '-o', program, source], {
        encoding: 'utf8',
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      if (done.error !== undefined) continue
      if (compiler === 'none') compiler = command
      if (done.status === 0) {
        const terms = licence === undefined ? '' : readFileSync(join(root, 'client', licence), 'utf8')
        return { compiler, program: readFileSync(program), licence: terms && `${'='.repeat(78)}\n${terms}` }
      }
      const words = done.stderr.trim().split('\n')
      why = `${command}: ${words.find((line) => line.includes('error:')) ?? words.at(-1)}`
    }
    return { compiler, why, licence: '' }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
