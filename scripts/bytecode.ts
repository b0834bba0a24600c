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

/**
 * The bytecode of the bundle after a STATUS with an IPAM plugin that does nothing: that goes through the parser,
 * netlink and an exec, but leaves the machine as it was.
 *
 * @param beside the directory of koffi.node
 * @returns undefined if it could not be made
 */
export function bytecode(source: string, beside: string): Buffer | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'nugator-build-'))
  try {
    const file = join(dir, 'bundle.js')
    const out = join(dir, 'bundle.cache')
    writeFileSync(file, source)
    writeFileSync(join(dir, 'ipam'), '#!/bin/sh\nexec cat >/dev/null\n', { mode: 0o755 })
    const env = {
      CNI_COMMAND: 'STATUS',
      CNI_PATH: dir,
      PATH: process.env.PATH,
      NUGATOR_STATE_DIR: dir,
      NUGATOR_RUN_DIR: dir,
    }
    const conf = { cniVersion: '1.1.0', name: 'build', type: 'nugator', ipam: { type: 'ipam' } }
    const input = JSON.stringify(conf)
    spawnSync(process.execPath, ['-e', RECORDER, file, out, beside], { env, input, timeout: 20_000 })
    return existsSync(out) ? readFileSync(out) : undefined
  } finally {
    rmSync(dir, { recursive: true })
  }
}
