/** What an agent finds when it starts: it undoes what killed processes left, and nothing else. */
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf, peerconf } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { type Host, newHost } from './rig/host.ts'
import { linkProblems, linkStage } from './rig/link-stage.ts'
import { leases } from './rig/snapshot.ts'
import { begin, GatedIpam } from './rig/under-way.ts'

const COLD = { NUGATOR_AGENT_SOCKET: '' }
const dies = (step: number) => ({ ...COLD, NUGATOR_FAULT_AT: String(step) })
const pending = ({ stateDir }: Host): string[] =>
  existsSync(join(stateDir, 'pending')) ? readdirSync(join(stateDir, 'pending')) : []

t.test('ADDs that were killed, in every mode: wires, masquerade and leases go', async (t) => {
  const host = newHost(t)
  const other = host.netns('other')
  const containers = [4, 8, 12, 16, 20].map((step) => ({ step, ...newContainer(host, `c${step}`) }))
  const conf = netconf(host, { ipMasq: true })
  for (const { step, name, ...container } of containers) {
    const done = await host.cni('ADD', { ...container, conf, env: dies(step) })
    t.equal(done.signal, 'SIGKILL', `killed at step ${step}`)
  }
  const peer = newContainer(host, 'peer')
  t.equal(
    (await host.cni('ADD', { ...peer, conf: peerconf(host, other.path), env: dies(12) })).signal,
    'SIGKILL',
  )
  t.equal(pending(host).length, containers.length + 1)
  t.ok((await host.links()).length > 1, 'there are wires')
  t.ok(leases(host).length > 2, 'and leases')
  const agent = await Agent.start(t, host)
  const recovered = agent.lines('recovered')
  t.equal(recovered.length, containers.length + 1, 'it says so')
  t.match(
    recovered,
    recovered.map(() => ({ attachment: /container c\d+|container peer/ })),
  )
  await nothingLeft(
    t,
    host,
    [...containers, peer, other].map(({ name }) => name),
  )
})

t.test('a link of which one end was being added: the other stays as it is', async (t) => {
  const stage = linkStage(t)
  t.equal((await stage.add('r1')).code, 0)
  t.equal((await stage.add('r2', { env: dies(12) })).signal, 'SIGKILL')
  const agent = await Agent.start(t, stage.host)
  t.equal(agent.lines('recovered').length, 1)
  t.same(await linkProblems(stage, ['r1']), [])
  silent(t, await stage.del('r1'))
  await nothingLeft(t, stage.host, stage.namespaces)
})

t.test('what others work on, what stands, and what is of another host is left alone', async (t) => {
  const [host, far] = [newHost(t), newHost(t)]
  const ipam = new GatedIpam(host)
  const [live, stands, away] = [
    newContainer(host, 'live'),
    newContainer(host, 'stands'),
    newContainer(far, 'away'),
  ]
  const gated = { ...live, path: ipam.fake.path, conf: netconf(host, ipam.conf), env: COLD }
  const plain = { ...stands, conf: netconf(host, { ipam: hostLocal(host, ['10.9.9.0/24']) }), env: COLD }
  added(t, await host.cni('ADD', plain))
  const elsewhere = { ...away, conf: netconf(host, { ipam: hostLocal(host, ['10.9.8.0/24']), name: 'far' }) }
  const shared = { NUGATOR_STATE_DIR: host.stateDir, NUGATOR_RUN_DIR: host.runDir }
  t.equal((await far.cni('ADD', { ...elsewhere, env: { ...dies(16), ...shared } })).signal, 'SIGKILL')
  const adding = begin(host, 'ADD', gated)
  await ipam.asked('ADD')
  const agent = await Agent.start(t, host)
  t.same(agent.lines('recovered'), [])
  t.equal((await host.links()).length, 2, 'both wires are there')
  t.equal((await far.links()).length, 1, 'and that of the other host')
  ipam.open()
  added(t, await adding.ended)
  for (const call of [gated, plain]) silent(t, await host.cni('DEL', { ...call, env: agent.env }))
  silent(t, await far.cni('DEL', { ...elsewhere, env: { ...agent.env, ...shared } }))
  await nothingLeft(t, far, [away.name])
  await nothingLeft(t, host, [live.name, stands.name])
})

t.test('records that say nothing: it starts all the same', async (t) => {
  const host = newHost(t)
  const dir = join(host.stateDir, 'pending')
  mkdirSync(dir, { recursive: true })
  const name = (digit: string) => join(dir, `${digit.repeat(64)}.json`)
  writeFileSync(name('0'), '')
  writeFileSync(name('1'), '{"own":')
  writeFileSync(name('2'), '{"own":null,"stdin":""}')
  writeFileSync(name('3'), '{"own":{},"stdin":"{"}')
  writeFileSync(name('4'), '[]')
  mkdirSync(name('5'))
  writeFileSync(join(dir, 'README'), 'not ours')
  const agent = await Agent.start(t, host)
  const { name: netns, ...container } = newContainer(host)
  const call = { ...container, env: agent.env, conf: netconf(host) }
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  t.equal((await agent.status()).verbs.ADD?.count, 1)
  t.same(await host.links(netns), [])
  t.same(leases(host), [])
})

t.test('an IPAM plugin that is gone: the wire goes, and the lease is not forgotten', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const { name, ...container } = newContainer(host)
  const call = { ...container, path: ipam.path, conf: netconf(host, { ipam: { type: ipam.type } }) }
  t.equal((await host.cni('ADD', { ...call, env: dies(14) })).signal, 'SIGKILL')
  ipam.reply('DEL', { code: 1, stdout: { code: 77, msg: 'not today' } })
  const agent = await Agent.start(t, host)
  t.match(agent.lines('recovered'), [{ failures: [/not today/] }])
  t.same(await host.links(), [], 'no wire')
  t.equal(pending(host).length, 1, 'the record stays')
  ipam.reply('DEL', {})
  silent(t, await host.cni('DEL', { ...call, env: agent.env }))
  t.ok(ipam.calls().filter((line) => line.startsWith('DEL')).length >= 2)
  await nothingLeft(t, host, [name])
})

t.test('old tombstones', async (t) => {
  const host = newHost(t)
  mkdirSync(join(host.runDir, 'tombstones'), { recursive: true })
  const file = join(host.runDir, 'tombstones', 'a'.repeat(64))
  writeFileSync(file, '1')
  utimesSync(file, 0, 0)
  await Agent.start(t, host)
  await nothingLeft(t, host, [])
})
