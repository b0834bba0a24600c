/** A client that is killed while the agent works for it: nothing of its call remains, or its DEL removes it. */
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent } from './rig/agent.ts'
import { silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf, peerconf } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { linkProblems, linkStage } from './rig/link-stage.ts'
import { begin, GatedIpam, idle, until } from './rig/under-way.ts'

for (const type of ['static', 'gated']) {
  t.test(`killed while IPAM ${type} works: undone at once`, async (t) => {
    const host = newHost(t)
    const agent = await Agent.start(t, host)
    const ipam = new GatedIpam(host, type)
    const { name, ...container } = newContainer(host)
    const call = { ...container, env: agent.env, path: ipam.fake.path, conf: netconf(host, ipam.conf) }
    const adding = begin(host, 'ADD', call)
    await ipam.asked('ADD')
    t.equal((await agent.status()).inFlight, 1)
    t.equal((await host.links(name)).length, type === 'static' ? 0 : 1, 'what there is of the wire')
    adding.kill()
    t.equal((await adding.ended).signal, 'SIGKILL')
    ipam.open()
    await idle(agent)
    t.same(ipam.fake.calls(), ['ADD ctr1 eth0', 'DEL ctr1 eth0'], 'the lease is given back')
    await nothingLeft(t, host, [name])
    const [line] = await agent.says('call')
    t.match(line, { verb: 'ADD', code: 11, error: /the caller is gone/ })
    silent(t, await host.cni('DEL', call))
    await nothingLeft(t, host, [name])
  })
}

t.test('killed while it waits for the lock: its turn never comes', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const ipam = new GatedIpam(host)
  const { name, ...container } = newContainer(host)
  const call = { ...container, env: agent.env, path: ipam.fake.path, conf: netconf(host, ipam.conf) }
  const first = begin(host, 'ADD', call)
  await ipam.asked('ADD')
  const second = begin(host, 'ADD', call)
  await until('two calls', async () => (await agent.status()).inFlight === 2)
  second.kill()
  await second.ended
  ipam.open()
  t.equal((await first.ended).code, 0)
  await idle(agent)
  t.same(ipam.fake.calls(), ['ADD ctr1 eth0'])
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [name])
})

t.test('a DEL whose client is killed: the next one finds the rest', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const ipam = new GatedIpam(host, 'gated', ['DEL'])
  const { name, ...container } = newContainer(host)
  const call = { ...container, env: agent.env, path: ipam.fake.path, conf: netconf(host, ipam.conf) }
  t.equal((await host.cni('ADD', call)).code, 0)
  const deleting = begin(host, 'DEL', call)
  await ipam.asked('DEL')
  deleting.kill()
  await deleting.ended
  ipam.open()
  await idle(agent)
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [name])
})

/** How long an undisturbed call takes, from exec to exit, in ms. */
async function duration(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await act()
  return performance.now() - start
}

const ROUNDS = 40

t.test(`killed at ${ROUNDS} moments of an ADD, and of a DEL`, async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const other = host.netns('other')
  const modes = {
    host: netconf(host, { ipam: hostLocal(host), ipMasq: true }),
    peer: peerconf(host, other.path),
  }
  for (const [mode, conf] of Object.entries(modes)) {
    const call = { ...container, env: agent.env, conf }
    const whole: number[] = []
    for (let i = 0; i < 3; i++) {
      whole.push(await duration(() => host.cni('ADD', call)))
      await host.cni('DEL', call)
    }
    const span = Math.min(...whole) * 1.3
    const problems: string[] = []
    const ends = { 'nothing done': 0, done: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      for (const command of ['ADD', 'DEL']) {
        const doing = begin(host, command, call)
        await pause((span * round) / ROUNDS)
        doing.kill()
        await doing.ended
        await idle(agent)
        const links = await host.links(name)
        ends[links.length > 0 ? 'done' : 'nothing done'] += 1
      }
      const last = await host.cni('DEL', call)
      if (last.code !== 0) problems.push(`${mode}, round ${round}: ${last.stdout}`)
      if ((await host.links()).length > 0) problems.push(`${mode}, round ${round}: a wire is left`)
    }
    t.same(problems, [])
    t.comment(mode, ends)
    await nothingLeft(t, host, [name, other.name])
  }
  t.same(agent.lines('error'), [])
})

t.test('killed at moments of an ADD in link mode: the other end stays as it is', async (t) => {
  const stage = linkStage(t)
  const { host } = stage
  const agent = await Agent.start(t, host)
  const { conf, containerID, args = '' } = stage.attachment('r2')
  const call = { conf, containerID, args, netns: stage.pathOf('r2'), env: agent.env }
  t.equal((await stage.add('r1', { env: agent.env })).code, 0)
  for (let round = 0; round < 12; round++) {
    const adding = begin(host, 'ADD', call)
    await pause(round * 2)
    adding.kill()
    await adding.ended
    await idle(agent)
    silent(t, await host.cni('DEL', call))
    t.same(await linkProblems(stage, ['r1']), [])
  }
  silent(t, await stage.del('r1', { env: agent.env }))
  await nothingLeft(t, host, stage.namespaces)
})

/** Nobody else's call suffers. */
t.test('while others are served', async (t: Test) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const containers = Array.from({ length: 6 }, (_, n) => newContainer(host, `c${n}`))
  const call = (n: number) => {
    const { name, ...container } = containers[n] ?? newContainer(host)
    return { ...container, env: agent.env, conf: netconf(host) }
  }
  await Promise.all(
    containers.map(async (_, n) => {
      for (let round = 0; round < 10; round++) {
        const doing = begin(host, 'ADD', call(n))
        if (n % 2 === 0) {
          await pause(round)
          doing.kill()
        }
        const done = await doing.ended
        if (n % 2 === 1) t.equal(done.code, 0, done.stdout)
        silent(t, await host.cni('DEL', call(n)))
      }
    }),
  )
  await idle(agent)
  await nothingLeft(
    t,
    host,
    containers.map(({ name }) => name),
  )
})
