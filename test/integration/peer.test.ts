/** Peer mode: the netconf names the other container, and one ADD wires both. */
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import { type Conf, peerConf } from './rig/modes.ts'
import { linkNamed, look, residue } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'
import { deviations } from './rig/wire.ts'

const OWN = { addresses: ['10.9.0.1/24', 'fd00:9::1/64'] }
const OTHER = { addresses: ['10.9.0.2/24', 'fd00:9::2/64'] }

/** Containers `web` and `db`, and the attachment `web` whose peer is `eth1` of `db`. */
function peerStage(t: Test, more: Conf = {}, peer: Conf = {}): Stage {
  const stage = new Stage(t).containers('web', 'db')
  const conf = peerConf(stage.pathOf('db'), more, peer)
  return stage.cast({ web: { conf, containerID: 'web', on: 'web' } })
}

async function added(t: Test, stage: Stage): Promise<void> {
  const done = await stage.add('web')
  t.equal(done.code, 0, `ADD succeeds ${done.code === 0 ? '' : done.stdout + done.stderr}`)
}

async function gone(t: Test, stage: Stage, what: string): Promise<void> {
  t.same(await residue(stage.host, stage.namespaces), [], `${what}: nothing is left`)
}

t.test('both ends are made at once and are ready on return', async (t) => {
  const routes = [{ dst: '10.77.0.0/16', gw: '10.9.0.2', mtu: 1300, priority: 50 }]
  const stage = peerStage(t, { mtu: 1400, mac: '02:00:00:00:09:01', routes }, { mac: '02:00:00:00:09:02' })
  const { name: web } = stage.netns('web')
  const { name: db } = stage.netns('db')
  const done = await stage.add('web')
  const ends = await Promise.all([look(web), look(db)])
  t.equal(done.code, 0, done.stdout)
  t.same(
    await deviations(web, 'eth0', {
      ...OWN,
      mtu: 1400,
      mac: '02:00:00:00:09:01',
      routes: [{ dst: '10.77.0.0/16', gateway: '10.9.0.2', metric: 50 }],
    }),
    [],
  )
  t.same(
    await deviations(db, 'eth1', {
      ...OTHER,
      mtu: 1400,
      mac: '02:00:00:00:09:02',
      routes: [{ dst: '10.78.0.0/16', gateway: '10.9.0.1' }],
    }),
    [],
  )
  const [own, other] = [linkNamed(ends[0], 'eth0'), linkNamed(ends[1], 'eth1')]
  t.equal(own?.link_index, other?.ifindex, 'the ends are each other’s peers')
  t.equal(other?.link_index, own?.ifindex, 'seen from both sides')
  t.notMatch(JSON.stringify(ends), /tentative|dadfailed/, 'no address was tentative right after ADD')
  for (const address of ['10.9.0.2', 'fd00:9::2'])
    t.ok(await stage.host.ping(web, address), `web → ${address}`)
  for (const address of ['10.9.0.1', 'fd00:9::1']) t.ok(await stage.host.ping(db, address), `db → ${address}`)
  t.same(await stage.host.links(), [], 'the host holds no end')
  t.equal((await stage.del('web')).code, 0)
  await gone(t, stage, 'after DEL')
})

t.test('the result lists the own end only', async (t) => {
  const stage = peerStage(t, { mtu: 1400 })
  for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    const conf = { ...stage.attachment('web').conf, cniVersion }
    const { code, json } = await stage.add('web', { conf })
    t.equal(code, 0, `ADD at ${cniVersion}`)
    t.equal(json.cniVersion, cniVersion)
    const mac = linkNamed(await look(stage.netns('web').name), 'eth0')?.address
    const mtu = cniVersion === '1.1.0' ? { mtu: 1400 } : {}
    t.same(json.interfaces, [{ name: 'eth0', mac, sandbox: stage.pathOf('web'), ...mtu }])
    t.match(
      json.ips.map((ip: { address: string; interface: number }) => [ip.address, ip.interface]),
      [
        ['10.9.0.1/24', 0],
        ['fd00:9::1/64', 0],
      ],
    )
    t.match(json.routes, [{ dst: '10.77.0.0/16', gw: '10.9.0.2' }])
    t.equal((await stage.del('web', { conf })).code, 0, `DEL at ${cniVersion}`)
  }
  await gone(t, stage, 'after the last DEL')
})

t.test('the peer may be a path, a name, netns:NAME or pid:N', async (t) => {
  const stage = peerStage(t)
  const { name, path } = stage.netns('db')
  const sleeper = spawn('nsenter', [`--net=${path}`, 'sleep', '300'])
  t.teardown(() => sleeper.kill('SIGKILL'))
  await stage.host.ip(name, 'link') // by now the sleeper has entered
  for (const netns of [path, name, `netns:${name}`, `pid:${sleeper.pid}`]) {
    const conf = peerConf(netns)
    const done = await stage.add('web', { conf })
    t.equal(done.code, 0, `ADD with peer ${netns} ${done.stdout}`)
    t.same(await deviations(name, 'eth1', OTHER), [], netns)
    t.equal((await stage.del('web', { conf })).code, 0)
  }
  await gone(t, stage, 'after the last DEL')
})

t.test('one container may be wired to itself under two names', async (t) => {
  const stage = peerStage(t)
  const conf = peerConf(stage.pathOf('web'))
  const done = await stage.add('web', { conf })
  t.equal(done.code, 0, done.stdout)
  const { name } = stage.netns('web')
  t.same([...(await deviations(name, 'eth0', OWN)), ...(await deviations(name, 'eth1', OTHER))], [])
  t.equal((await stage.del('web', { conf })).code, 0)
  await gone(t, stage, 'after DEL')
})

t.test('DEL works without prevResult, again, and without CNI_NETNS', async (t) => {
  const stage = peerStage(t)
  await added(t, stage)
  const call = { containerID: 'web', conf: stage.attachment('web').conf }
  t.match(await stage.host.cni('DEL', { ...call, netns: stage.pathOf('web') }), { code: 0, stdout: '' })
  await gone(t, stage, 'without prevResult')
  for (const _ of [1, 2]) t.match(await stage.del('web'), { code: 0, stdout: '' }, 'again')
  await added(t, stage)
  t.match(await stage.del('web', { withoutNetns: true }), { code: 0, stdout: '' })
  await gone(t, stage, 'without CNI_NETNS')
})

t.test('CHECK sees both ends', async (t) => {
  const stage = peerStage(t)
  await added(t, stage)
  t.match(await stage.check('web'), { code: 0, stdout: '' }, 'all is well')
  const { name } = stage.netns('db')
  await stage.host.exec('ip', ['addr', 'del', '10.9.0.2/24', 'dev', 'eth1'], name)
  const drift = await stage.check('web')
  t.match(drift, { code: 1, json: { code: 999, details: /10\.9\.0\.2/ } }, 'the peer’s address is missing')
  t.equal((await stage.del('web')).code, 0)
})

t.test('GC with an empty list removes both ends, also at once with another GC', async (t) => {
  const stage = peerStage(t)
  await added(t, stage)
  const { conf } = stage.attachment('web')
  t.match(await stage.gc(conf, ['web']), { code: 0, stdout: '' })
  t.same(await deviations(stage.netns('db').name, 'eth1', OTHER), [], 'a valid attachment stays')
  const done = await Promise.all([stage.gc(conf, []), stage.gc(conf, [])])
  t.same(
    done.map(({ code }) => code),
    [0, 0],
  )
  await gone(t, stage, 'after GC')
  await added(t, stage)
  t.equal((await stage.del('web')).code, 0)
  await gone(t, stage, 'after a new ADD and DEL')
})
