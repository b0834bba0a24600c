/** The built plugin as it is installed: copied, linked, in part, and with next to no environment. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { PLUGIN, run } from './rig/host.ts'

function scratch(t: { teardown(fn: () => unknown): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const VERSION = { CNI_COMMAND: 'VERSION' }

function supports(stdout: string): string[] {
  return JSON.parse(stdout).supportedVersions
}

test('copied together with what it names beside it', async (t) => {
  const dir = scratch(t)
  for (const name of ['nugator', 'nugator.d']) {
    cpSync(join(dirname(PLUGIN), name), join(dir, name), { recursive: true })
  }
  const done = await run(join(dir, 'nugator'), [], { env: VERSION })
  t.equal(done.code, 0, done.stderr)
  t.equal(supports(done.stdout).length, 7)
})

test('linked, also through two links, from any directory', async (t) => {
  const dir = scratch(t)
  mkdirSync(join(dir, 'bin'))
  symlinkSync(PLUGIN, join(dir, 'one'))
  symlinkSync('../one', join(dir, 'bin/nugator'))
  const done = await run(join(dir, 'bin/nugator'), [], { env: VERSION, cwd: '/' })
  t.equal(done.code, 0, done.stderr)
  t.equal(supports(done.stdout).length, 7)
})

test('with an empty PATH, and NODE_OPTIONS that are not ours', async (t) => {
  const done = await run(PLUGIN, [], { env: { ...VERSION, PATH: '', NODE_OPTIONS: '--no-such-option' } })
  t.equal(done.code, 0, done.stderr)
})

test('copied without what it names beside it, it says so as CNI has it', async (t) => {
  const dir = scratch(t)
  cpSync(PLUGIN, join(dir, 'nugator'))
  const done = await run(join(dir, 'nugator'), [], { env: VERSION })
  t.equal(done.code, 1)
  t.match(JSON.parse(done.stdout), { code: 999, msg: /\S/ })
})

test('a bundle that another Node has compiled, or that is damaged, is compiled anew', async (t) => {
  const dir = scratch(t)
  for (const name of ['nugator', 'nugator.d']) {
    cpSync(join(dirname(PLUGIN), name), join(dir, name), { recursive: true })
  }
  rmSync(join(dir, 'nugator.d/bundle.cache'))
  t.equal((await run(join(dir, 'nugator'), [], { env: VERSION })).code, 0)
})
