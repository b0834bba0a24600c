/** Link mode: two containers meet by the name of their link, one ADD each. */
import t, { type Test } from 'tap'
import { complaint, type End, ends, linkProblems, linkStage } from './rig/link-stage.ts'
import { ENDS, LINK_NAME, linkConf } from './rig/modes.ts'
import { placeTwin, placeVeth, replaceNetns } from './rig/replacement.ts'
import { linkNamed, look, residue, snapshot } from './rig/snapshot.ts'
import type { Stage } from './rig/stage.ts'

async function add(t: Test, stage: Stage, ...who: string[]): Promise<void> {
  for (const each of who) t.same(complaint(`ADD of ${each}`, await stage.add(each)), [])
}

async function del(t: Test, stage: Stage, ...who: string[]): Promise<void> {
  for (const each of who) t.same(complaint(`DEL of ${each}`, await stage.del(each)), [])
}

async function gone(t: Test, stage: Stage): Promise<void> {
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
}

for (const order of [
  ['r1', 'r2'],
  ['r2', 'r1'],
] as const) {
  const [first, second] = order
  t.test(
    `${first} comes first: it waits, meets ${second}, survives its DEL, and is the last to go`,
    async (t) => {
      const stage = linkStage(t)
      await add(t, stage, first)
      t.same(await linkProblems(stage, [first]), [], 'the first end is wired, the other is parked')
      t.same(complaint('CHECK', await stage.check(first)), [], 'a missing carrier is no drift now')
      await add(t, stage, second)
      t.same(await linkProblems(stage, order), [], 'both are wired and talk')
      for (const each of order) t.same(complaint('CHECK', await stage.check(each)), [], each)
      const met = (await ends(stage)).get(first)
      await del(t, stage, second)
      t.same(await linkProblems(stage, [first]), [], 'the survivor keeps addresses and routes')
      const left = (await ends(stage)).get(first)
      t.equal(left?.ifindex, met?.ifindex, 'and its ifindex')
      t.equal(left?.address, met?.address, 'and its MAC')
      t.match(await stage.del(second), { code: 0, stdout: '' }, 'DEL again')
      t.same(await linkProblems(stage, [first]), [], 'changes nothing')
      await add(t, stage, second)
      t.same(await linkProblems(stage, order), [], 'they meet again')
      await del(t, stage, second, first)
      await gone(t, stage)
    },
  )
}

t.test('the result lists the own end and no gateway', async (t) => {
  const stage = linkStage(t)
  for (const end of ['r1', 'r2'] as const) {
    const { json } = await stage.add(end)
    const mac = (await ends(stage)).get(end)?.address
    t.same(json.interfaces, [{ name: 'eth0', mac, sandbox: stage.pathOf(end), mtu: 1500 }])
    t.same(
      json.ips,
      ENDS[end].addresses.map(({ address }) => ({ address, interface: 0 })),
      'addresses without gateway',
    )
    t.match(json.routes, ENDS[end].routes)
  }
  await del(t, stage, 'r1', 'r2')
})

t.test('an end comes back with its MAC, under the same container ID or a new one', async (t) => {
  const stage = linkStage(t)
  const conf = linkConf()
  stage.cast({ r3: { conf, containerID: 'ctr-three', on: 'r2', args: 'END=r2' } })
  await add(t, stage, 'r1', 'r2')
  const before = await ends(stage)
  for (const who of ['r2', 'r3']) {
    await del(t, stage, 'r2', 'r3')
    await add(t, stage, who)
    t.same(await linkProblems(stage, ['r1', 'r2']), [], who)
    const now = await ends(stage)
    t.equal(now.get('r2')?.address, before.get('r2')?.address, 'the end has its MAC again')
    t.equal(now.get('r1')?.ifindex, before.get('r1')?.ifindex, 'the survivor is the same interface')
  }
  t.same(complaint('DEL without CNI_NETNS', await stage.del('r3', { withoutNetns: true })), [])
  t.same(await linkProblems(stage, ['r1']), [], 'parked also without CNI_NETNS')
  await del(t, stage, 'r1')
  await gone(t, stage)
})

t.test('MACs of the ends are as told', async (t) => {
  const macs = { r1: '02:00:00:00:01:01', r2: '02:00:00:00:01:02' }
  const told = { r1: { ...ENDS.r1, mac: macs.r1 }, r2: { ...ENDS.r2, mac: macs.r2 } }
  const stage = linkStage(t, { link: { name: LINK_NAME, ends: told } })
  await add(t, stage, 'r1')
  t.equal((await stage.parked())[0]?.address, macs.r2, 'the parked end has its MAC already')
  await add(t, stage, 'r2')
  for (const end of ['r1', 'r2'] as const) t.equal((await ends(stage)).get(end)?.address, macs[end])
  await del(t, stage, 'r1')
  t.equal((await stage.parked())[0]?.address, macs.r1)
  await del(t, stage, 'r2')
})

t.test('a second ADD of a live attachment touches nothing', async (t) => {
  const stage = linkStage(t)
  for (const attached of [['r1'], ['r1', 'r2']] as End[][]) {
    await add(t, stage, attached.at(-1) ?? '')
    const before = await snapshot(stage.host, stage.namespaces)
    for (const who of attached) {
      const { code, json } = await stage.add(who)
      t.equal(code, 1)
      t.ok([100, 102].includes(json.code), `code ${json.code}: ${json.msg}`)
    }
    t.same(await snapshot(stage.host, stage.namespaces), before, 'as before')
  }
  await del(t, stage, 'r1', 'r2')
})

t.test('the name is taken where the parked end should go', async (t) => {
  const stage = linkStage(t)
  const { name } = stage.netns('r2')
  await add(t, stage, 'r1')
  await placeVeth(name, 'eth0')
  const before = await snapshot(stage.host, stage.namespaces)
  t.match(await stage.add('r2'), { code: 1, json: { code: 100 } })
  t.same(await snapshot(stage.host, stage.namespaces), before, 'the parked end waits on')
  await stage.host.exec('ip', ['link', 'property', 'add', 'dev', 'foreign', 'altname', 'eth7'], name)
  await stage.host.exec('ip', ['link', 'set', 'eth0', 'name', 'other'], name)
  await stage.host.exec('ip', ['link', 'property', 'add', 'dev', 'other', 'altname', 'eth0'], name)
  t.match(await stage.add('r2'), { code: 1, json: { code: 100 } }, 'an altname takes it just as well')
  await stage.host.exec('ip', ['link', 'del', 'foreign'], name)
  await add(t, stage, 'r2')
  t.same(await linkProblems(stage, ['r1', 'r2']), [])
  await del(t, stage, 'r1', 'r2')
  await gone(t, stage)
})

t.test(
  'links of the same name in two networks, and two links of one network, are different links',
  async (t) => {
    const stage = linkStage(t)
    const net = (second: number) => ({
      r1: { addresses: [{ address: `10.${second}.0.1/30` }] },
      r2: { addresses: [{ address: `10.${second}.0.2/30` }] },
    })
    const elsewhere = linkConf({ name: 'othernet', link: { name: LINK_NAME, ends: net(2) } })
    const beside = linkConf({ link: { name: 'second', ends: net(3) } })
    stage.cast({
      other1: { conf: elsewhere, containerID: 'ctr-one', on: 'r1', ifName: 'eth1', args: 'END=r1' },
      beside1: { conf: beside, containerID: 'ctr-one', on: 'r1', ifName: 'eth2', args: 'END=r1' },
    })
    await add(t, stage, 'r1', 'other1', 'beside1')
    t.equal((await stage.parked()).length, 3, 'three ends wait')
    await add(t, stage, 'r2')
    t.equal((await stage.parked()).length, 2)
    await del(t, stage, 'r1', 'r2')
    t.equal((await stage.parked()).length, 2)
    await del(t, stage, 'other1', 'beside1')
    await gone(t, stage)
  },
)

t.test('DEL leaves a namespace alone that took the container’s name', async (t) => {
  const stage = linkStage(t)
  await add(t, stage, 'r1', 'r2')
  const { name } = stage.netns('r2')
  const ours = linkNamed(await look(name), 'eth0')
  const old = await replaceNetns(t, stage.host, name)
  await placeTwin(name, ours)
  const before = await look(name)
  await del(t, stage, 'r2')
  t.same(await look(name), before, 'the replacement is untouched')
  t.same(
    (await look(old)).links.map(({ ifname }) => ifname),
    ['lo'],
    'the old namespace lost its end',
  )
  await del(t, stage, 'r1')
  t.same(await residue(stage.host, [stage.netns('r1').name]), [])
})
