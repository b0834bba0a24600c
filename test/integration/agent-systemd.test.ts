/** What systemd asks of a service: the socket may be its own, and it is told how the agent does. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { FakeIpam, RESULT } from './rig/cni/ipam.ts'
import { Datagrams } from './rig/datagrams.ts'
import { newHost } from './rig/host.ts'
import { until } from './rig/under-way.ts'

t.test('a socket that systemd listens on: the first call starts the agent', async (t) => {
  const host = newHost(t)
  const socket = join(host.dir, 'activated.sock')
  const passed = ['PATH', 'NUGATOR_STATE_DIR', 'NUGATOR_RUN_DIR', 'NUGATOR_AGENT_SOCKET']
  const by = ['systemd-socket-activate', '-l', socket, ...passed.flatMap((name) => ['-E', name])]
  const agent = Agent.begin(t, host, { by, socket })
  await until('systemd listens', () => existsSync(socket))
  const { name, ...container } = newContainer(host)
  const ipam = new FakeIpam(host)
  ipam.reply('ADD', { script: 'ls -l /proc/self/fd >fds; env >env', stdout: RESULT })
  const conf = netconf(host, { ipam: { type: ipam.type } })
  const call = { ...container, env: { NUGATOR_AGENT_SOCKET: socket }, path: ipam.path, conf }
  t.notMatch(agent.log, /"ready"/, 'it has not been started')
  added(t, await host.cni('ADD', call))
  const lines = agent.log.split('\n').filter((line) => line.startsWith('{'))
  t.match(JSON.parse(lines[0] ?? ''), { event: 'ready', pid: agent.pid, socket: 'of systemd' })
  t.equal((await agent.status()).verbs.ADD?.count, 1, 'the call that started it was answered by it')
  t.notMatch(ipam.note('fds'), / ([3-9]|\d\d+) -> socket:/, 'an IPAM plugin does not inherit the socket')
  t.notMatch(ipam.note('env'), /LISTEN_/, 'nor the variables that tell of it')
  silent(t, await host.cni('DEL', call))
  t.equal(await agent.stop(), 0)
  t.ok(existsSync(socket), 'the socket is not the agent’s to remove')
  await nothingLeft(t, host, [name])
})

for (const path of ['notify.sock', '@ngt-notify']) {
  t.test(`it tells the service manager at ${path}`, async (t) => {
    const host = newHost(t)
    const socket = path.startsWith('@') ? `${path}-${host.id}` : join(host.dir, path)
    const heard = new Datagrams(t, socket)
    // Names that are no files are those of a network namespace.
    const netns = path.startsWith('@') ? `/proc/${process.pid}/ns/net` : host.path
    const agent = await Agent.start(t, host, { netns, env: { NOTIFY_SOCKET: socket } })
    t.same(heard.received(), ['READY=1'], 'once it is ready')
    silent(t, await host.cni('STATUS', { env: agent.env, conf: netconf(host, { cniVersion: '1.1.0' }) }))
    t.same(heard.received(), [])
    t.equal(await agent.stop(), 0)
    t.same(heard.received(), ['STOPPING=1'])
  })
}

t.test('a service manager that does not listen keeps it from nothing', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host, { env: { NOTIFY_SOCKET: join(host.dir, 'nobody') } })
  silent(t, await host.cni('STATUS', { env: agent.env, conf: netconf(host, { cniVersion: '1.1.0' }) }))
  t.equal((await agent.status()).verbs.STATUS?.count, 1)
  t.equal(await agent.stop(), 0)
})
