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

/** The bytecode of the bundle after it ran once, and so of the functions that a start needs. */
export function bytecode(source: string, beside: string): Buffer | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'nugator-build-'))
  try {
    const program = `
      const { readFileSync, writeFileSync } = require('node:fs')
      const [file, out, beside] = process.argv.splice(1)
      const script = new (require('node:vm').Script)(readFileSync(file, 'latin1'), { filename: file })
      process.on('exit', () => writeFileSync(out, script.createCachedData()))
      const m = { exports: {} }
      script.runInThisContext()(m.exports, require('node:module').createRequire(beside + '/'), m, file, beside)`
    writeFileSync(join(dir, 'bundle.js'), source)
    const out = join(dir, 'bundle.cache')
    const env = { CNI_COMMAND: 'VERSION', NUGATOR_STATE_DIR: dir, NUGATOR_RUN_DIR: dir }
    const input = JSON.stringify({ cniVersion: '1.1.0' })
    spawnSync(process.execPath, ['-e', program, join(dir, 'bundle.js'), out, beside], { env, input })
    return existsSync(out) ? readFileSync(out) : undefined
  } finally {
    rmSync(dir, { recursive: true })
  }
}
