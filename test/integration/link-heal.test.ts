/** Link mode when a container's namespace is gone before its DEL: the kernel took the wire, nugator mends it. */
import t, { type Test } from 'tap'
import { complaint, ends, linkProblems, linkStage } from './rig/link-stage.ts'
import { linkConf } from './rig/modes.ts'
import { residue } from './rig/snapshot.ts'
import type { Stage } from './rig/stage.ts'

/** Both ends wired; attachment `r3` is a new container for end r2. */
async function met(t: Test): Promise<Stage> {
  const stage = linkStage(t)
  stage.cast({ r3: { conf: linkConf(), containerID: 'ctr-three', on: 'r2', args: 'END=r2' } })
  for (const who of ['r1', 'r2']) t.same(complaint(`ADD of ${who}`, await stage.add(who)), [])
  return stage
}

async function gone(t: Test, stage: Stage): Promise<void> {
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
}

for (const withoutNetns of [false, true]) {
  t.test(`DEL of the dead end heals the survivor${withoutNetns ? ', without CNI_NETNS' : ''}`, async (t) => {
    const stage = await met(t)
    const before = (await ends(stage)).get('r1')
    stage.die('r2')
    t.same(complaint('DEL', await stage.del('r2', { withoutNetns })), [])
    t.same(await linkProblems(stage, ['r1']), [], 'addresses and routes are back, an end is parked')
    t.equal((await ends(stage)).get('r1')?.address, before?.address, 'the MAC is the same')
    t.same(complaint('CHECK', await stage.check('r1')), [])
    t.same(complaint('DEL again', await stage.del('r2', { withoutNetns })), [])
    t.same(await linkProblems(stage, ['r1']), [], 'DEL again changes nothing')
    stage.revive('r2')
    t.same(complaint('ADD', await stage.add('r2')), [])
    t.same(await linkProblems(stage, ['r1', 'r2']), [], 'a new container takes the end')
    for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
    await gone(t, stage)
  })
}

for (const [who, whose] of [
  ['r2', 'the same container ID'],
  ['r3', 'a new container ID'],
] as const) {
  t.test(`without a DEL, the next ADD heals, with ${whose}`, async (t) => {
    const stage = await met(t)
    const before = await ends(stage)
    stage.die('r2')
    stage.revive('r2')
    t.same(complaint('ADD', await stage.add(who)), [])
    t.same(await linkProblems(stage, ['r1', 'r2']), [], 'both ends are wired and talk')
    const now = await ends(stage)
    for (const end of ['r1', 'r2'] as const) {
      t.equal(now.get(end)?.address, before.get(end)?.address, `MAC of ${end} is the same`)
    }
    if (who === 'r3') {
      t.same(complaint('the late DEL', await stage.del('r2', { withoutNetns: true })), [])
      t.same(await linkProblems(stage, ['r1', 'r2']), [], 'a late DEL of the dead container changes nothing')
    }
    for (const each of [who, 'r1']) t.same(complaint('DEL', await stage.del(each)), [])
    await gone(t, stage)
  })
}

t.test('a container that waits alone dies: its end is free again', async (t) => {
  const stage = linkStage(t)
  t.same(complaint('ADD', await stage.add('r1')), [])
  stage.die('r1')
  t.same(complaint('ADD', await stage.add('r2')), [])
  t.same(await linkProblems(stage, ['r2']), [], 'the other end is wired and waits')
  stage.revive('r1')
  t.same(complaint('ADD', await stage.add('r1')), [])
  t.same(await linkProblems(stage, ['r1', 'r2']), [])
  for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
  await gone(t, stage)
})

t.test('both die', async (t) => {
  const stage = await met(t)
  for (const label of ['r1', 'r2']) stage.die(label)
  for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
  await gone(t, stage)
  for (const label of ['r1', 'r2']) stage.revive(label)
  for (const who of ['r1', 'r2']) t.same(complaint('ADD', await stage.add(who)), [])
  for (const label of ['r1', 'r2']) stage.die(label)
  for (const label of ['r1', 'r2']) stage.revive(label)
  for (const who of ['r2', 'r1']) t.same(complaint('ADD without a DEL', await stage.add(who)), [])
  t.same(await linkProblems(stage, ['r1', 'r2']), [])
  for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
  await gone(t, stage)
})

t.test('the survivor’s DEL comes before that of the dead one', async (t) => {
  const stage = await met(t)
  stage.die('r2')
  t.same(complaint('DEL', await stage.del('r1')), [])
  t.same(await linkProblems(stage, []), [], 'nobody is left alive')
  t.same(complaint('DEL', await stage.del('r2')), [])
  await gone(t, stage)
})

t.test('GC parks a stale end while the other is valid, and purges the rest', async (t) => {
  const stage = await met(t)
  const conf = linkConf()
  const before = (await ends(stage)).get('r1')
  t.same(complaint('GC', await stage.gc(conf, ['r1', 'r2'])), [])
  t.same(await linkProblems(stage, ['r1', 'r2']), [], 'valid ends stay')
  t.same(complaint('GC', await stage.gc(conf, ['r1'])), [])
  t.same(await linkProblems(stage, ['r1']), [], 'the stale end is parked')
  t.equal((await ends(stage)).get('r1')?.ifindex, before?.ifindex, 'the survivor is untouched')
  t.same(complaint('ADD', await stage.add('r2')), [])
  stage.die('r2')
  t.same(complaint('GC', await stage.gc(conf, ['r1'])), [])
  t.same(await linkProblems(stage, ['r1']), [], 'a stale end that is dead is healed around')
  t.equal((await ends(stage)).get('r1')?.address, before?.address, 'with the same MAC')
  t.same(complaint('GC', await stage.gc(linkConf({ name: 'othernet' }), [])), [])
  t.same(await linkProblems(stage, ['r1']), [], 'GC of another network is none of our business')
  t.same(complaint('GC', await stage.gc(conf, [])), [])
  await gone(t, stage)
})

t.test(
  'somebody deletes the wire: CHECK says so, and the next step on the link makes it again',
  async (t) => {
    const stage = linkStage(t)
    t.same(complaint('ADD', await stage.add('r1')), [])
    const before = (await ends(stage)).get('r1')
    const [parked] = await stage.parked()
    await stage.host.exec('ip', ['link', 'del', parked?.ifname ?? ''])
    t.match(await stage.check('r1'), { code: 1, json: { code: 999 } }, 'the parked end was deleted')
    t.same(complaint('ADD', await stage.add('r2')), [])
    t.same(await linkProblems(stage, ['r1', 'r2']), [])
    t.equal((await ends(stage)).get('r1')?.address, before?.address, 'the MAC is the same')
    await stage.host.exec('ip', ['link', 'del', 'eth0'], stage.netns('r1').name)
    t.match(await stage.check('r2'), { code: 1, json: { code: 999 } }, 'one container deleted its interface')
    t.same(complaint('DEL', await stage.del('r1')), [])
    t.same(await linkProblems(stage, ['r2']), [], 'the other has its end again')
    t.same(complaint('CHECK', await stage.check('r2')), [])
    t.same(complaint('DEL', await stage.del('r2')), [])
    await gone(t, stage)
  },
)

t.test('a container washes the marks off its end', async (t) => {
  const stage = await met(t)
  const wash = ['link', 'set', 'eth0', 'group', '0', 'alias', '']
  await stage.host.exec('ip', wash, stage.netns('r2').name)
  t.same(complaint('DEL', await stage.del('r2')), [])
  t.same(await linkProblems(stage, ['r1']), [], 'its interface is gone all the same')
  await stage.host.exec('ip', wash, stage.netns('r1').name)
  t.same(complaint('DEL', await stage.del('r1')), [])
  await gone(t, stage)
})
