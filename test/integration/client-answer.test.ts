/** The native client and an agent that answers: what it asks, and that the answer comes through byte by byte. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { ClientPlace, said, start, wentCold } from './rig/client-place.ts'
import { newHost } from './rig/host.ts'
import { type Answer, answering, encode, ScriptedAgent } from './rig/scripted-agent.ts'

const O_CLOEXEC = 0o2000000

const place = new ClientPlace(t)
const agent = await ScriptedAgent.start(t, answering({}))
place.env.NUGATOR_AGENT_SOCKET = agent.path

t.test('it is a native program', async (t) => {
  t.equal(readFileSync(place.client).toString('latin1', 1, 4), 'ELF')
})

t.test('stdout, stderr and the exit status are the answer’s', async (t) => {
  const binary = Buffer.concat([Buffer.from([0, 255, 10, 0]), randomBytes(3000)])
  const big = randomBytes(1 << 20)
  const answers: Record<string, Answer> = {
    nothing: {},
    'a result': { stdout: '{\n}\n' },
    'an error': { stdout: '{"code":7}', status: 1 },
    'stderr only': { stderr: 'about\n' },
    'the highest status': { status: 255 },
    binary: { stdout: binary, stderr: Buffer.from(binary).reverse(), status: 3 },
    '1 MiB each': { stdout: big, stderr: Buffer.from(big).reverse() },
  }
  for (const [what, answer] of Object.entries(answers)) {
    agent.script = answering(answer)
    const done = await place.run('ADD', { stdin: '{}' })
    t.equal(done.code, answer.status ?? 0, `${what}: status ${done.signal ?? ''}`)
    t.ok(done.stdout.equals(Buffer.from(answer.stdout ?? '')), `${what}: stdout`)
    t.ok(done.stderr.equals(Buffer.from(answer.stderr ?? '')), `${what}: stderr`)
  }
})

t.test('an answer that comes byte by byte', async (t) => {
  agent.script = async (socket) => {
    for (const byte of encode({ stdout: 'slow', stderr: 'ly', status: 2 })) {
      socket.write(Buffer.of(byte))
      await pause(1)
    }
    socket.end()
  }
  const done = await place.run('DEL')
  t.match([done.code, said(done)], [2, 'slow ly'])
})

t.test('an agent that answers and does not hang up', async (t) => {
  agent.script = (socket) => socket.write(encode({ stdout: 'done', status: 4 }))
  const done = await place.run('ADD')
  t.match([done.code, said(done)], [4, 'done '])
})

t.test('the environment and stdin are sent as they are', async (t) => {
  agent.script = answering({})
  const env = { CNI_ARGS: 'A=1;B=\u00ff', TRACEPARENT: '00-x=y', EMPTY: '', 'odd.name': 'kept' }
  for (const stdin of [Buffer.alloc(0), Buffer.from('{"a":"\0é"}'), randomBytes(16 << 20)]) {
    agent.frames.length = 0
    t.match(await place.run('CHECK', { env, stdin }), { code: 0 })
    const [frame] = agent.frames
    if (frame === undefined) throw new Error('the agent was not asked')
    t.match(frame, { magic: 'NGAT', version: 1, flags: 0, netns: -1 })
    t.ok(frame.stdin.equals(stdin), `${stdin.length} bytes of stdin`)
    const sent = Object.entries({ ...place.env, CNI_COMMAND: 'CHECK', ...env })
    const bytes = sent.map(([name, value]) => Buffer.from(`${name}=${value}`).toString('latin1'))
    t.same([...frame.env].sort(), bytes.sort())
    const ago = bootTime() - Number(frame.began) / 1e6
    t.ok(Math.abs(ago) < 2000, `it began ${ago} ms ago`)
    const allowed = Number(frame.deadline - frame.began) / 1e6
    t.ok(allowed >= 10_000 && allowed < 13_000, `10 s for CHECK: ${allowed}`)
  }
})

t.test('how long the agent has', async (t) => {
  agent.script = answering({})
  const wanted: [string, string | undefined, number][] = [
    ['ADD', undefined, 60_000],
    ['ADD', '300', 300],
    ['ADD', '86400000', 86_400_000],
    ...['', '0', '-5', '86400001', '99999999999999999999', '5x', ' 5', '1e3'].map(
      (text): [string, string, number] => ['ADD', text, 60_000],
    ),
    ['DEL', '300', 300],
    ['DEL', '20000', 10_000],
  ]
  for (const [command, text, ms] of wanted) {
    agent.frames.length = 0
    await place.run(command, { env: { NUGATOR_DEADLINE_MS: text } })
    const [frame] = agent.frames
    const allowed = frame === undefined ? Number.NaN : Number(frame.deadline - frame.began) / 1e6
    t.ok(allowed >= ms && allowed < ms + 250, `${command} with ${text}: ${allowed}`)
  }
})

t.test('the descriptors lead to the namespaces, as long as the agent needs them', async (t) => {
  const host = newHost(t)
  const container = host.netns('ctr')
  const inside = start('sleep', { args: ['60'], netns: container.path })
  t.teardown(() => inside.child.kill('SIGKILL'))
  const byProc = `/proc/${inside.child.pid}/ns/net`
  const { ino } = statSync(container.path)
  while (statSync(byProc).ino !== ino) await pause(1)
  for (const path of [container.path, byProc, `/run/netns/../../run/netns/${container.name}`]) {
    let found: unknown
    const run = place.start('ADD', { netns: host.path, env: { CNI_NETNS: path } })
    agent.script = async (socket, { own, netns, flags }) => {
      await pause(50)
      const inode = (fd: number) => {
        const at = openSync(`/proc/${run.child.pid}/fd/${fd}`, 'r')
        const found = fstatSync(at).ino
        closeSync(at)
        return found
      }
      found = [flags, inode(own), inode(netns)]
      for (const fd of [3, own, netns]) {
        const info = readFileSync(`/proc/${run.child.pid}/fdinfo/${fd}`, 'utf8')
        t.ok(
          Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '', 8) & O_CLOEXEC,
          `${fd} is closed on exec`,
        )
      }
      socket.end(encode({}))
    }
    t.match(await run.ended, { code: 0 })
    t.same(found, [1, statSync(host.path).ino, ino], path)
  }
})

t.test(
  'a CNI_NETNS that is none is the agent’s to refuse, unless it means something else there',
  async (t) => {
    agent.script = answering({ status: 5 })
    const fifo = join(place.dir, 'fifo')
    const asked = ['/nowhere', '/', fifo, '/etc/passwd', `/${'x'.repeat(5000)}`, '/run/netns/gone']
    await start('mkfifo', { args: [fifo], env: place.env }).ended
    for (const CNI_NETNS of asked) {
      agent.frames.length = 0
      t.match(await place.run('DEL', { env: { CNI_NETNS } }), { code: 5 }, CNI_NETNS.slice(0, 40))
      t.match(agent.frames[0], { flags: 0, netns: -1 })
    }
    agent.frames.length = 0
    for (const CNI_NETNS of [
      'gone',
      './gone',
      '/proc/self/fd/99',
      '/proc/thread-self/x',
      '//proc/self/x',
      '/dev/fd/9',
    ]) {
      wentCold(t, await place.run('DEL', { env: { CNI_NETNS }, stdin: 'x' }), 'x', CNI_NETNS)
    }
    t.same(agent.frames, [])
  },
)

t.test('where the agent is looked for', async (t) => {
  agent.script = answering({ status: 6 })
  const dir = join(place.dir, 'run')
  const socket = join(dir, 'agent.sock')
  mkdirSync(dir)
  symlinkSync(agent.path, socket)
  const none = { NUGATOR_AGENT_SOCKET: undefined }
  t.match(
    await place.run('ADD', { env: { ...none, NUGATOR_RUN_DIR: dir } }),
    { code: 6 },
    'the run directory',
  )
  const elsewhere = { NUGATOR_AGENT_SOCKET: agent.path, NUGATOR_RUN_DIR: '/nowhere' }
  t.match(await place.run('ADD', { env: elsewhere }), { code: 6 }, 'the socket comes first')
  const never = { NUGATOR_AGENT_SOCKET: '', NUGATOR_RUN_DIR: dir }
  wentCold(t, await place.run('ADD', { env: never, stdin: 'a' }), 'a', 'an empty name is no agent')
  unlinkSync(socket)
  const long = { ...none, NUGATOR_RUN_DIR: `/${'r'.repeat(200)}` }
  wentCold(t, await place.run('ADD', { env: long, stdin: 'a' }), 'a', 'too long for a socket')
})

t.test('VERSION and a person’s commands are none of the agent’s business', async (t) => {
  agent.connections = 0
  wentCold(t, await place.run('VERSION', { stdin: 'x' }), 'x', 'VERSION')
  wentCold(t, await place.run('', { stdin: 'x' }), 'x', 'an empty command')
  const person = await place.run(undefined, { args: ['netns', 'a b'], stdin: 'typed' })
  t.match([person.code, said(person)], [42, 'typed cold netns a b\n'])
  t.equal(agent.connections, 0)
})

/** CLOCK_BOOTTIME in milliseconds. */
function bootTime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000
}
