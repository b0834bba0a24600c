/** What belongs to others is theirs: `nugator install` and `uninstall` leave it, and name it. And other versions. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { run } from './rig/host.ts'
import { contentOf, linesOf, Place, succeeded } from './rig/installed.ts'

/** What lines of a kind are about. */
function those(verb: string, done: { stdout: string }): string[] {
  return done.stdout
    .split('\n')
    .filter((line) => line.startsWith(`${verb} `))
    .map((line) => line.slice(verb.length + 1))
}

t.test('uninstall leaves nothing but what is somebody else’s', async (t) => {
  const place = new Place(t)
  mkdirSync(place.confDir, { recursive: true })
  const foreign = {
    [join(place.confDir, '00-mine.conflist')]: '{}',
    [join(place.binDir, 'bridge')]: 'another plugin',
    [join(place.binDir, 'nugator.d/mine')]: 'what is this doing here',
    [join(place.unitDir, 'mine.service')]: '[Service]\n',
  }
  succeeded(t, await place.install('--unit-dir', place.unitDir, '--conf-dir', place.confDir), 'install')
  for (const [path, text] of Object.entries(foreign)) writeFileSync(path, text)
  // A client that somebody replaced, and a unit that somebody edited.
  writeFileSync(place.plugin, 'mine\n')
  const service = join(place.unitDir, 'nugator.service')
  appendFileSync(service, 'Nice=5\n')
  const done = await place.uninstall()
  succeeded(t, done, 'uninstall')
  t.same(
    those('left:', done).sort(),
    [`${service} (it was changed since)`, `${place.plugin} (it was changed since)`].sort(),
    'what was changed is named',
  )
  const files = Object.entries(place.tree()).filter(([, said]) => !said.includes(' directory'))
  t.same(
    files.map(([path]) => join(place.root, path)).sort(),
    [...Object.keys(foreign), place.plugin, service].sort(),
    'and nothing else is left',
  )
  t.match((await place.uninstall()).stdout, 'nothing to do')
  t.equal(readFileSync(place.plugin, 'utf8'), 'mine\n')
})

t.test('a netconf of that name is left, whoever wrote it', async (t) => {
  const place = new Place(t)
  const file = join(place.confDir, '10-nugator.conflist')
  mkdirSync(place.confDir, { recursive: true })
  writeFileSync(file, '{"name": "mine"}')
  const options = ['--conf-dir', place.confDir]
  const left = `left: ${file} (an example does not replace what is there)`
  t.ok(linesOf(await place.install(...options)).includes(left), 'it is named')
  t.equal(readFileSync(file, 'utf8'), '{"name": "mine"}')
  rmSync(file)
  t.ok(
    linesOf(await place.install(...options)).includes(`installed ${file}`),
    'without it the example is written',
  )
  appendFileSync(file, '\n')
  t.ok(linesOf(await place.install(...options)).includes(left), 'and left, once it was changed')
  await place.uninstall()
  t.match(readFileSync(file, 'utf8'), /"nugator"/, 'by uninstall, too')
})

t.test('without --conf-dir no netconf is written', async (t) => {
  const place = new Place(t)
  mkdirSync(place.confDir, { recursive: true })
  await place.install('--unit-dir', place.unitDir)
  t.notMatch(JSON.stringify(place.tree()), /net\.d\//)
})

t.test('several networks: it says which one Kubernetes takes', async (t) => {
  const place = new Place(t)
  mkdirSync(place.confDir, { recursive: true })
  writeFileSync(join(place.confDir, '05-other.conf'), '{}')
  const done = await place.install('--conf-dir', place.confDir)
  t.match(
    done.stdout,
    `note: ${place.confDir} has several networks; Kubernetes runtimes take the first, 05-other.conf`,
  )
})

t.test('a unit that was changed or masked is left, the rest is installed', async (t) => {
  const place = new Place(t)
  const [service, socket] = [join(place.unitDir, 'nugator.service'), join(place.unitDir, 'nugator.socket')]
  mkdirSync(place.unitDir, { recursive: true })
  symlinkSync('/dev/null', service)
  writeFileSync(socket, '[Socket]\nListenStream=/run/mine\n')
  const done = await place.install('--unit-dir', place.unitDir)
  succeeded(t, done, 'install')
  t.same(
    those('left:', done),
    [service, socket].map((path) => `${path} (not as nugator put it there)`),
  )
  t.match(readFileSync(socket, 'utf8'), '/run/mine')
  t.ok(place.tree()['etc/systemd/system/nugator.service']?.includes(' /dev/null '), 'it is still masked')
  await place.uninstall()
  t.same(
    Object.keys(place.tree()).filter((path) => path.includes('nugator')),
    ['etc/systemd/system/nugator.service', 'etc/systemd/system/nugator.socket'],
  )
})

t.test('a nugator.d that is a link is somebody’s build: refused', async (t) => {
  const place = new Place(t)
  const build = place.copyOfBuild()
  mkdirSync(place.binDir, { recursive: true })
  symlinkSync(join(dirname(build), 'nugator.d'), join(place.binDir, 'nugator.d'))
  const before = place.tree()
  t.match(await place.install(), {
    code: 1,
    stdout: '',
    stderr: /nugator\.d is a link to .*; remove the link first/,
  })
  t.same(place.tree(), before)
})

t.test('a newer version replaces an older one, and takes away what it no longer has', async (t) => {
  const place = new Place(t)
  const older = place.copyOfBuild('older')
  const parts = join(dirname(older), 'nugator.d')
  mkdirSync(join(parts, 'old'))
  for (const name of ['old/thing', 'one', 'two']) writeFileSync(join(parts, name), name)
  appendFileSync(join(parts, 'LICENSES.txt'), 'older\n')
  writeFileSync(join(parts, 'host/nugator-old.service'), '[Service]\nExecStart=/opt/cni/bin/nugator\n')
  appendFileSync(join(parts, 'host/nugator.service'), '# older\n')
  succeeded(
    t,
    await place.installFrom(older, '--unit-dir', place.unitDir, '--conf-dir', place.confDir),
    'older',
  )
  writeFileSync(join(place.binDir, 'nugator.d/two'), 'mine')
  const example = readFileSync(join(place.confDir, '10-nugator.conflist'))

  const done = await place.install()
  succeeded(t, done, 'newer')
  const own = join(place.binDir, 'nugator.d')
  t.same(
    those('replaced', done).sort(),
    [
      join(own, 'LICENSES.txt'),
      join(own, 'host/nugator.service'),
      join(place.unitDir, 'nugator.service'),
    ].sort(),
  )
  t.same(
    those('removed', done).sort(),
    [
      join(own, 'host/nugator-old.service'),
      join(own, 'old/thing'),
      join(own, 'one'),
      join(place.unitDir, 'nugator-old.service'),
    ]
      .map((path) => `${path} (no longer part of nugator)`)
      .sort(),
  )
  t.same(those('left:', done), [`${join(own, 'two')} (no longer part of nugator, but changed by somebody)`])
  t.same(readFileSync(join(place.confDir, '10-nugator.conflist')), example, 'the netconf is the user’s')

  rmSync(join(own, 'two'))
  const upgraded = contentOf(place.tree())
  await place.uninstall()
  t.same(place.tree(), {}, 'and uninstall knows all of it')
  succeeded(t, await place.install('--unit-dir', place.unitDir, '--conf-dir', place.confDir), 'new')
  const fresh = contentOf(place.tree())
  const without = (tree: typeof fresh) =>
    Object.entries(tree).filter(([path]) => !path.endsWith('installed.json'))
  t.same(without(upgraded), without(fresh), 'an upgrade comes to the same as a new install')
})

t.test('what was copied there by hand becomes installed', async (t) => {
  const place = new Place(t)
  mkdirSync(place.binDir, { recursive: true })
  await run('cp', ['-a', `${dirname(place.copyOfBuild())}/.`, place.binDir])
  writeFileSync(place.plugin, 'an older one\n', { mode: 0o700 })
  const done = await place.install()
  succeeded(t, done, 'install')
  t.same(those('replaced', done), [place.plugin])
  await place.uninstall()
  t.same(Object.keys(place.tree()), ['opt', 'opt/cni', 'opt/cni/bin'], 'directories that were there stay')
})
