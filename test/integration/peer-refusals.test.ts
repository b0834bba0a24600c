/** Peer mode refuses before it touches anything. */
import t, { type Test } from 'tap'
import { placeForeign } from './rig/foreign.ts'
import { type Conf, peerConf } from './rig/modes.ts'
import { placeVeth } from './rig/replacement.ts'
import { residue, snapshot } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'

function peerStage(t: Test): Stage {
  const stage = new Stage(t).containers('web', 'db')
  const conf = peerConf(stage.pathOf('db'))
  return stage.cast({
    web: { conf, containerID: 'web', on: 'web' },
    again: { conf, containerID: 'again', on: 'web' },
  })
}

t.test('a second ADD of a live attachment touches nothing', async (t) => {
  const stage = peerStage(t)
  t.equal((await stage.add('web')).code, 0)
  const before = await snapshot(stage.host, stage.namespaces)
  for (const who of ['web', 'again']) {
    const done = await stage.add(who)
    t.equal(done.code, 1)
    t.ok([100, 102].includes(done.json.code), `code ${done.json.code}: ${done.json.msg}`)
    t.same(await snapshot(stage.host, stage.namespaces), before, 'as before')
  }
  t.equal((await stage.del('again')).code, 0, 'the runtime cleans up after the refused one')
  t.same(await snapshot(stage.host, stage.namespaces), before, 'which is none of the first one’s business')
  t.ok(await stage.host.ping(stage.netns('web').name, '10.9.0.2'))
  t.equal((await stage.del('web')).code, 0)
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('an interface name that is taken on either side', async (t) => {
  for (const [label, ifname] of [
    ['web', 'eth0'],
    ['db', 'eth1'],
  ] as const) {
    const stage = peerStage(t)
    const { name } = stage.netns(label)
    await placeVeth(name, ifname)
    const before = await snapshot(stage.host, stage.namespaces)
    const done = await stage.add('web')
    t.match(done, { code: 1, json: { code: 100, msg: new RegExp(ifname) } }, `${ifname} in ${label}`)
    t.same(await snapshot(stage.host, stage.namespaces), before, 'as before')
    await stage.host.exec('ip', ['link', 'del', ifname], name)
    t.equal((await stage.add('web')).code, 0, 'and with the name free, ADD works')
    t.equal((await stage.del('web')).code, 0)
  }
})

t.test('an altname that is taken on either side', async (t) => {
  for (const [label, ifname] of [
    ['web', 'eth0'],
    ['db', 'eth1'],
  ] as const) {
    const stage = peerStage(t)
    await placeForeign(stage.netns(label).name, ifname)
    const before = await snapshot(stage.host, stage.namespaces)
    t.match(await stage.add('web'), { code: 1, json: { code: 100 } }, `altname ${ifname} in ${label}`)
    t.match(await stage.del('web'), { code: 0 }, 'the runtime’s DEL')
    t.same(await snapshot(stage.host, stage.namespaces), before, 'as before, the foreign device too')
  }
})

t.test('bad netconfs', async (t) => {
  const stage = peerStage(t)
  const web = stage.pathOf('web')
  const db = stage.pathOf('db')
  const same = [{ address: '10.9.0.1/24' }]
  const cases: Record<string, { conf: Conf; codes: number[] }> = {
    'peer without netns': { conf: peerConf(db, { peer: { ifName: 'eth1' } }), codes: [6, 7] },
    'peer with an empty netns': { conf: peerConf(''), codes: [7, 8] },
    'peer with a number for netns': { conf: peerConf(db, {}, { netns: 5 }), codes: [6, 7] },
    'peer that is no object': { conf: peerConf(db, { peer: 'db' }), codes: [6, 7] },
    'peer of an unknown kind': { conf: peerConf('nonsense:db'), codes: [7, 8] },
    'peer name of 16 bytes': { conf: peerConf(db, {}, { ifName: 'a234567890123456' }), codes: [7] },
    'peer name with a slash': { conf: peerConf(db, {}, { ifName: 'a/b' }), codes: [7] },
    'both ends one name': { conf: peerConf(web, {}, { ifName: 'eth0' }), codes: [7, 100] },
    'both ends one address': { conf: peerConf(db, { addresses: same }, { addresses: same }), codes: [7] },
    'an address twice': { conf: peerConf(db, { addresses: [...same, ...same] }), codes: [7] },
    'gateway outside its subnet': {
      conf: peerConf(db, { addresses: [{ address: '10.9.0.1/24', gateway: '10.10.0.1' }] }),
      codes: [7],
    },
    'route via an unreachable gateway': {
      conf: peerConf(db, {}, { routes: [{ dst: '10.78.0.0/16', gw: '172.31.0.1' }] }),
      codes: [7],
    },
    'the same MAC on both ends': {
      conf: peerConf(db, { mac: '02:00:00:00:00:07' }, { mac: '02:00:00:00:00:07' }),
      codes: [7],
    },
    'a multicast MAC': { conf: peerConf(db, {}, { mac: '01:00:5e:00:00:07' }), codes: [7] },
    'peer and link at once': { conf: peerConf(db, { link: { name: 'x' } }), codes: [7] },
    'mtu out of range': { conf: peerConf(db, { mtu: 67 }), codes: [7] },
  }
  const before = await snapshot(stage.host, stage.namespaces)
  for (const [what, { conf, codes }] of Object.entries(cases)) {
    const done = await stage.add('web', { conf })
    t.equal(done.code, 1, what)
    t.ok(codes.includes(done.json?.code), `${what}: code ${done.json?.code} “${done.json?.msg}”`)
  }
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
})
