/** `nugator install` and `uninstall` killed in the middle, and while runtimes use what they replace. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { PLUGIN, run } from './rig/host.ts'
import { bundlesOf, contentOf, Place, personEnv, succeeded, type Tree } from './rig/installed.ts'

/** System calls by which something is changed outside: it dies just before one of them is done. */
type Calls = readonly { readonly call: string; readonly every: number }[]

/** Runs nugator to its N-th such call. @returns false if it made fewer, and ended well */
async function killedAt(call: string, n: number, ...command: string[]): Promise<boolean> {
  const inject = `inject=${call}:signal=SIGKILL:when=${n}`
  const done = await run('strace', ['-f', '-qq', '-o', '/dev/null', '-e', inject, ...command], {
    env: personEnv(),
  })
  if (done.code === 0) return false
  if (done.signal !== 'SIGKILL') throw new Error(`${command.join(' ')}: ${done.stderr}`)
  return true
}

/** Kills at every `every`-th call there is, and calls `look` after each death. */
async function killing(
  t: Test,
  calls: Calls,
  command: () => Promise<string[]>,
  look: (what: string) => Promise<void>,
): Promise<void> {
  for (const { call, every } of calls) {
    let n = 1
    while (await killedAt(call, n, ...(await command()))) {
      await look(`killed at ${call} ${n}`)
      n += every
    }
    t.ok(n > 1, `${call} was met ${n - 1} times or more`)
  }
}

function withoutManifest(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(contentOf(tree)).filter(([path]) => !path.endsWith('installed.json')),
  )
}

async function works(place: Place): Promise<boolean> {
  return (await run(place.plugin, [], { env: { CNI_COMMAND: 'VERSION' } })).code === 0
}

t.test('an install that is killed is repaired by the next, or removed by uninstall', async (t) => {
  const place = new Place(t)
  const options = ['--unit-dir', place.unitDir, '--conf-dir', place.confDir]
  mkdirSync(place.binDir, { recursive: true })
  const before = place.tree()
  succeeded(t, await place.install(...options), 'not killed')
  const whole = withoutManifest(place.tree())
  succeeded(t, await place.uninstall(), 'uninstall')
  const command = async () => {
    await place.uninstall()
    return [PLUGIN, 'install', '--bin-dir', place.binDir, ...options]
  }
  const calls = [
    { call: 'mkdir', every: 2 },
    { call: 'fsync', every: 5 },
    { call: 'rename', every: 3 },
  ]
  let deaths = 0
  await killing(t, calls, command, async (what) => {
    deaths += 1
    if (deaths % 2 === 0) {
      t.equal((await place.install(...options)).code, 0, `${what}: install again`)
      t.same(withoutManifest(place.tree()), whole, 'it is as if nothing had happened')
    }
    t.equal((await place.uninstall()).code, 0, `${what}: uninstall`)
    t.same(place.tree(), before, 'nothing is left')
  })
})

t.test('an upgrade that is killed leaves a plugin that works, and is completed by the next', async (t) => {
  const place = new Place(t)
  const older = place.copyOfBuild('older')
  const parts = join(dirname(older), 'nugator.d')
  writeFileSync(join(parts, 'gone'), 'of the older version')
  for (const name of ['call.js', 'host/nugator.service', 'LICENSES.txt'])
    appendFileSync(join(parts, name), '\n')
  succeeded(t, await place.install('--unit-dir', place.unitDir), 'the newer')
  const newer = withoutManifest(place.tree())
  const command = async () => {
    await place.installFrom(older, '--unit-dir', place.unitDir)
    return [PLUGIN, 'install', '--bin-dir', place.binDir]
  }
  const calls = [
    { call: 'fsync', every: 3 },
    { call: 'rename', every: 1 },
    { call: 'unlink', every: 4 },
  ]
  await killing(t, calls, command, async (what) => {
    t.ok(await works(place), `${what}: a runtime can call it`)
    t.equal((await place.install()).code, 0, 'install again')
    t.same(withoutManifest(place.tree()), newer, 'the upgrade is complete')
  })
  await place.uninstall()
  t.same(place.tree(), {}, 'nothing is left of either')
})

t.test('an uninstall that is killed is completed by the next', async (t) => {
  const place = new Place(t)
  const command = async () => {
    await place.install('--unit-dir', place.unitDir, '--conf-dir', place.confDir)
    return [PLUGIN, 'uninstall', '--bin-dir', place.binDir]
  }
  const calls = [{ call: 'unlink', every: 6 }]
  await killing(t, calls, command, async (what) => {
    t.equal((await place.uninstall()).code, 0, `${what}: uninstall again`)
    t.same(place.tree(), {}, 'nothing is left')
  })
})

t.test('a runtime that calls it while it is replaced has the old one or the new one', async (t) => {
  const place = new Place(t)
  const other = place.copyOfBuild()
  for (const file of [...bundlesOf(other), join(dirname(other), 'nugator.d/nugator.cjs')])
    appendFileSync(file, '\n')
  succeeded(t, await place.install(), 'install')
  let installing = true
  const calls = (async () => {
    let good = 0
    while (installing) {
      t.ok(await works(place), 'a call while it is replaced')
      good += 1
    }
    return good
  })()
  for (let round = 0; round < 6; round += 1) {
    t.match(
      (await place.installFrom(round % 2 === 0 ? other : PLUGIN)).stdout,
      /^replaced .*\/nugator\.cjs$/m,
    )
  }
  installing = false
  t.ok((await calls) > 6, 'it was called all the time')
})
