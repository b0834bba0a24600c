/** `nugator install` and `uninstall`, for real, into directories of the test: what they do and say. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { newHost, run } from './rig/host.ts'
import { contentOf, linesOf, Place, succeeded } from './rig/installed.ts'

t.test('what is installed is the plugin, with its units and an example that works', async (t) => {
  const place = new Place(t)
  const { binDir, unitDir, confDir } = place
  const done = await place.install('--unit-dir', unitDir, '--conf-dir', confDir)
  succeeded(t, done, 'install')
  const lines = linesOf(done)
  const client = lines.indexOf(`installed ${place.plugin}`)
  const parts = lines.filter((line) => line.startsWith(`installed ${binDir}/nugator.d/`))
  t.ok(parts.length >= 10, 'the parts are named')
  for (const part of parts) t.ok(lines.indexOf(part) < client, `before the client: ${part}`)
  t.equal(lines[client + 1], `installed ${confDir}/10-nugator.conflist`, 'the netconf after the client')
  t.match(done.stdout, /^note: it runs on \/\S+, version \d+/m, 'it says which Node')
  for (const [path, said] of Object.entries(place.tree())) {
    const executable = ['opt/cni/bin/nugator', 'opt/cni/bin/nugator.d/cold'].includes(path)
    const mode = said.includes(' directory') || executable ? '755' : '644'
    t.match(said, new RegExp(`^${mode} 0:0 `), `${path} is ${mode} and root’s`)
  }
  const service = readFileSync(join(unitDir, 'nugator.service'), 'utf8')
  t.match(service, new RegExp(`^ExecStart=${binDir}/nugator.d/cold agent$`, 'm'), 'the unit starts it there')
  const verify = await run('systemd-analyze', ['verify', '--man=no', join(unitDir, 'nugator.socket')])
  t.same([verify.code, verify.stderr], [0, ''], 'systemd takes the units')

  const host = newHost(t)
  const { name, path } = host.netns('ctr')
  const { plugins, ...network } = JSON.parse(readFileSync(join(confDir, '10-nugator.conflist'), 'utf8'))
  const [{ ipam, ...plugin }] = plugins
  const conf = { ...network, ...plugin, ipam: { ...ipam, dataDir: host.ipamDir } }
  const call = { netns: path, conf, plugin: place.plugin }
  const added = await host.cni('ADD', call)
  t.equal(added.code, 0, added.stdout)
  t.ok(await host.ping(name, added.json.ips[0].gateway), 'the container reaches its gateway')
  const checked = await host.cni('CHECK', { ...call, conf: { ...conf, prevResult: added.json } })
  t.equal(checked.code, 0, `CHECK ${checked.stdout}`)
  t.equal((await host.cni('DEL', call)).code, 0, 'DEL')
  t.same(await host.links(), [], 'and all is gone')
})

t.test('--dry-run says what would be done, and changes nothing', async (t) => {
  const place = new Place(t)
  const options = ['--unit-dir', place.unitDir, '--conf-dir', place.confDir]
  const would = await place.install('--dry-run', ...options)
  succeeded(t, would, 'install --dry-run')
  t.same(place.tree(), {}, 'nothing was made')
  const did = await place.install(...options)
  const past = would.stdout.replaceAll('would make', 'made').replaceAll('would install', 'installed')
  t.equal(did.stdout, past, 'install does what the dry run said')

  const before = place.tree()
  const gone = await place.uninstall('--dry-run')
  succeeded(t, gone, 'uninstall --dry-run')
  t.same(place.tree(), before, 'nothing was removed')
  const removed = await place.uninstall()
  t.equal(removed.stdout, gone.stdout.replaceAll('would remove', 'removed'), 'uninstall does what it said')
  t.same(place.tree(), {}, 'nothing is left')
})

t.test('a second install changes nothing and says so', async (t) => {
  const place = new Place(t)
  succeeded(t, await place.install('--unit-dir', place.unitDir, '--conf-dir', place.confDir), 'first')
  const before = place.tree()
  const again = [[], ['--systemd'], ['--unit-dir', place.unitDir], ['--conf-dir', place.confDir]]
  for (const options of again) {
    const done = await place.install(...options)
    succeeded(t, done, `again ${options.join(' ')}`)
    const other = linesOf(done).filter((line) => !/^(already there: \/|note: )/.test(line))
    t.same(other, [], 'every line says that it is there')
    t.ok(linesOf(done).includes(`already there: ${place.unitDir}/nugator.service`), 'the units, too')
    t.same(place.tree(), before, 'nothing has changed, not even a time')
  }
  succeeded(t, await place.installFrom(place.plugin), 'the installed one installs itself')
  t.same(place.tree(), before)
})

t.test('uninstall removes all of it, and then has nothing to do', async (t) => {
  const place = new Place(t)
  succeeded(t, await place.install('--unit-dir', place.unitDir, '--conf-dir', place.confDir), 'install')
  const done = await place.uninstallBy(place.plugin, '--systemd')
  succeeded(t, done, 'the installed one uninstalls itself')
  t.same(place.tree(), {}, 'no file and no directory is left')
  const again = await place.uninstall()
  succeeded(t, again, 'again')
  t.match(again.stdout, /^note: nothing to do: .* is not there/)
})

t.test('a damaged part is put right', async (t) => {
  const place = new Place(t)
  succeeded(t, await place.install(), 'install')
  const before = contentOf(place.tree())
  writeFileSync(join(place.binDir, 'nugator.d/call.js'), 'throw new Error()\n')
  chmodSync(join(place.binDir, 'nugator.d/cold'), 0o600)
  const done = await place.install()
  t.same(
    linesOf(done).filter((line) => line.startsWith('replaced')),
    [`replaced ${place.binDir}/nugator.d/call.js`, `replaced ${place.binDir}/nugator.d/cold`],
  )
  t.same(contentOf(place.tree()), before)
})

t.test('--with-node brings the Node along, and keeps it', async (t) => {
  const place = new Place(t)
  const node = join(place.binDir, 'nugator.d/node')
  const done = await place.install('--with-node')
  succeeded(t, done, 'install')
  t.ok(linesOf(done).includes(`installed ${node}`))
  t.match(done.stdout, `note: it runs on ${node}, version ${process.versions.node}`)
  const before = place.tree()
  for (const options of [['--with-node'], []]) {
    const again = await place.install(...options)
    succeeded(t, again, `again ${options.join(' ')}`)
    t.match(again.stdout, `it runs on ${node},`)
    t.same(place.tree(), before, 'it stays')
  }
  succeeded(t, await place.uninstall(), 'uninstall')
  t.same(place.tree(), {}, 'nothing is left')
})

t.test('where no C compiler was, the client is a script: it works, and install says so', async (t) => {
  const place = new Place(t)
  const compiled = await place.install('--dry-run')
  t.notMatch(compiled.stdout, 'no C compiler', 'here there was one')
  const script = place.copyOfBuild()
  writeFileSync(script, readFileSync(join(script, '../nugator.d/cold')))
  const done = await place.installFrom(script)
  succeeded(t, done, 'install')
  t.match(done.stdout, /^note: nugator is a script: no C compiler was there when it was built\./m)
  const answer = await run(place.plugin, [], { env: { CNI_COMMAND: 'VERSION' } })
  t.equal(JSON.parse(answer.stdout).supportedVersions.length, 7)
})

t.test('a bin directory of any name, but not for systemd', async (t) => {
  const place = new Place(t)
  const binDir = join(place.root, 'a b$c')
  succeeded(t, await place.install('--bin-dir', binDir), 'install')
  const answer = await run(join(binDir, 'nugator'), [], { env: { CNI_COMMAND: 'VERSION' } })
  t.equal(answer.code, 0, answer.stderr)
  const refused = await place.install('--bin-dir', binDir, '--unit-dir', place.unitDir)
  t.match(refused, {
    code: 1,
    stdout: '',
    stderr: /^nugator: systemd has another use for characters in .*a b\$c; /,
  })
})
