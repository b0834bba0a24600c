/** Whatever is wrong with the agent, the client becomes the cold path, with the same stdin. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ClientPlace, type Ended, said, start, wentCold } from './rig/client-place.ts'
import { ListeningProcess } from './rig/listening-process.ts'
import { type Answer, answering, encode, type Script, ScriptedAgent } from './rig/scripted-agent.ts'

const STDIN = '{"name":"x"}\n'
const place = new ClientPlace(t)
const agent = await ScriptedAgent.start(t, answering({}))
place.env.NUGATOR_AGENT_SOCKET = agent.path

/** Whatever the verb, whatever the size. */
async function cold(t: Test, why: string, env: Record<string, string> = {}): Promise<void> {
  for (const command of ['ADD', 'DEL']) {
    for (const stdin of ['', STDIN, Buffer.alloc(1 << 20, 'x')]) {
      wentCold(
        t,
        await place.run(command, { stdin, env }),
        stdin,
        `${command}, ${stdin.length} bytes: ${why}`,
      )
    }
  }
}

/** Answers and does not hang up: one must not wait for more. */
const saying =
  (answer: Answer): Script =>
  (socket) =>
    socket.write(encode(answer))

t.test('no agent is there', async (t) => {
  const at = (name: string) => ({ NUGATOR_AGENT_SOCKET: join(place.dir, name) })
  const gone = await ListeningProcess.start(t, join(place.dir, 'stale'))
  await gone.kill()
  writeFileSync(join(place.dir, 'file'), '')
  mkdirSync(join(place.dir, 'directory'))
  await start('mkfifo', { args: [join(place.dir, 'fifo')], env: place.env }).ended
  for (const name of ['nothing', 'stale', 'file', 'directory', 'fifo', 'file/x'])
    await cold(t, name, at(name))
})

t.test('an agent that says so, or says something else', async (t) => {
  const over = (64 << 20) + 1
  const answers: Record<string, Script> = {
    'go cold': answering({ verdict: 1 }),
    'go cold, with an answer': answering({ verdict: 1, stdout: 'no', stderr: 'no' }),
    'another verdict': answering({ verdict: 2, stdout: 'no' }),
    'a later version': answering({ version: 2, stdout: 'no' }),
    'version 0': answering({ version: 0, stdout: 'no' }),
    'another magic': answering({ magic: 'NGAX', stdout: 'no' }),
    HTTP: (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'),
    'a negative status': answering({ status: -1, stdout: 'no' }),
    'a status of 256': answering({ status: 256, stdout: 'no' }),
    'a stdout too long': saying({ stdoutLength: over, stdout: 'no' }),
    'a stderr too long': saying({ stderrLength: over, stdout: 'no' }),
    'lengths of 4 GiB': saying({ stdoutLength: 2 ** 32 - 1, stderrLength: 2 ** 32 - 1 }),
    'lengths that add up to nothing': saying({ stdoutLength: 2 ** 31, stderrLength: 2 ** 31 }),
    'a reset': (socket) => socket.destroy(),
  }
  for (const [why, script] of Object.entries(answers)) {
    agent.script = script
    await cold(t, why)
  }
})

t.test('an answer that ends too soon, at every byte', async (t) => {
  const whole = encode({ stdout: 'out', stderr: 'err' })
  for (let length = 0; length < whole.length; length++) {
    agent.script = (socket) => socket.end(whole.subarray(0, length))
    const done = await place.run('ADD', { stdin: STDIN })
    wentCold(t, done, STDIN, `${length} bytes`)
  }
  const big = encode({ stdout: Buffer.alloc(1 << 20, 'x') })
  agent.script = (socket) => socket.end(big.subarray(0, big.length - 1))
  await cold(t, 'all but one of 1 MiB')
})

t.test('an agent that hangs up before it has the request', async (t) => {
  t.teardown(() => {
    agent.greet = () => {}
  })
  const soon: Record<string, (socket: Socket) => unknown> = {
    'at once': (socket) => socket.destroy(),
    'at the first bytes': (socket) => socket.once('data', () => socket.destroy()),
    'having said go cold': (socket) => socket.end(encode({ verdict: 1 })),
  }
  for (const [why, greet] of Object.entries(soon)) {
    agent.greet = greet
    agent.script = () => {}
    await cold(t, why)
  }
})

t.test('an agent that is somebody else', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  chmodSync(dir, 0o777)
  await ListeningProcess.start(t, join(dir, 'agent.sock'), { uid: 65534 })
  await cold(t, 'nobody’s socket', { NUGATOR_AGENT_SOCKET: join(dir, 'agent.sock') })
})

t.test('more than the agent takes', async (t) => {
  agent.script = answering({ stdout: 'no' })
  agent.frames.length = 0
  const megabytes = (count: number, more = 0) => Buffer.alloc((count << 20) + more, 'x')
  for (const stdin of [megabytes(16, 1), megabytes(64)]) {
    wentCold(t, await place.run('ADD', { stdin }), stdin, `${stdin.length} bytes of stdin`)
  }
  const pieces = Array.from({ length: 3 }, (_, i) => [`BIG${i}`, 'y'.repeat(100_000)] as const)
  await cold(t, 'an environment of 300,000 bytes', Object.fromEntries(pieces))
  t.same(agent.frames, [])
  const refused = await place.run('ADD', { stdin: megabytes(64, 1) })
  t.match([refused.code, JSON.parse(refused.stdout.toString())], [1, { code: 5, msg: /too long/ }])
})

/** A cold path that tells its surroundings, and an agent that sends there. */
async function told(script: string, more: Parameters<ClientPlace['run']>[1]): Promise<Ended> {
  agent.script = answering({ verdict: 1 })
  const other = new ClientPlace(t, script)
  return other.run('ADD', { stdin: STDIN, ...more, env: { ...place.env, ...more?.env } })
}

t.test('the cold path has the same environment, arguments and descriptors', async (t) => {
  const env = { CNI_ARGS: 'a=b', 'odd.name': 'ü', EMPTY: '' }
  const variables = await told('exec env', { env })
  t.match(variables.stdout.toString(), /^CNI_ARGS=a=b$/m)
  t.match(variables.stdout.toString(), /^EMPTY=$/m)
  const list = 'cd /proc/self/fd && exec ls'
  const files = await told(list, {})
  const direct = await start('/bin/sh', { args: ['-c', list], env: place.env }).ended
  t.equal(said(files), said(direct), 'nothing of the client’s is open')
  const args = Array.from({ length: 15 }, (_, i) => String(i % 10).repeat(100_000))
  const many = await told(`printf '%s\\n' "$@"`, { args })
  t.ok(many.stdout.equals(Buffer.from(`${args.join('\n')}\n`)), 'arguments of 1.5 MB')
  const ignored = await told('grep SigIgn /proc/self/status', {})
  t.match(ignored.stdout.toString(), /0{16}/, 'no signal is ignored')
  t.equal(ignored.stderr.toString(), '')
})

t.test('stdin that is a file is read from where it stands', async (t) => {
  const file = join(place.dir, 'conf')
  writeFileSync(file, `first\n${STDIN}`)
  const skipped = 'dd bs=6 count=1 of=/dev/null 2>/dev/null'
  const args = ['-c', `{ ${skipped}; exec ${place.client}; } <${file}`]
  const env = { ...place.env, CNI_COMMAND: 'ADD' }
  wentCold(t, await start('/bin/sh', { args, env }).ended, STDIN, 'the second line')
})

t.test('closed standard descriptors', async (t) => {
  agent.script = answering({ stdout: 'no', status: 9 })
  agent.connections = 0
  for (const closed of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
    const args = ['-c', `exec ${place.client} ${closed}`]
    const done = await start('/bin/sh', { args, env: { ...place.env, CNI_COMMAND: 'ADD' }, stdin: STDIN })
      .ended
    t.equal(done.code, 42, `${closed}: ${said(done)}`)
  }
  t.equal(agent.connections, 0)
})

t.test('a place without a cold path', async (t) => {
  const alone = new ClientPlace(t)
  rmSync(join(alone.dir, 'nugator.d'), { recursive: true })
  const env = { NUGATOR_AGENT_SOCKET: agent.path }
  agent.script = answering({ stdout: 'by the agent' })
  t.equal(said(await alone.run('ADD', { env })), 'by the agent ', 'does as long as there is an agent')
  agent.script = answering({ verdict: 1 })
  const done = await alone.run('ADD', { env, stdin: STDIN })
  t.match([done.code, JSON.parse(done.stdout.toString())], [1, { code: 999, msg: 'nugator.d is missing' }])
  const person = await alone.run(undefined, { args: ['version'] })
  t.match([person.code, said(person)], [1, /^ nugator: nugator.d is missing: /])
})
