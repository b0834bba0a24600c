/**
 * An agent that stands still (SIGSTOP), or is late: the client gives up and promises nothing, the DEL that follows is
 * done without the agent, and when that goes on it does nothing that would remain.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent } from './rig/agent.ts'
import { added, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { type Call, type CniResult, type Host, newHost } from './rig/host.ts'
import { linkProblems, linkStage } from './rig/link-stage.ts'
import { begin, GatedIpam, idle, until } from './rig/under-way.ts'

const LATE = { code: 11, msg: 'the agent did not answer in time' }
/** Neither the client nor the cold path behind it waits for long. */
const HASTY = { NUGATOR_DEADLINE_MS: '250', NUGATOR_LOCK_TIMEOUT_MS: '100' }

t.jobs = 4 // most of it is waiting

function tombstones({ runDir }: Host): string[] {
  const dir = join(runDir, 'tombstones')
  return existsSync(dir) ? readdirSync(dir) : []
}

interface Scene {
  host: Host
  agent: Agent
  ipam: GatedIpam
  call: Call & { netns: string }
  namespaces: string[]
  nothingLeft(): Promise<void>
}

async function scene(t: Test, type = 'gated', verbs = ['ADD']): Promise<Scene> {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const ipam = new GatedIpam(host, type, verbs)
  const { name, ...container } = newContainer(host)
  const env = { ...agent.env, ...HASTY }
  const call = { ...container, env, path: ipam.fake.path, conf: netconf(host, ipam.conf) }
  return { host, agent, ipam, call, namespaces: [name], nothingLeft: () => nothingLeft(t, host, [name]) }
}

/** It goes on, does what it was about to do, and is well. */
async function resumed(t: Test, { agent, host, call }: Scene): Promise<void> {
  agent.thaw()
  await idle(agent)
  t.same(agent.lines('error'), [])
  const before = (await agent.status()).verbs.STATUS?.count ?? 0
  const conf = netconf(host, { cniVersion: '1.1.0', ipam: undefined })
  silent(t, await host.cni('STATUS', { ...call, conf }))
  t.equal((await agent.status()).verbs.STATUS?.count, before + 1, 'it serves again')
}

t.test('frozen before it has read the request', { buffered: true }, async (t) => {
  const all = await scene(t)
  const { host, agent, ipam, call } = all
  await agent.freeze()
  const start = performance.now()
  refused(t, await host.cni('ADD', call), LATE)
  t.ok(performance.now() - start < 3000, 'at its deadline')
  silent(t, await host.cni('DEL', { ...call, conf: netconf(host, { ipam: undefined }) }))
  t.same(tombstones(host), [], 'nobody had begun')
  await resumed(t, all)
  t.same(ipam.fake.calls(), [], 'nothing was done')
  t.same(
    agent.lines('call').filter(({ verb }) => verb !== 'STATUS'),
    [],
  )
  await all.nothingLeft()
})

for (const type of ['static', 'gated']) {
  t.test(`frozen while IPAM ${type} works`, { buffered: true }, async (t) => {
    const all = await scene(t, type)
    const { host, agent, ipam, call } = all
    const adding = begin(host, 'ADD', call)
    await ipam.asked('ADD')
    await agent.freeze()
    refused(t, await adding.ended, LATE)
    refused(t, await host.cni('DEL', call), { code: 11, msg: /another nugator has been working on this/ })
    t.equal(tombstones(host).length, 1, 'the DEL has left word')
    ipam.open()
    await resumed(t, all)
    t.equal(ipam.times('DEL'), 1, 'the lease is given back')
    t.match((await agent.says('call'))[0], { verb: 'ADD', code: 11, error: /given up|was deleted/ })
    t.same(await host.links(), [], 'no wire is left')
    silent(t, await host.cni('DEL', call))
    await all.nothingLeft()
  })
}

t.test('frozen in the middle of a DEL', { buffered: true }, async (t) => {
  const all = await scene(t, 'gated', ['DEL'])
  const { host, agent, ipam, call } = all
  added(t, await host.cni('ADD', call))
  const deleting = begin(host, 'DEL', call)
  await ipam.asked('DEL')
  await agent.freeze()
  refused(t, await deleting.ended, { code: 11, msg: /another nugator/ })
  ipam.open()
  await resumed(t, all)
  silent(t, await host.cni('DEL', call))
  await all.nothingLeft()
})

t.test('a DEL comes while an ADD is under way: it is not added after all', { buffered: true }, async (t) => {
  for (const way of ['hot', 'cold']) {
    const all = await scene(t)
    const { host, agent, ipam, call } = all
    const patient = { ...call, env: agent.env }
    const adding = begin(host, 'ADD', patient)
    await ipam.asked('ADD')
    const deleting = begin(
      host,
      'DEL',
      way === 'hot' ? patient : { ...call, env: { NUGATOR_AGENT_SOCKET: '' } },
    )
    await until('a tombstone', () => tombstones(host).length === 1)
    ipam.open()
    refused(t, await adding.ended, { code: 11, msg: /was deleted while it was added/ })
    silent(t, await deleting.ended)
    await all.nothingLeft()
    added(t, await host.cni('ADD', patient))
    silent(t, await host.cni('DEL', patient))
    await all.nothingLeft()
  }
})

t.test('a tombstone does not keep a later ADD from its wire', { buffered: true }, async (t) => {
  const all = await scene(t)
  const { host, agent, ipam, call } = all
  const adding = begin(host, 'ADD', call)
  await ipam.asked('ADD')
  await agent.freeze()
  refused(t, await adding.ended, LATE)
  refused(t, await host.cni('DEL', call), { code: 11 })
  ipam.open()
  await resumed(t, all)
  t.equal(tombstones(host).length, 1)
  added(t, await host.cni('ADD', { ...call, env: agent.env }))
  silent(t, await host.cni('DEL', call))
  await all.nothingLeft()
})

t.test('the deadline passes while the agent works', { buffered: true }, async (t) => {
  for (const type of ['static', 'gated']) {
    const all = await scene(t, type)
    const { host, agent, ipam, call } = all
    const start = performance.now()
    const adding = begin(host, 'ADD', call)
    await ipam.asked('ADD')
    const done = await adding.ended
    refused(t, done, LATE)
    const took = performance.now() - start
    t.ok(took > 240 && took < 3000, `after ${took} ms`)
    ipam.open()
    await idle(agent)
    t.match((await agent.says('call'))[0], { verb: 'ADD', code: 11 })
    t.same(ipam.fake.calls(), ['ADD ctr1 eth0', 'DEL ctr1 eth0'])
    await all.nothingLeft()
    silent(t, await host.cni('DEL', call))
    await all.nothingLeft()
  }
})

/** Whatever the moment, an ADD that was answered stands and one that was not can be deleted. */
async function frozenAtOnce(
  t: Test,
  ms: number,
  act: (command: string) => ReturnType<typeof begin>,
  agent: Agent,
) {
  const problems: string[] = []
  const adding = act('ADD')
  await pause(ms)
  await agent.freeze()
  const answer = await adding.ended
  if (answer.code !== 0 && answer.json?.code !== 11) problems.push(`ADD: ${answer.stdout}`)
  const first: CniResult = await act('DEL').ended
  if (first.code !== 0 && first.json?.code !== 11) problems.push(`DEL: ${first.stdout}`)
  agent.thaw()
  await idle(agent)
  if (first.code !== 0) {
    const second = await act('DEL').ended
    if (second.code !== 0) problems.push(`second DEL: ${second.stdout}`)
  }
  t.same(problems, [], `frozen after ${ms} ms; ADD ${answer.code}, DEL ${first.code}`)
}

t.test('frozen at many moments of an ADD in host mode', { buffered: true }, async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipam: hostLocal(host), ipMasq: true })
  const call = { ...container, env: { ...agent.env, ...HASTY }, conf }
  for (let moment = 0; moment < 16; moment++) {
    await frozenAtOnce(t, moment * 1.5, (command) => begin(host, command, call), agent)
    await nothingLeft(t, host, [name])
  }
})

t.test(
  'frozen at many moments of an ADD in link mode: the other end stays as it is',
  { buffered: true },
  async (t) => {
    const stage = linkStage(t)
    const { host } = stage
    const agent = await Agent.start(t, host)
    const { conf, containerID, args = '' } = stage.attachment('r2')
    const env = { ...agent.env, ...HASTY }
    const call = { conf, containerID, args, netns: stage.pathOf('r2'), env }
    t.equal((await stage.add('r1', { env: agent.env })).code, 0)
    for (let moment = 0; moment < 12; moment++) {
      await frozenAtOnce(t, moment * 2, (command) => begin(host, command, call), agent)
      t.same(await linkProblems(stage, ['r1']), [])
    }
    silent(t, await stage.del('r1', { env: agent.env }))
    await nothingLeft(t, host, stage.namespaces)
  },
)
