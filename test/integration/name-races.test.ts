/** Two who want the same name at the same moment: one gets it, whole, and the other is refused. */
import t, { type Test } from 'tap'
import { findLink } from '../../src/koko/inspect.ts'
import { randomMac } from '../../src/koko/mac.ts'
import { aliasOf, isMarked, isMarkedOrNewborn, keyOf } from '../../src/koko/marks.ts'
import { applyWire, planWire } from '../../src/koko/wire.ts'
import { Netns } from '../../src/netns/netns.ts'
import { type CniResult, newHost } from './rig/host.ts'
import { complaint } from './rig/link-stage.ts'
import { type Conf, hostConf, peerConf } from './rig/modes.ts'
import { linkNamed, look, residue } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'
import { deviations } from './rig/wire.ts'

const ROUNDS = 20
const BOTH = ['one', 'two'] as const
type Who = (typeof BOTH)[number]

/** Adds both at once; exactly one must succeed. */
async function race(t: Test, stage: Stage, round: number): Promise<{ winner: Who; loser: Who }> {
  // whoever is started first should not always win
  const [a, b] = round % 2 === 0 ? BOTH : ([BOTH[1], BOTH[0]] as const)
  const [first, second] = await Promise.all([stage.add(a), stage.add(b)])
  const done: Record<Who, CniResult> = a === 'one' ? { one: first, two: second } : { one: second, two: first }
  const [winner, loser]: readonly [Who, Who] = done.one.code === 0 ? ['one', 'two'] : ['two', 'one']
  t.same(complaint('ADD of the winner', done[winner]), [], `round ${round}: ${winner} wins`)
  t.equal(done[loser].code, 1, `round ${round}: ${loser} is refused: ${done[loser].stdout}`)
  t.ok([7, 100].includes(done[loser].json?.code), `with code ${done[loser].json?.code}`)
  return { winner, loser }
}

async function finish(t: Test, stage: Stage, winner: Who, loser: Who): Promise<void> {
  t.same(complaint('CHECK', await stage.check(winner)), [])
  t.same(complaint('DEL of the loser', await stage.del(loser)), [])
  t.same(complaint('CHECK after the loser’s DEL', await stage.check(winner)), [])
  t.same(complaint('DEL', await stage.del(winner)), [])
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
}

t.test('one hostIfName', async (t) => {
  const stage = new Stage(t).containers(...BOTH)
  const conf = (subnet: string): Conf =>
    hostConf(stage.host, {
      ipam: undefined,
      hostIfName: 'uplink0',
      ipMasq: true,
      addresses: [{ address: `${subnet}.2/24`, gateway: `${subnet}.1` }],
    })
  stage.cast({
    one: { conf: conf('10.9.0'), containerID: 'one', on: 'one' },
    two: { conf: conf('10.9.1'), containerID: 'two', on: 'two' },
  })
  for (let round = 1; round <= ROUNDS; round++) {
    const { winner, loser } = await race(t, stage, round)
    t.same(await stage.host.links(), ['uplink0'], 'the winner’s interface is there')
    t.match(linkNamed(await look(stage.host.name), 'uplink0')?.ifalias, `/${winner}/`, 'with its mark')
    t.same(await stage.host.links(stage.netns(loser).name), [], 'the loser has nothing')
    const gateway = winner === 'one' ? '10.9.0.1' : '10.9.1.1'
    t.ok(await stage.host.ping(stage.netns(winner).name, gateway), 'it reaches its host')
    await finish(t, stage, winner, loser)
  }
})

for (const which of ['own', 'other'] as const) {
  t.test(`peer mode, two networks: one name for the ${which} end`, async (t) => {
    const stage = new Stage(t).containers('middle', ...BOTH)
    for (const who of BOTH) {
      const subnet = who === 'one' ? '10.9.1' : '10.9.2'
      const inMiddle = { addresses: [{ address: `${subnet}.1/24` }], routes: [] }
      const outside = { addresses: [{ address: `${subnet}.2/24` }], routes: [] }
      const [own, other, on, peer] =
        which === 'own' ? [inMiddle, outside, 'middle', who] : [outside, inMiddle, who, 'middle']
      const conf = peerConf(stage.pathOf(peer), { name: `net-${who}`, ...own }, { ifName: 'eth0', ...other })
      stage.cast({ [who]: { conf, containerID: on, on } })
    }
    for (let round = 1; round <= ROUNDS; round++) {
      const { winner, loser } = await race(t, stage, round)
      const subnet = winner === 'one' ? '10.9.1' : '10.9.2'
      const middle = stage.netns('middle').name
      t.same(await stage.host.links(middle), ['eth0'])
      t.same(await deviations(middle, 'eth0', { addresses: [`${subnet}.1/24`] }), [], 'the winner’s wire')
      t.same(await stage.host.links(stage.netns(loser).name), [], 'the loser has nothing')
      t.ok(await stage.host.ping(middle, `${subnet}.2`), 'the other end answers')
      await finish(t, stage, winner, loser)
    }
  })
}

t.test('one container and interface, two networks, host mode', async (t) => {
  const stage = new Stage(t).containers('box')
  for (const who of BOTH) {
    const subnet = who === 'one' ? '10.9.1' : '10.9.2'
    const addresses = [{ address: `${subnet}.2/24`, gateway: `${subnet}.1` }]
    const conf = hostConf(stage.host, { name: `net-${who}`, ipam: undefined, addresses })
    stage.cast({ [who]: { conf, containerID: 'box', on: 'box' } })
  }
  for (let round = 1; round <= ROUNDS; round++) {
    const { winner, loser } = await race(t, stage, round)
    t.equal((await stage.host.links()).length, 1, 'the host has one end')
    await finish(t, stage, winner, loser)
  }
})

t.test('a creation that fails does not mark what has the name', async (t) => {
  const host = newHost(t)
  const open = (path: string) => {
    const netns = Netns.at(path)
    t.teardown(() => netns.close())
    return netns
  }
  const [home, one, two] = [open(host.path), open(host.netns('one').path), open(host.netns('two').path)]
  const spec = (ifName: string) => {
    return { ifName, mac: randomMac(), mtu: 1500, txQueueLength: 1000, addresses: [], routes: [] }
  }
  const [first, second] = [keyOf('first'), keyOf('second')]
  const mac = randomMac()
  const plan = (netns: Netns, key: string, more = {}) =>
    planWire(
      { netns: home, spec: { ...spec('uplink0'), ...more } },
      { netns, spec: spec('eth0') },
      aliasOf(key, 'words'),
    )
  applyWire(plan(one, first))
  t.throws(() => applyWire(plan(two, second, { mac })), { name: 'WireError', message: /already exists/ })
  const link = findLink(home, 'uplink0')
  if (link === undefined) throw new Error('the first wire is gone')
  t.ok(isMarked(link, first), 'it still belongs to the first')
  t.notOk(isMarkedOrNewborn(link, second, mac), 'and not to the second')
  t.same(await host.links(`${host.name}-two`), [], 'the second has nothing')
})
