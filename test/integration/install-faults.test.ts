/** `nugator install` when it cannot: it says why, and what to do, and leaves things as they were. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { type CommandResult, PLUGIN, run } from './rig/host.ts'
import { bundlesOf, linesOf, Place, person, personEnv, succeeded } from './rig/installed.ts'

t.test('words that are not understood: exit status 2, and nothing is done', async (t) => {
  const place = new Place(t)
  const wrong = [['--bindir', place.binDir], ['--bin-dir'], ['--bin-dir='], ['here'], ['--systemd=yes']]
  for (const words of wrong) {
    for (const command of ['install', 'uninstall']) {
      const done = await person(PLUGIN, command, ...words)
      const what = [command, ...words].join(' ')
      t.match(done, { code: 2, stdout: '', stderr: `nugator: not understood: ${what}\n` }, what)
    }
  }
  t.same(place.tree(), {})
})

t.test('only root may; to look is for everybody', async (t) => {
  const nobody = (...words: string[]) => {
    // tap has put something into NODE_OPTIONS that writes where only root may.
    const as = ['--reuid=65534', '--regid=65534', '--clear-groups', 'env', '--unset=NODE_OPTIONS', PLUGIN]
    return person('setpriv', ...as, ...words, '--bin-dir', '/tmp/ngt-of-nobody')
  }
  const install = await nobody('install')
  t.match(install, {
    code: 1,
    stdout: '',
    stderr: /^nugator: a plugin that root runs .*; use sudo, or --dry-run/,
  })
  t.match(await nobody('uninstall'), {
    code: 1,
    stdout: '',
    stderr: /^nugator: only root can remove it; use sudo/,
  })
  const look = await nobody('install', '--dry-run')
  succeeded(t, look, 'a dry run')
  t.match(look.stdout, 'would install /tmp/ngt-of-nobody/nugator\n')
})

t.test('where nothing can be written it says so, and what to do', async (t) => {
  const place = new Place(t)
  mkdirSync(place.binDir, { recursive: true })
  /** With a file system of its own in place of the bin directory, as long as the script takes. */
  const on = (options: string, script: string): Promise<CommandResult> => {
    const mounted = `mount -t tmpfs -o ${options} tmpfs ${place.binDir}; nugator() { ${PLUGIN} "$@" --bin-dir ${place.binDir}; }; ${script}`
    return run('unshare', ['--mount', 'sh', '-ec', mounted])
  }
  const readOnly = await on('ro', 'nugator install')
  t.match(readOnly, {
    code: 1,
    stdout: '',
    stderr: /^nugator: \S+: EROFS: [^;]+; the file system is read-only: name another/,
  })
  const full = await on('size=256k', `nugator install || status=$?; find ${place.binDir}; exit $status`)
  t.match(full, {
    code: 1,
    stderr: /^nugator: .*ENOSPC: [^;]+; the disk is full: make room and do it again\n$/,
  })
  t.equal(full.stdout, `${place.binDir}\n`, 'nothing of it is left')

  writeFileSync(join(place.binDir, 'file'), '')
  const inTheWay = await place.install('--bin-dir', join(place.binDir, 'file/bin'))
  t.match(inTheWay, {
    code: 1,
    stdout: '',
    stderr: /; a file is where a directory is to be: remove it or name another/,
  })
  mkdirSync(place.plugin)
  const before = place.tree()
  const directory = await place.install()
  t.match(directory, {
    code: 1,
    stdout: '',
    stderr: `nugator: ${place.plugin} is a directory; a file is to be there: remove it\n`,
  })
  t.same(place.tree(), before, 'nothing was replaced')
})

t.test('a disk that fills up during an upgrade leaves the older version as it was', async (t) => {
  const place = new Place(t)
  const older = place.copyOfBuild('older')
  for (const bundle of bundlesOf(older)) {
    const text = readFileSync(bundle, 'latin1')
    writeFileSync(bundle, text.replaceAll('wires containers together', 'wired containers together'), 'latin1')
    rmSync(bundle.replace(/\.js$/, '.cache')) // it knows the text as it was
  }
  mkdirSync(place.binDir, { recursive: true })
  const script = `
    mount -t tmpfs -o size=16m tmpfs ${place.binDir}
    ${older} install --bin-dir ${place.binDir} >/dev/null
    cat /dev/zero >${place.binDir}/filler 2>/dev/null || truncate --size=-64k ${place.binDir}/filler
    ! ${PLUGIN} install --bin-dir ${place.binDir}
    ${place.plugin} help | head -n 1
    find ${place.binDir} -name '*nugator-new*'
    rm ${place.binDir}/filler
    ${PLUGIN} install --bin-dir ${place.binDir} >/dev/null
    ${place.plugin} help | head -n 1
    ${place.plugin} uninstall --bin-dir ${place.binDir} >/dev/null
    find ${place.binDir}`
  const done = await run('unshare', ['--mount', 'sh', '-ec', script])
  t.equal(done.code, 0, done.stderr)
  t.match(done.stderr, /^nugator: \S+: ENOSPC: [^;]+; the disk is full: make room and do it again\n$/)
  const [before, after, ...left] = linesOf(done)
  t.match(before, / wired containers together$/, 'the older version is there, and whole')
  t.match(after, / wires containers together$/, 'where there is room it is replaced')
  t.same(left, [place.binDir], 'and nothing is left at last')
})

t.test('no Node that is new enough: refused before anything is put there', async (t) => {
  const place = new Place(t)
  const old = place.copyOfBuild()
  const cold = join(dirname(old), 'nugator.d/cold')
  writeFileSync(join(place.dir, 'node'), '#!/bin/sh\necho "$0@20.19.5"\n', { mode: 0o755 })
  // What a launcher that was built by an old Node would do when it is asked for its Node; by NUGATOR_NODE it still runs.
  writeFileSync(cold, readFileSync(cold, 'utf8').replaceAll(process.execPath, join(place.dir, 'node')))
  const env = { ...personEnv(), NUGATOR_NODE: process.execPath }
  const words = ['install', '--bin-dir', place.binDir]
  const done = await run(old, words, { env })
  t.match(done, {
    code: 1,
    stdout: '',
    stderr:
      /would run on \S+\/node, which is version 20\.19\.5; install version 22 or newer, or add --with-node/,
  })
  t.same(place.tree(), {})
  const withNode = [...words, '--with-node']
  succeeded(t, await run(old, withNode, { env }), '--with-node helps')
  t.equal((await run(place.plugin, [], { env: { CNI_COMMAND: 'VERSION' } })).code, 0)
})

t.test('run from source there is nothing to install, and it says what to do', async (t) => {
  const place = new Place(t)
  const source = resolve(import.meta.dirname, '../../src/cli/shell.ts')
  const done = await person(process.execPath, source, 'install', '--bin-dir', place.binDir)
  t.match(done, {
    code: 1,
    stdout: '',
    stderr: /^nugator: run from source .*; npm run build; dist\/bin\/nugator install\n$/,
  })
  t.same(place.tree(), {})
})
