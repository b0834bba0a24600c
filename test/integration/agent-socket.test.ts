/** What may come through the agent's socket: it answers calls all the same, and keeps nothing of the rest. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { errorCode } from '../../src/netlink/socket.ts'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { type Host, newHost } from './rig/host.ts'
import { encodeRequest, RawClient, type Request, say, verdictOf } from './rig/raw-client.ts'
import { until } from './rig/under-way.ts'

t.jobs = 3 // most of it is waiting

function rss(agent: Agent): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}

const descriptors = ({ pid }: Agent): number => readdirSync(`/proc/${pid}/fd`).length

/** A real call is answered by the agent, and soon. */
async function serves(t: Test, host: Host, agent: Agent): Promise<void> {
  const before = (await agent.status()).verbs
  const { name, ...container } = newContainer(host, `ctr${performance.now()}`)
  const call = { ...container, env: agent.env, conf: netconf(host) }
  const start = performance.now()
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  t.ok(performance.now() - start < 3000, 'soon')
  const { verbs } = await agent.status()
  for (const verb of ['ADD', 'DEL']) {
    t.equal(verbs[verb]?.count, (before[verb]?.count ?? 0) + 1, `the agent did the ${verb}`)
  }
  await nothingLeft(t, host, [name])
  host.deleteNetns(name)
}

async function scene(t: Test): Promise<{ host: Host; agent: Agent }> {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  await serves(t, host, agent)
  return { host, agent }
}

t.test('what is no request', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const before = descriptors(agent)
  const whole = encodeRequest({ env: { CNI_COMMAND: 'STATUS' }, stdin: '{}' })
  const version = (version: number): Request => ({ version, env: { CNI_COMMAND: 'STATUS' }, stdin: '{}' })
  const nonsense: Record<string, Buffer | string> = {
    'a letter': 'x',
    zeros: Buffer.alloc(100),
    'half a magic, then something else': 'NGxx',
    'another magic': encodeRequest({ magic: 'NGAX' }),
    'version 0': encodeRequest(version(0)),
    'version 2': encodeRequest(version(2)),
    'version 65535': encodeRequest(version(65535)),
    'an environment too long': encodeRequest({ envLength: 256 * 1024 + 1 }),
    'a stdin too long': encodeRequest({ stdinLength: 16 * 1024 * 1024 + 1 }),
    'lengths of 4 GiB': encodeRequest({ envLength: 2 ** 32 - 1, stdinLength: 2 ** 32 - 1 }),
    'another protocol': 'POST / HTTP/1.1\r\nHost: agent\r\n\r\n',
    TLS: Buffer.from('160301020001', 'hex'),
    'a megabyte of it': Buffer.alloc(1 << 20, 'x'),
  }
  for (const [what, bytes] of Object.entries(nonsense)) {
    const heard = await say(agent.socket, bytes)
    t.equal(heard.said.length, 0, `${what}: no answer`)
    t.not(heard.closed, undefined, `${what}: it hangs up`)
  }
  for (let length = 0; length < whole.length; length++) {
    const client = await RawClient.open(agent.socket)
    client.send(whole.subarray(0, length)).close()
  }
  await until('the descriptors are back', () => descriptors(agent) <= before)
  t.same(agent.lines('error'), [])
  await serves(t, host, agent)
})

t.test('descriptors that are not what they should be', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const fifo = join(host.dir, 'fifo')
  spawnSync('mkfifo', [fifo])
  const opened = [
    openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK), // nobody writes: opened again it would wait
    openSync(host.dir, 'r'),
    openSync(import.meta.filename, 'r'),
    openSync('/proc/self/ns/mnt', 'r'),
  ]
  t.teardown(() => {
    for (const fd of opened) closeSync(fd)
  })
  const own = openSync('/proc/self/ns/net', 'r')
  opened.push(own)
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/usr/lib/cni', NUGATOR_RUN_DIR: host.runDir }
  const stdin = JSON.stringify(netconf(host, { cniVersion: '1.1.0', ipam: undefined }))
  t.equal(verdictOf(await say(agent.socket, encodeRequest({ own, env, stdin }))), 0, 'a true one is answered')
  for (const wrong of [-1, -2, 99_999, 2 ** 31 - 1, ...opened.slice(0, 4)]) {
    for (const request of [{ own: wrong }, { own, netns: wrong, flags: 1 }]) {
      const add = {
        ...env,
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'c',
        CNI_IFNAME: 'eth0',
        CNI_NETNS: '/nowhere',
      }
      const heard = await say(agent.socket, encodeRequest({ ...request, env: add, stdin }), 3000)
      t.not(heard.closed, undefined, `${JSON.stringify(request)}: it is not held up`)
      if (verdictOf(heard) === 0) t.not(heard.said.readInt32LE(8), 0, 'refused')
    }
  }
  t.same(agent.lines('error'), [])
  await serves(t, host, agent)
})

t.test('a byte a second', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const requests = {
    'of a call': encodeRequest({ env: { CNI_COMMAND: 'STATUS' }, stdin: '{}' }),
    'of a header that never ends': Buffer.from(`GET /status HTTP/1.1\r\nX: ${'a'.repeat(1000)}`),
    'of nothing': Buffer.alloc(0),
  }
  const slow = Object.entries(requests).map(async ([what, bytes]) => {
    const client = await RawClient.open(agent.socket)
    client.send(bytes.subarray(0, 24))
    for (let at = 24; at < 36 && client.isOpen; at++) {
      client.send(bytes.subarray(at, at + 1))
      await pause(1000)
    }
    t.not((await client.heard(0)).closed, undefined, `${what}: it is not waited for`)
    client.close()
  })
  await pause(500)
  await serves(t, host, agent)
  await Promise.all(slow)
})

t.test('thousands who say nothing', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const [files, memory] = [descriptors(agent), rss(agent)]
  const idle: RawClient[] = []
  while (idle.length < 3000) {
    try {
      idle.push(await RawClient.open(agent.socket))
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error
      await pause(1) // it has not come to accept the last ones yet
      continue
    }
    const n = idle.length
    if (n % 3 === 0) idle.at(-1)?.send('GET ')
    if (n % 3 === 1) idle.at(-1)?.send('NGAT')
  }
  t.ok(descriptors(agent) < files + 1100, `it holds ${descriptors(agent)} descriptors`)
  const { name, ...container } = newContainer(host)
  const call = { ...container, env: agent.env, conf: netconf(host) }
  const start = performance.now()
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  t.ok(performance.now() - start < 5000, 'whoever comes meanwhile is not held up')
  await nothingLeft(t, host, [name])
  await until('they are all turned away', () => idle.every(({ isOpen }) => !isOpen))
  await until('the descriptors are back', () => descriptors(agent) <= files)
  t.ok(rss(agent) < memory + 64, `${Math.round(memory)} MiB before, ${Math.round(rss(agent))} after`)
  await serves(t, host, agent)
})

t.test('many who send a great deal, and do not end', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const files = descriptors(agent)
  const length = 16 * 1024 * 1024
  const part = Buffer.concat([
    encodeRequest({ env: { CNI_COMMAND: 'STATUS' }, stdinLength: length }),
    Buffer.alloc(length - 1000),
  ])
  const senders = await Promise.all(Array.from({ length: 24 }, () => RawClient.open(agent.socket)))
  for (const sender of senders) sender.send(part)
  let most = 0
  for (let n = 0; n < 40; n++) {
    most = Math.max(most, rss(agent))
    await pause(50)
  }
  t.ok(most < 350, `at most ${Math.round(most)} MiB`)
  for (const sender of senders) sender.close()
  await until('they are gone', () => descriptors(agent) <= files)
  await serves(t, host, agent)
})

t.test('verbs that nobody knows', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const own = openSync('/proc/self/ns/net', 'r')
  t.teardown(() => closeSync(own))
  const stdin = JSON.stringify(netconf(host, { cniVersion: '1.1.0', ipam: undefined }))
  for (let n = 0; n < 300; n++) {
    const env = { CNI_COMMAND: `NO"SUCH"\n${n}`, CNI_PATH: '/usr/lib/cni' }
    t.equal(verdictOf(await say(agent.socket, encodeRequest({ own, env, stdin }))), 0)
  }
  const { verbs } = await agent.status()
  t.ok(Object.keys(verbs).length < 10, `${Object.keys(verbs).length} verbs are counted`)
  t.ok((await agent.page('/metrics')).split('\n').length < 60, 'and told')
})

t.test('whoever is not root', { buffered: true }, async (t) => {
  const { host, agent } = await scene(t)
  const before = await agent.status()
  const script = `const socket = require('node:net').connect(process.argv[1])
    socket.on('connect', () => { console.log('connected'); socket.write('GET /status HTTP/1.1\\r\\n\\r\\n') })
    socket.on('data', (data) => console.log('told ' + data))
    socket.on('error', ({ code }) => console.log(code))`
  const nobody = () => {
    const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
    const done = spawnSync('setpriv', [...user, process.execPath, '-e', script, agent.socket], {
      encoding: 'utf8',
    })
    return done.stdout + done.stderr
  }
  spawnSync('chmod', ['755', host.dir])
  t.equal(nobody(), 'EACCES\n', 'the directory is closed to him')
  spawnSync('chmod', ['777', join(host.dir, 'agent')])
  t.equal(nobody(), 'EACCES\n', 'so is the socket')
  spawnSync('chmod', ['777', agent.socket])
  t.match(nobody(), /^connected\n(EPIPE\n|ECONNRESET\n)*$/, 'and were it open, he is told nothing')
  t.match((await agent.says('refused')).at(-1), { why: /not root/ })
  t.same((await agent.status()).verbs, before.verbs)
  await serves(t, host, agent)
})
