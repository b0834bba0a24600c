/** Paths that mean something else to the agent than to the caller: such a call is not done by the agent. */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf, peerconf } from './rig/cni/conf.ts'
import { type CommandResult, newHost, PLUGIN, REFERENCE_PLUGINS, run } from './rig/host.ts'

t.test('a CNI_NETNS that only the caller can see', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, netns } = newContainer(host)
  const hidden = join(host.dir, 'hidden')
  const script = [
    `set -e; mkdir -p ${hidden}; mount -t tmpfs tmpfs ${hidden}`,
    `touch ${hidden}/ns; mount --bind ${netns} ${hidden}/ns`,
    `for verb in ADD DEL; do echo '${JSON.stringify(netconf(host))}' | CNI_COMMAND=$verb ${PLUGIN}; done`,
  ]
  const by = ['unshare', '--mount', 'sh', '-c', script.join('\n')]
  const env = host.env({ command: 'ADD', netns: `${hidden}/ns`, env: agent.env })
  const done = await run('nsenter', [`--net=${host.path}`, ...by], { env })
  t.equal(done.code, 0, done.stdout + done.stderr)
  t.match(done.stdout, `"sandbox": "${hidden}/ns"`)
  t.equal((await agent.status()).refused, 2)
  await nothingLeft(t, host, [name])
})

interface Case {
  readonly env?: Record<string, string>
  /** Text, or a value that is sent as JSON. */
  readonly conf: unknown
  /** Where it runs; the host's namespace if nothing is said. */
  readonly netns?: string
  /** The client can tell by itself. */
  readonly unasked?: true
}

t.test('paths of the working directory, and of the process itself', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const other = host.netns('other')
  const { name, ...container } = newContainer(host)
  symlinkSync(REFERENCE_PLUGINS, join(host.dir, 'plugins'))
  const ipam = { ...hostLocal(host), dataDir: 'ipam' }
  const itself = { netns: other.path, conf: peerconf(host, '/proc/self/ns/net') }
  const text = (conf: unknown, from: string, to: string) => JSON.stringify(conf).replaceAll(from, to)
  const cases: Record<string, Case> = {
    CNI_PATH: {
      env: { CNI_PATH: './plugins' },
      conf: netconf(host, { ipam: { ...hostLocal(host), exec: true } }),
    },
    dataDir: { conf: netconf(host, { ipam }) },
    'dataDir, otherwise written': { conf: text(netconf(host, { ipam }), 'dataDir', 'data\\u0044ir') },
    NUGATOR_STATE_DIR: { env: { NUGATOR_STATE_DIR: 'state' }, conf: netconf(host) },
    NUGATOR_RUN_DIR: { env: { NUGATOR_RUN_DIR: 'run' }, conf: netconf(host) },
    CNI_NETNS: { env: { CNI_NETNS: `../..${container.netns}` }, conf: netconf(host) },
    'the peer': itself,
    'the peer, otherwise written': { ...itself, conf: text(itself.conf, '/', '\\/') },
    'the peer, by a detour': { ...itself, conf: peerconf(host, '/proc/./self/ns/net') },
  }
  for (const [what, { env: more, conf, netns = host.path }] of Object.entries(cases)) {
    const before = await agent.status()
    const env = { ...host.env({ ...container, env: agent.env }), ...more }
    const input = typeof conf === 'string' ? conf : JSON.stringify(conf)
    for (const CNI_COMMAND of ['ADD', 'DEL']) {
      const options = { env: { ...env, CNI_COMMAND }, input, cwd: host.dir }
      const done = await run('nsenter', [`--net=${netns}`, PLUGIN], options)
      t.equal(done.code, 0, `${CNI_COMMAND} with ${what}: ${done.stdout}${done.stderr}`)
      if (CNI_COMMAND === 'ADD') t.equal((await host.links(name)).length, 1, `${what}: it has its interface`)
    }
    if (what !== 'CNI_NETNS')
      t.equal((await agent.status()).refused, before.refused + 2, `${what}: went cold`)
    await nothingLeft(t, host, [name, other.name])
  }
})

function shape({ code, stdout, stderr }: CommandResult): unknown[] {
  return [code, stdout, stderr]
}

t.test('a CNI_NETNS by way of /proc', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host)
  const input = JSON.stringify(conf)
  const own = async (env: Record<string, string>) => {
    const call = { conf, netns: '/proc/self/ns/net', command: 'ADD', env }
    return shape(await run('nsenter', [`--net=${host.path}`, PLUGIN], { env: host.env(call), input }))
  }
  const cold = await own({ NUGATOR_AGENT_SOCKET: '' })
  t.same(await own(agent.env), cold, 'its own namespace is refused alike')
  t.equal(cold[0], 1)
  const by = ['sh', '-c', `exec ${PLUGIN} 9<${container.netns}`]
  for (const command of ['ADD', 'DEL']) {
    const env = host.env({ conf, netns: '/proc/self/fd/9', command, env: agent.env })
    const done = await run('nsenter', [`--net=${host.path}`, ...by], { env, input })
    t.equal(done.code, 0, `${command} of a descriptor of its own: ${done.stdout}`)
    t.equal((await host.links(name)).length, command === 'ADD' ? 1 : 0)
  }
  await nothingLeft(t, host, [name])
})
