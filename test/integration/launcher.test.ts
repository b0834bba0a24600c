/**
 * The built plugin as it is installed: copied, linked, in part, and with next to no environment; as the compiled
 * client, and as the script that takes its place where there is no compiler.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { type Ended, said, start } from './rig/client-place.ts'
import { PLUGIN } from './rig/host.ts'

const BUILD = resolve(import.meta.dirname, '../../scripts/build.ts')
/** There is no agent in these tests. */
const NOBODY = { NUGATOR_AGENT_SOCKET: '' }
const VERSION = { ...NOBODY, CNI_COMMAND: 'VERSION' }
/** How the two kinds begin. */
const [SCRIPT, ELF] = ['#!/bin/sh\n', '\x7fELF']

function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A copy of an executable and what it needs, to be changed. */
function copy(t: Test, built: string): string {
  const dir = join(scratch(t), 'a copy')
  for (const name of ['nugator', 'nugator.d']) {
    cpSync(join(dirname(built), name), join(dir, name), { recursive: true })
  }
  return join(dir, 'nugator')
}

/** A program that only says its name, what it was given and which options Node would have. */
function fakeNode(path: string, version = 'v24.0.0'): void {
  const text = `#!/bin/sh\n[ "$1" = -v ] && { echo ${version}; exit; }\necho "${basename(dirname(path))}" "$@" "$NODE_OPTIONS"\n`
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text, { mode: 0o755 })
}

/** As if the Node that built it were no more. */
function forgetNode(plugin: string): void {
  for (const file of [plugin, join(dirname(plugin), 'nugator.d/cold')]) {
    const text = readFileSync(file, 'latin1')
    const gone = `/${'x'.repeat(process.execPath.length - 1)}`
    const changed = text.replaceAll(process.execPath, gone)
    if (file.endsWith('cold') && changed === text) throw new Error(`${file} does not know its Node`)
    writeFileSync(file, Buffer.from(changed, 'latin1'))
  }
}

function refused(t: Test, done: Ended, msg: string, code = 999): void {
  t.match(
    [done.code, JSON.parse(done.stdout.toString())],
    [1, { cniVersion: '1.1.0', code, msg, details: /\S/ }],
  )
  t.equal(done.stderr.toString(), '')
}

function supports(t: Test, done: Ended): void {
  t.equal(done.code, 0, said(done))
  t.equal(JSON.parse(done.stdout.toString()).supportedVersions.length, 7)
}

function installed(t: Test, built: string): void {
  t.test('copied together with what it names beside it', async (t) => {
    supports(t, await start(copy(t, built), { env: VERSION }).ended)
  })

  t.test('linked, also through several links, from any directory', async (t) => {
    const dir = scratch(t)
    mkdirSync(join(dir, 'bin'))
    symlinkSync(built, join(dir, 'one'))
    symlinkSync('../one', join(dir, 'bin/two'))
    symlinkSync('two', join(dir, 'bin/nugator'))
    symlinkSync('bin', join(dir, 'sbin'))
    supports(t, await start(join(dir, 'sbin/nugator'), { env: VERSION }).ended)
    const byName = { ...VERSION, PATH: `${join(dir, 'sbin')}:/usr/bin:/bin` }
    supports(t, await start('/bin/sh', { args: ['-c', 'cd /; exec nugator'], env: byName }).ended)
    const relative = ['-c', `cd "${dir}"; exec bin/nugator`]
    supports(t, await start('/bin/sh', { args: relative, env: VERSION }).ended)
  })

  t.test('with an empty PATH, and NODE_OPTIONS that are not ours', async (t) => {
    const env = { ...VERSION, PATH: '', NODE_OPTIONS: '--no-such-option' }
    supports(t, await start(built, { env }).ended)
  })

  t.test('with no environment at all', async (t) => {
    const done = await start(built).ended
    t.match([done.code, said(done)], [0, /^ CNI nugator plugin version/])
    const command = await start(built, { args: ['version'] }).ended
    t.match([command.code, said(command)], [0, /^nugator \d/])
  })

  t.test('copied without what it names beside it, it says so as CNI has it', async (t) => {
    const plugin = copy(t, built)
    rmSync(join(dirname(plugin), 'nugator.d'), { recursive: true })
    for (const CNI_COMMAND of ['VERSION', 'ADD', 'STATUS']) {
      refused(t, await start(plugin, { env: { ...VERSION, CNI_COMMAND } }).ended, 'nugator.d is missing')
    }
    const person = await start(plugin, { args: ['version'] }).ended
    t.match([person.code, said(person)], [1, /^ nugator: nugator\.d is missing: .*\n$/])
  })

  t.test('a bundle that another Node has compiled, or that is damaged, is compiled anew', async (t) => {
    const plugin = copy(t, built)
    const cache = join(dirname(plugin), 'nugator.d/call.cache')
    const whole = readFileSync(cache)
    const other = Buffer.from(whole)
    other.fill(0, 16, 48) // what V8 says of itself, behind the bundle's digest
    for (const bytes of [other, Buffer.from(whole).fill(0, 0, 16), whole.subarray(0, 5)]) {
      writeFileSync(cache, bytes)
      supports(t, await start(plugin, { env: VERSION }).ended)
    }
    rmSync(cache)
    supports(t, await start(plugin, { env: VERSION }).ended)
  })

  t.test('which Node it takes', async (t) => {
    const plugin = copy(t, built)
    const beside = join(dirname(plugin), 'nugator.d')
    const script = join(beside, 'nugator.cjs')
    const answer = async (env: Record<string, string>, args: readonly string[] = []) =>
      (await start(plugin, { env, args }).ended).stdout.toString()
    const named = join(dirname(plugin), 'named/node')
    fakeNode(named)
    const mine = { NODE_OPTIONS: '--mine' }
    for (const CNI_COMMAND of ['VERSION', 'ADD']) {
      const env = { ...VERSION, ...mine, CNI_COMMAND, NUGATOR_NODE: named }
      t.equal(await answer(env), `named ${script} \n`, `${CNI_COMMAND}: the one that is named`)
      t.equal(await answer({ ...env, NUGATOR_NODE_OPTIONS: '-a -b' }), `named -a -b ${script} \n`)
    }
    const typed = await answer({ ...mine, NUGATOR_NODE: named }, ['x', 'y z'])
    t.equal(typed, `named ${script} x y z --mine\n`, 'a person’s options are kept')
    const none = await start(plugin, { env: { ...VERSION, NUGATOR_NODE: '/nowhere' } }).ended
    refused(t, none, 'NUGATOR_NODE is not a program')
    const option = await start(plugin, { env: { ...VERSION, NUGATOR_NODE_OPTIONS: '--no-such-option' } })
      .ended
    t.match([option.code, said(option)], [9, /--no-such-option/], 'options for the Node that built it')

    fakeNode(join(beside, 'node'))
    t.equal(await answer({ ...VERSION, ...mine }), `nugator.d ${script} \n`, 'the one beside it')
    renameSync(join(beside, 'node'), join(beside, 'no-node'))
    supports(t, await start(plugin, { env: VERSION }).ended)
  })

  t.test('where the Node that built it is gone', async (t) => {
    const plugin = copy(t, built)
    forgetNode(plugin)
    const [old, good] = ['old', 'good'].map((name) => join(dirname(plugin), name, 'node'))
    fakeNode(String(old), 'v18.20.0')
    fakeNode(String(good))
    const PATH = `/nowhere:${dirname(String(old))}:${dirname(String(good))}`
    const found = await start(plugin, { env: { ...VERSION, PATH, NODE_OPTIONS: '--mine' } }).ended
    t.equal(said(found), `good ${join(dirname(plugin), 'nugator.d/nugator.cjs')} \n `)
  })
}

t.test('compiled', async (t) => {
  t.equal(readFileSync(PLUGIN, 'latin1').slice(0, 4), ELF)
  installed(t, PLUGIN)
})

t.test('as a script', async (t) => {
  const out = scratch(t)
  const env = { PATH: process.env.PATH, NUGATOR_CC: 'none' }
  const done = await start(process.execPath, { args: [BUILD, '--out', out], env }).ended
  t.match([done.code, said(done)], [0, /^ build: \S.* is a script.*: there is no C compiler\n$/])
  const script = join(out, 'bin/nugator')
  t.ok(readFileSync(script, 'latin1').startsWith(SCRIPT))
  installed(t, script)
})

t.test('a compiler that cannot', async (t) => {
  const out = scratch(t)
  const broken = join(out, 'broken-cc')
  writeFileSync(broken, '#!/bin/sh\necho "x.c:1: error: no libc here" >&2; exit 1\n', { mode: 0o755 })
  const env = { PATH: process.env.PATH, NUGATOR_CC: broken }
  const done = await start(process.execPath, { args: [BUILD, '--out', out], env }).ended
  t.match([done.code, said(done)], [0, /^ build: .* is a script.*no libc here\n$/])
  supports(t, await start(join(out, 'bin/nugator'), { env: VERSION }).ended)
})
