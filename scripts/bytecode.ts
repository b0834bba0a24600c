/** The bundle as packaging/loader.cjs runs it, and the bytecode that makes its start quicker. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What packaging/loader.cjs compiles: a function of a CommonJS module's variables, and a digest at the end. */
export function compilable(code: string): { source: string; digest: string } {
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${code}\n})\n`
  const digest = createHash('sha256').update(wrapped).digest('hex').slice(0, 16)
  return { source: `${wrapped}//${digest}\n`, digest }
}

/** Runs the bundle and, at its end, writes the bytecode of all functions that were needed. */
const RECORDER = `
  const { readFileSync, writeFileSync } = require('node:fs')
  const [file, out, beside] = process.argv.splice(1)
  const script = new (require('node:vm').Script)(readFileSync(file, 'latin1'), { filename: file })
  process.on('exit', () => writeFileSync(out, script.createCachedData()))
  const m = { exports: {} }
  script.runInThisContext()(m.exports, require('node:module').createRequire(beside + '/'), m, file, beside)`

/** What is run of a bundle so that its bytecode can be taken. */
export interface Recording {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly input: string
}

const CONF = { cniVersion: '1.0.0', name: 'build', type: 'nugator' }

/**
 * An ADD in a network namespace that nobody else sees, which is host and container at once and ends with the process;
 * its records and leases are in `dir`.
 */
export function recordedCall(dir: string): Recording {
  const ipam = { type: 'host-local', subnet: '10.0.0.0/24', dataDir: dir, routes: [{ dst: '0.0.0.0/0' }] }
  return {
    file: 'unshare',
    args: ['--net', process.execPath],
    env: {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'build',
      CNI_NETNS: '/proc/self/ns/net',
      CNI_NETNS_OVERRIDE: '1',
      CNI_IFNAME: 'eth0',
      CNI_PATH: dir,
      NUGATOR_STATE_DIR: join(dir, 'state'),
      NUGATOR_RUN_DIR: join(dir, 'run'),
    },
    input: JSON.stringify({ ...CONF, ipam }),
  }
}

/** The shortest of all commands. */
export function recordedCommand(): Recording {
  return { file: process.execPath, args: [], env: {}, input: '' }
}

/**
 * The bytecode of a bundle after what is recorded of it.
 *
 * @param beside the directory of koffi.node
 * @returns undefined if it could not be made
 */
export function bytecode(
  source: string,
  beside: string,
  recording: (dir: string) => Recording,
): Buffer | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'nugator-build-'))
  try {
    const bundle = join(dir, 'bundle.js')
    const out = join(dir, 'bundle.cache')
    writeFileSync(bundle, source)
    const { file, args, env, input } = recording(dir)
    const run = (file: string, args: readonly string[], env: Recording['env']) =>
      spawnSync(file, [...args, '-e', RECORDER, bundle, out, beside], {
        env: { PATH: process.env.PATH, ...env },
        input,
        timeout: 20_000,
      })
    run(file, args, env)
    // Without root's rights, or unshare: what a refusal needs is most of it. (In its own namespace an ADD is refused.)
    if (!existsSync(out)) run(process.execPath, [], { ...env, CNI_NETNS_OVERRIDE: '' })
    return existsSync(out) ? readFileSync(out) : undefined
  } finally {
    rmSync(dir, { recursive: true })
  }
}
