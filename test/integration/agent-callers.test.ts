/** Callers in other namespaces than the agent: the host is the caller's; who sees other files does his work himself. */
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { Agent } from './rig/agent.ts'
import { start } from './rig/client-place.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { FakeIpam, RESULT } from './rig/cni/ipam.ts'
import { type Call, type CommandResult, type Host, newHost, PLUGIN, run } from './rig/host.ts'
import { masquerade } from './rig/snapshot.ts'
import { until } from './rig/under-way.ts'

const FORWARDING = ['/proc/sys/net/ipv4/ip_forward']

const NAT: Record<string, (host: Host) => Promise<unknown[]>> = {
  nftables: masquerade,
  iptables: async (host) => {
    const rules = await host.exec('iptables', ['-t', 'nat', '-S'])
    return rules.split('\n').filter((line) => line.includes('10.1.2.'))
  },
}

for (const [ipMasqBackend, rules] of Object.entries(NAT)) {
  t.test(`another network namespace: wires and ${ipMasqBackend} are the caller's`, async (t) => {
    const [host, agents] = [newHost(t), newHost(t)]
    const agent = await Agent.start(t, host, { netns: agents.path })
    const { name, ...container } = newContainer(host)
    const conf = netconf(host, { ipMasq: true, ipMasqBackend })
    const call = { ...container, env: agent.env, conf }
    t.equal(await host.exec('cat', FORWARDING), '0\n')
    const prevResult = added(t, await host.cni('ADD', call))
    t.equal((await host.links()).length, 1, 'one end is in the host of the caller')
    t.same(await host.links(agents.name), [], 'none in that of the agent')
    t.ok((await rules(host)).length > 0, 'there is masquerade')
    t.same(await rules(agents), [], 'where it belongs')
    t.equal(await host.exec('cat', FORWARDING), '1\n')
    t.equal(await agents.exec('cat', FORWARDING), '0\n')
    t.ok(await host.ping(name, '10.1.2.1'))
    silent(t, await host.cni('CHECK', { ...call, conf: { ...conf, prevResult } }))
    silent(t, await host.cni('DEL', call))
    const { verbs, refused } = await agent.status()
    t.match([verbs.ADD?.count, verbs.CHECK?.count, verbs.DEL?.count, refused], [1, 1, 1, 0], 'by the agent')
    t.same(await rules(host), [])
    await nothingLeft(t, host, [name])
  })
}

t.test('an IPAM plugin runs in the network namespace of the caller', async (t) => {
  const [host, agents] = [newHost(t), newHost(t)]
  const agent = await Agent.start(t, host, { netns: agents.path })
  const { name, ...container } = newContainer(host)
  const ipam = new FakeIpam(host)
  const script = 'readlink /proc/self/ns/net >"$CNI_COMMAND.netns"'
  ipam.reply('ADD', { script, stdout: RESULT }).reply('DEL', { script })
  const conf = netconf(host, { ipam: { type: ipam.type } })
  const call = { ...container, env: agent.env, path: ipam.path, conf }
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  const own = await host.exec('readlink', ['/proc/self/ns/net'])
  for (const verb of ['ADD', 'DEL']) t.equal(ipam.note(`${verb}.netns`), own)
  await nothingLeft(t, host, [name])
})

t.test('hosts beside each other: the same network, container and interface in each', async (t) => {
  const [first, second] = [newHost(t), newHost(t)]
  const agent = await Agent.start(t, first)
  const hosts = [first, second].map((host) => ({ host, ...newContainer(host) }))
  const each = async (command: string) =>
    Promise.all(
      hosts.map(({ host, netns }) =>
        host.cni(command, { netns, env: agent.env, conf: netconf(host, { ipMasq: true }) }),
      ),
    )
  for (let round = 0; round < 5; round++) {
    for (const done of await each('ADD')) added(t, done)
    for (const { host, name } of hosts) t.ok(await host.ping(name, '10.1.2.1'))
    for (const done of await each('DEL')) silent(t, done)
    for (const { host, name } of hosts) await nothingLeft(t, host, [name])
  }
})

/** What a caller is started by, in the host's network namespace. */
const ELSEWHERE: Record<string, readonly string[]> = {
  'another mount namespace': ['unshare', '--mount'],
  'another pid namespace': ['unshare', '--pid', '--fork', '--mount-proc'],
  'another pid namespace, the same mounts': ['unshare', '--pid', '--fork'],
  'another clock': ['unshare', '--time', '--boottime', '100000', '--fork'],
  'another user namespace': ['unshare', '--user', '--map-root-user'],
}

function exec(
  host: Host,
  agent: Agent | undefined,
  by: readonly string[],
  command: string,
  call: Call,
): Promise<CommandResult> {
  const env = host.env({ ...call, command, env: agent?.env ?? { NUGATOR_AGENT_SOCKET: '' } })
  return run('nsenter', [`--net=${host.path}`, ...by, PLUGIN], { env, input: JSON.stringify(call.conf) })
}

function shape({ code, stdout, stderr }: CommandResult): unknown[] {
  return [code, stdout.replaceAll(/"mac": "[^"]*"/g, '"mac": ""'), stderr]
}

const VERBS = ['ADD', 'CHECK', 'DEL']

interface Place {
  /** Words before the command line. */
  readonly by: readonly string[]
  /** The container's namespace, if it has another path there. */
  readonly netns?: string
}

/** The three calls are answered as they are without an agent, and the agent does none of them. */
async function answeredCold(
  t: Test,
  placeOf: (host: Host, container: string) => Promise<Place>,
): Promise<unknown[]> {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const addresses = [{ address: '10.1.2.2/24', gateway: '10.1.2.1' }]
  const conf = netconf(host, { ipam: undefined, addresses })
  const { by, netns = container.netns } = await placeOf(host, container.netns)
  const call: Call = { ...container, netns, conf }
  const answers: unknown[][][] = []
  for (const each of [undefined, agent]) {
    const given: unknown[][] = []
    for (const verb of VERBS) given.push(shape(await exec(host, each, by, verb, call)))
    answers.push(given)
  }
  t.same(answers[1], answers[0])
  const status = await agent.status()
  t.same(status.verbs, {}, 'the agent did nothing')
  t.equal(status.refused, VERBS.length, 'but was asked')
  await nothingLeft(t, host, [name])
  return answers[0]?.[0] ?? []
}

for (const [where, by] of Object.entries(ELSEWHERE)) {
  t.test(`${where}: the answer is the cold one`, async (t) => {
    const [code, stdout] = await answeredCold(t, async () => ({ by }))
    // A user namespace of its own has no power over the network namespace.
    t.equal(code, where === 'another user namespace' ? 1 : 0, String(stdout))
  })
}

t.test('a chroot with the files of the machine: the answer is the cold one', async (t) => {
  const [code, stdout] = await answeredCold(t, async (host, netns) => {
    const root = join(host.dir, 'root')
    mkdirSync(root)
    // Not all that is mounted: a copy of a namespace's mount would keep its name from being removed.
    for (const place of ['/', dirname(host.dir), resolve(dirname(PLUGIN), '../..')]) {
      t.equal((await run('mount', ['--bind', '--make-private', place, join(root, place)])).code, 0)
    }
    t.teardown(() => run('umount', ['--lazy', '--recursive', root]))
    t.equal((await run('mount', ['-t', 'proc', 'proc', join(root, 'proc')])).code, 0)
    const inside = start('sleep', { args: ['60'], netns })
    t.teardown(() => inside.child.kill('SIGKILL'))
    const path = `/proc/${inside.child.pid}/ns/net`
    await until('it is in the container', () => statSync(path).ino === statSync(netns).ino)
    return { by: ['chroot', root], netns: path }
  })
  t.equal(code, 0, String(stdout))
})
