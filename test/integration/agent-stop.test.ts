/** Agents that are stopped, killed and started again, with calls under way. */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { RawClient } from './rig/raw-client.ts'
import { begin, GatedIpam, until } from './rig/under-way.ts'

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal}: calls under way end, new ones go cold`, async (t) => {
    const host = newHost(t)
    const agent = await Agent.start(t, host)
    const ipam = new GatedIpam(host)
    const [first, second] = [newContainer(host, 'first'), newContainer(host, 'second')]
    const gated = { ...first, env: agent.env, path: ipam.fake.path, conf: netconf(host, ipam.conf) }
    const plain = {
      ...second,
      env: agent.env,
      conf: netconf(host, { ipam: hostLocal(host, ['10.9.9.0/24']) }),
    }
    const adding = begin(host, 'ADD', gated)
    await ipam.asked('ADD')
    agent.signal(signal)
    await agent.says('stopping')
    t.notOk(existsSync(agent.socket), 'nobody finds it any more')
    added(t, await host.cni('ADD', plain))
    t.ok(agent.isRunning, 'it waits for the call')
    ipam.open()
    added(t, await adding.ended)
    t.equal(await agent.ended(), 0)
    t.match(agent.lines('call'), [{ verb: 'ADD', containerID: 'first', code: 0 }], 'the other went cold')
    t.equal(agent.lines().at(-1)?.event, 'stopped')
    t.notOk(existsSync(agent.socket))
    for (const call of [gated, plain]) silent(t, await host.cni('DEL', call))
    await nothingLeft(t, host, [first.name, second.name])
  })
}

t.test('who is connected and says nothing does not hold it up', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  for (const bytes of ['', 'NGAT', 'GET /status HTTP/1.1\r\n'])
    (await RawClient.open(agent.socket)).send(bytes)
  await pause(50)
  const start = performance.now()
  t.equal(await agent.stop(), 0)
  t.ok(performance.now() - start < 1500, `after ${performance.now() - start} ms`)
})

t.test('nobody reads its log: it serves all the same', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  // A pipe that somebody holds open and does not read.
  const full = ['sh', '-c', 'mkfifo "$0"; exec 9<>"$0"; exec "$@" 2>&9', join(host.dir, 'fifo')]
  const agent = Agent.begin(t, host, { by: full })
  await until('it listens', () =>
    agent.status().then(
      () => true,
      () => false,
    ),
  )
  const conf = netconf(host, { cniVersion: '1.1.0', mtu: -1, 'x-padding': 'x'.repeat(500) })
  for (let n = 0; n < 300; n++) {
    const done = await host.cni('STATUS', { env: { ...agent.env, NUGATOR_DEADLINE_MS: '2000' }, conf })
    if (done.code !== 1) t.fail(`a STATUS that should be refused: ${done.stdout}`)
  }
  const call = { ...container, env: agent.env, conf: netconf(host) }
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  const { verbs } = await agent.status()
  t.match([verbs.STATUS?.count, verbs.ADD?.count, verbs.DEL?.count], [300, 1, 1])
  await nothingLeft(t, host, [name])
})

t.test('one socket, one agent; what a dead one left is replaced', async (t) => {
  const host = newHost(t)
  const first = await Agent.start(t, host)
  const second = Agent.begin(t, host)
  t.equal(await second.ended(), 1)
  t.match(second.log, /^nugator: another agent serves \S+agent\.sock\n$/)
  const conf = netconf(host, { cniVersion: '1.1.0', ipam: undefined })
  silent(t, await host.cni('STATUS', { env: first.env, conf }))
  t.equal((await first.status()).verbs.STATUS?.count, 1, 'the first serves')
  await first.kill()
  t.ok(existsSync(first.socket), 'it could not remove its socket')
  const third = await Agent.start(t, host)
  silent(t, await host.cni('STATUS', { env: third.env, conf }))
  t.equal((await third.status()).verbs.STATUS?.count, 1)
  t.equal(await third.stop(), 0)
})

t.test('a directory that is not its own keeps its mode; one that it makes is closed', async (t) => {
  const host = newHost(t)
  const shared = join(host.dir, 'shared')
  mkdirSync(shared, { mode: 0o755 })
  const agent = await Agent.start(t, host, { socket: join(shared, 'a.sock') })
  t.equal(statSync(shared).mode & 0o777, 0o755)
  t.equal(statSync(agent.socket).mode & 0o777, 0o600, 'the socket is for root')
  t.equal(await agent.stop(), 0)
  const other = await Agent.start(t, host, { socket: join(host.dir, 'new/a.sock') })
  t.equal(statSync(join(host.dir, 'new')).mode & 0o777, 0o700)
  t.equal(await other.stop(), 0)
})

const CALLERS = 8
const RESTARTS = 10

t.test(`${CALLERS} callers while the agent is stopped, killed and started ${RESTARTS} times`, async (t) => {
  const host = newHost(t)
  const containers = Array.from({ length: CALLERS }, (_, n) => newContainer(host, `c${n}`))
  const conf = netconf(host, { cniVersion: '1.1.0', ipam: hostLocal(host, ['10.77.0.0/24']), ipMasq: true })
  let agent = await Agent.start(t, host)
  const { env } = agent
  const problems: string[] = []
  const held = new Map<string, unknown>()
  let [calls, over] = [0, false]
  const work = containers.map(async ({ name, ...container }) => {
    while (!over) {
      for (const command of ['ADD', 'CHECK', 'DEL']) {
        const prevResult = command === 'ADD' ? undefined : held.get(name)
        const done = await host.cni(command, { ...container, env, conf: { ...conf, prevResult } })
        if (command === 'ADD') held.set(name, done.json)
        calls += 1
        if (done.code !== 0) problems.push(`${command} of ${name}: ${done.stdout}${done.stderr}`)
        const there = (await host.links(name)).join()
        if (there !== (command === 'DEL' ? '' : 'eth0'))
          problems.push(`after ${command} ${name} has [${there}]`)
      }
    }
  })
  for (let round = 0; round < RESTARTS; round++) {
    await pause(150)
    if (round % 2 === 0) await agent.kill()
    else t.equal(await agent.stop(), 0, 'it stops')
    if (round % 3 === 0) await pause(100) // for a while there is none
    agent = await Agent.start(t, host)
    t.same(agent.lines('error'), [])
  }
  over = true
  await Promise.all(work)
  t.same(problems, [])
  t.ok(calls >= 3 * CALLERS, `${calls} calls`)
  await nothingLeft(
    t,
    host,
    containers.map(({ name }) => name),
  )
  t.equal(await agent.stop(), 0)
})
