/** An agent that lives long: what it holds does not grow, and it keeps nothing of what is deleted. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf, peerconf } from './rig/cni/conf.ts'
import { type Held, held } from './rig/held.ts'
import { newHost } from './rig/host.ts'
import { linkStage } from './rig/link-stage.ts'
import { idle, until } from './rig/under-way.ts'

const CYCLES = 1500
const CALLERS = 4
/** Until then what is used for the first time is loaded and compiled. */
const WARM = 300

/** Waits until it holds no more than it did: those of the last connections and deletions go a little later. */
async function resting(agent: Agent, before: Held): Promise<Held> {
  await until(`no more than ${before.descriptors} descriptors, ${before.netlink} netlink sockets`, () => {
    const { descriptors, netlink } = held(agent.pid)
    return descriptors <= before.descriptors && netlink <= before.netlink
  })
  return held(agent.pid)
}

t.test(`${CYCLES} ADDs and DELs`, async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const containers = Array.from({ length: CALLERS }, (_, n) => newContainer(host, `c${n}`))
  const conf = netconf(host, { ipam: hostLocal(host, ['10.77.0.0/24', '2001:db8::/64']) })
  const problems: string[] = []
  let begun = 0
  const cycles = async (until: number) => {
    await Promise.all(
      containers.map(async ({ name, ...container }) => {
        while (begun < until) {
          begun += 1
          for (const command of ['ADD', 'DEL']) {
            const done = await host.cni(command, { ...container, env: agent.env, conf })
            if (done.code !== 0) problems.push(`${command}: ${done.stdout}${done.stderr}`)
          }
        }
      }),
    )
    await idle(agent)
  }
  const first = held(agent.pid)
  await cycles(WARM)
  // One more: its own namespace, opened once, to come home to.
  const warm = await resting(agent, { ...first, descriptors: first.descriptors + 1 })
  await cycles(CYCLES)
  const last = await resting(agent, warm)
  t.same(problems, [])
  t.ok(last.rss - warm.rss < 30, `${warm.rss} MiB after ${WARM}, ${last.rss} after ${CYCLES}`)
  t.equal(last.threads, warm.threads, 'threads')
  t.same([warm.namespaces, last.namespaces], [[], []], 'no namespace is held')
  t.match((await agent.status()).verbs, {
    ADD: { count: CYCLES, failed: 0 },
    DEL: { count: CYCLES, failed: 0 },
  })
  await nothingLeft(
    t,
    host,
    containers.map(({ name }) => name),
  )
})

/** A veth from a container to a namespace that stays: it goes when the container's namespace really does. */
async function canary(host: ReturnType<typeof newHost>, netns: string): Promise<() => Promise<boolean>> {
  const name = `can${randomBytes(4).toString('hex')}`
  await host.exec('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'canary', 'netns', netns])
  return async () => !(await host.links()).includes(name)
}

t.test('a deleted container’s namespace is gone, in every mode', async (t) => {
  const stage = linkStage(t)
  const { host } = stage
  const agent = await Agent.start(t, host)
  const other = host.netns('other')
  const modes: Record<string, unknown> = {
    host: netconf(host, { ipMasq: true }),
    peer: peerconf(host, other.path),
  }
  for (const [mode, conf] of Object.entries(modes)) {
    for (let round = 0; round < 10; round++) {
      const { name, ...container } = newContainer(host, `${mode}${round}`)
      const call = { ...container, env: agent.env, conf }
      const isGone = await canary(host, name)
      added(t, await host.cni('ADD', call))
      silent(t, await host.cni('DEL', call))
      host.deleteNetns(name)
      // How soon is the kernel's business: one worker of its does this for the whole machine.
      await until(`the namespace of ${name} is gone`, isGone)
      t.same(held(agent.pid).namespaces, [], `${mode} mode`)
    }
  }
  for (let round = 0; round < 5; round++) {
    for (const who of ['r1', 'r2']) t.equal((await stage.add(who, { env: agent.env })).code, 0)
    const isGone = await canary(host, stage.netns('r2').name)
    if (round % 2 === 0) t.equal((await stage.del('r2', { env: agent.env })).code, 0)
    stage.die('r2')
    await until('the namespace of r2 is gone', isGone)
    for (const who of ['r2', 'r1']) t.equal((await stage.del(who, { env: agent.env })).code, 0)
    stage.revive('r2')
  }
  await nothingLeft(t, host, [other.name, ...stage.namespaces])
})

t.test('a call that fails keeps nothing of its container either', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const wrong = {
    'no such IPAM': netconf(host, { ipam: { type: 'nowhere' } }),
    'a full range': netconf(host, {
      ipam: hostLocal(host, ['10.1.2.0/30'], {
        ranges: [[{ subnet: '10.1.2.0/30', rangeStart: '10.1.2.2', rangeEnd: '10.1.2.2' }]],
      }),
    }),
    'an address twice': netconf(host, {
      ipam: undefined,
      addresses: [{ address: '10.1.2.2/24' }, { address: '10.1.2.2/24' }],
    }),
    'a peer that is gone': peerconf(host, '/run/netns/ngt-nowhere'),
    'an mtu that is none': netconf(host, { mtu: 7 }),
  }
  const taken = newContainer(host, 'taken')
  const full = { ...taken, env: agent.env, conf: wrong['a full range'] }
  added(t, await host.cni('ADD', full))
  const before = held(agent.pid)
  for (const [what, conf] of Object.entries(wrong)) {
    for (const command of ['ADD', 'CHECK']) {
      const { name, ...container } = newContainer(host, `c${performance.now()}`)
      const isGone = await canary(host, name)
      const done = await host.cni(command, { ...container, env: agent.env, conf })
      t.equal(done.code, 1, `${command}, ${what}: ${done.stdout}`)
      host.deleteNetns(name)
      await until(`the namespace is gone: ${what}`, isGone)
    }
  }
  await resting(agent, before)
  silent(t, await host.cni('DEL', full))
  await nothingLeft(t, host, [taken.name])
})
