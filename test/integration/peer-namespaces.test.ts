/** Peer mode when namespaces vanish or are replaced: only what the ADD wired may be undone. */
import t, { type Test } from 'tap'
import { peerConf } from './rig/modes.ts'
import { placeTwin, replaceNetns } from './rig/replacement.ts'
import { linkNamed, look, residue, snapshot } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'
import { deviations } from './rig/wire.ts'

async function wired(t: Test): Promise<Stage> {
  const stage = new Stage(t).containers('web', 'db')
  const conf = peerConf(stage.pathOf('db'))
  stage.cast({ web: { conf, containerID: 'web', on: 'web' } })
  const done = await stage.add('web')
  t.equal(done.code, 0, `ADD succeeds ${done.stdout}`)
  return stage
}

t.test('DEL leaves a namespace alone that took the name of the peer’s', async (t) => {
  const stage = await wired(t)
  const { name } = stage.netns('db')
  const ours = linkNamed(await look(name), 'eth1')
  const old = await replaceNetns(t, stage.host, name)
  await placeTwin(name, ours)
  const before = await look(name)
  t.match(await stage.del('web'), { code: 0, stdout: '' })
  t.same(await look(name), before, 'the replacement is untouched')
  t.notOk(linkNamed(await look(stage.netns('web').name), 'eth0'), 'our own end is gone')
  t.notOk(linkNamed(await look(old), 'eth1'), 'and so is the peer end in the old namespace')
  t.same(await residue(stage.host, []), [])
})

t.test('DEL leaves a namespace alone that took the name of the own one', async (t) => {
  for (const manner of [{}, { withoutNetns: true }]) {
    const stage = await wired(t)
    const { name } = stage.netns('web')
    const ours = linkNamed(await look(name), 'eth0')
    const old = await replaceNetns(t, stage.host, name)
    await placeTwin(name, ours)
    const before = await look(name)
    t.match(await stage.del('web', manner), { code: 0, stdout: '' })
    t.same(await look(name), before, 'the replacement is untouched')
    t.notOk(linkNamed(await look(old), 'eth0'), 'the old namespace lost its end')
    t.same(await residue(stage.host, [stage.netns('db').name]), [], 'the peer’s end went with it')
  }
})

t.test('the replacement is untouched also when the old namespace is dead', async (t) => {
  for (const label of ['web', 'db']) {
    const stage = await wired(t)
    const { name } = stage.netns(label)
    const ours = linkNamed(await look(name), label === 'web' ? 'eth0' : 'eth1')
    stage.die(label)
    stage.revive(label)
    await placeTwin(name, ours)
    const before = await look(name)
    t.match(await stage.del('web'), { code: 0, stdout: '' }, `DEL after ${label} died`)
    t.same(await look(name), before, 'the replacement is untouched')
    t.same(await residue(stage.host, [stage.netns(label === 'web' ? 'db' : 'web').name]), [])
  }
})

t.test('either namespace is gone at DEL', async (t) => {
  for (const label of ['web', 'db']) {
    for (const manner of [{}, { withoutNetns: true }]) {
      const stage = await wired(t)
      stage.die(label)
      t.match(await stage.del('web', manner), { code: 0, stdout: '' }, `DEL after ${label} is gone`)
      t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
      stage.revive(label)
      t.equal((await stage.add('web')).code, 0, 'a new ADD works')
      t.same(
        await deviations(stage.netns('db').name, 'eth1', { addresses: ['10.9.0.2/24', 'fd00:9::2/64'] }),
        [],
      )
      t.equal((await stage.del('web')).code, 0)
    }
  }
})

t.test('ADD after the own namespace died without a DEL', async (t) => {
  const stage = await wired(t)
  stage.die('web')
  stage.revive('web')
  const done = await stage.add('web')
  t.equal(done.code, 0, `the dead attachment is undone first ${done.stdout}`)
  t.ok(await stage.host.ping(stage.netns('web').name, '10.9.0.2'))
  t.equal((await stage.del('web')).code, 0)
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('the peer’s namespace does not exist at ADD', async (t) => {
  const stage = new Stage(t).containers('web')
  const before = await snapshot(stage.host, stage.namespaces)
  for (const netns of ['/run/netns/ngt-absent', 'ngt-absent', 'netns:ngt-absent', 'pid:4194304']) {
    const conf = peerConf(netns)
    stage.cast({ web: { conf, containerID: 'web', on: 'web' } })
    const done = await stage.add('web')
    t.match(done, { code: 1, json: { code: 8 } }, `peer ${netns}`)
    t.match(`${done.json.msg} ${done.json.details}`, /ngt-absent|4194304/, 'the message names it')
  }
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
})
