/** The native client never waits without an end: agents that hang, stdin that stays open, readers that are slow or gone. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ClientPlace, type Ended, type StartOptions, said, start, wentCold } from './rig/client-place.ts'
import { ListeningProcess } from './rig/listening-process.ts'
import { answering, encode, type Script, ScriptedAgent } from './rig/scripted-agent.ts'

const STDIN = '{"name":"x"}\n'
const SHORT = { NUGATOR_DEADLINE_MS: '300' }
/** What a busy machine may add. */
const SLACK_MS = 2500

const place = new ClientPlace(t)
const agent = await ScriptedAgent.start(t, () => {})
place.env.NUGATOR_AGENT_SOCKET = agent.path

function between(t: Test, done: Ended, from: number, to: number): void {
  t.ok(done.took >= from && done.took < to, `after ${Math.round(done.took)} ms of ${from} to ${to}`)
}

/** What a runtime is told when nothing is known. */
const UNKNOWN = `{
    "cniVersion": "1.1.0",
    "code": 11,
    "msg": "the agent did not answer in time",
    "details": "whether anything was done is not known: DEL it"
}
`

/** ADD ends in code 11 and everything else cold, after 300 ms. */
async function givesUp(t: Test, why: string, options: StartOptions = {}): Promise<void> {
  const { stdin = STDIN } = options
  const env = { ...SHORT, ...options.env }
  const add = await place.run('ADD', { stdin, env })
  t.equal(add.code, 1, why)
  t.equal(said(add), `${UNKNOWN} `, why)
  between(t, add, 300, 300 + SLACK_MS)
  for (const command of ['DEL', 'CHECK', 'STATUS', 'GC', 'NOPE']) {
    const done = await place.run(command, { stdin, env })
    if (stdin !== 'open') wentCold(t, done, stdin, `${command}: ${why}`)
    between(t, done, 300, 300 + SLACK_MS)
  }
}

let frozenOnes = 0

async function frozen(t: Test, backlog = 100): Promise<ListeningProcess> {
  const process = await ListeningProcess.start(t, join(place.dir, `frozen${frozenOnes++}`), { backlog })
  process.stop()
  return process
}

t.test('an agent that is frozen', async (t) => {
  const env = { NUGATOR_AGENT_SOCKET: (await frozen(t)).path }
  await givesUp(t, 'frozen', { env })
  await givesUp(t, 'frozen, and more to send than the kernel keeps', { env, stdin: randomBytes(4 << 20) })
})

t.test('a frozen agent with a full backlog', async (t) => {
  const process = await frozen(t, 1)
  await process.fill()
  for (const command of ['ADD', 'DEL']) {
    const env = { NUGATOR_AGENT_SOCKET: process.path }
    const done = await place.run(command, { stdin: STDIN, env })
    wentCold(t, done, STDIN, command)
    between(t, done, 0, SLACK_MS)
  }
})

t.test('for all but ADD ten seconds are enough', async (t) => {
  const env = { NUGATOR_AGENT_SOCKET: (await frozen(t)).path }
  const add = place.start('ADD', { env })
  const done = await place.run('DEL', { stdin: STDIN, env })
  wentCold(t, done, STDIN, 'DEL')
  between(t, done, 10_000, 10_000 + SLACK_MS)
  t.equal(add.child.exitCode, null, 'ADD still waits')
  add.child.kill('SIGTERM')
  t.match(await add.ended, { signal: 'SIGTERM', stdout: { length: 0 } })
})

t.test('an agent that trickles', async (t) => {
  const trickle =
    (bytes: Buffer): Script =>
    async (socket) => {
      for (const byte of bytes) {
        if (socket.destroyed) return
        socket.write(Buffer.of(byte))
        await pause(20)
      }
    }
  agent.script = trickle(encode({}).fill(0x4e, 0, 1))
  await givesUp(t, 'the header')
  agent.script = (socket, frame) => {
    const whole = encode({ stdout: Buffer.alloc(1000, 'x') })
    socket.write(whole.subarray(0, 20))
    return trickle(whole.subarray(20))(socket, frame)
  }
  await givesUp(t, 'the body')
})

t.test('an agent that answers and then thinks again', async (t) => {
  agent.script = (socket) => socket.write(encode({ stdout: 'half', stdoutLength: 5 }))
  await givesUp(t, 'one byte is missing')
})

t.test('stdin that is never closed', async (t) => {
  agent.frames.length = 0
  const refusal = { code: 5, msg: /stdin/ }
  for (const env of [SHORT, { ...SHORT, NUGATOR_AGENT_SOCKET: '' }]) {
    for (const command of ['ADD', 'DEL', 'STATUS']) {
      const run = place.start(command, { stdin: 'open', env })
      run.child.stdin?.write(STDIN)
      const done = await run.ended
      t.match([done.code, JSON.parse(done.stdout.toString())], [1, refusal], command)
      between(t, done, 300, 300 + SLACK_MS)
    }
  }
  const run = place.start('ADD', { stdin: 'open', env: SHORT })
  const timer = setInterval(() => run.child.stdin?.write('x'), 20)
  const done = await run.ended
  clearInterval(timer)
  t.match([done.code, JSON.parse(done.stdout.toString())], [1, refusal], 'trickled')
  const endless = ['-c', `exec ${place.client} </dev/zero`]
  const env = { ...place.env, CNI_COMMAND: 'ADD' }
  const flooded = await start('/bin/sh', { args: endless, env }).ended
  t.match([flooded.code, JSON.parse(flooded.stdout.toString())], [1, { code: 5, msg: /too long/ }])
  t.same(agent.frames, [], 'the agent was not asked')
})

t.test('SIGTERM ends it, wherever it waits', async (t) => {
  agent.script = () => {}
  agent.frames.length = 0
  const asked = place.start('ADD', { stdin: STDIN })
  while (agent.frames.length === 0) await pause(5)
  asked.child.kill('SIGTERM')
  t.match(await asked.ended, { signal: 'SIGTERM' }, 'for the agent')
  const reading = place.start('ADD', { stdin: 'open' })
  await pause(100)
  reading.child.kill('SIGTERM')
  t.match(await reading.ended, { signal: 'SIGTERM' }, 'for stdin')
})

/** The client in a pipeline: $C is the client. */
function piped(script: string): Promise<Ended> {
  const env = { ...place.env, ...SHORT, CNI_COMMAND: 'ADD', C: place.client }
  return start('/bin/sh', { args: ['-c', script], env, stdin: STDIN }).ended
}

t.test('nobody reads the answer', async (t) => {
  const late =
    (size: number): Script =>
    async (socket) => {
      await pause(150)
      socket.end(encode({ stdout: Buffer.alloc(size, 'o'), stderr: Buffer.alloc(size, 'e') }))
    }
  for (const size of [10, 1 << 20]) {
    agent.script = late(size)
    const noOut = await piped(`{ "$C" 2>/dev/null; echo "status $?" >&2; } | :`)
    t.equal(said(noOut), ' status 1\n', `stdout of ${size} bytes`)
    const noErr = await piped(`exec 3>&1; { "$C" 2>&1 >&3 3>&-; echo "status $?" >&3; } | :`)
    t.ok(noErr.stdout.equals(Buffer.from(`${'o'.repeat(size)}status 0\n`)), `stderr of ${size} bytes`)
  }
  agent.script = () => {}
  t.equal(said(await piped(`{ "$C"; echo "status $?" >&2; } | :`)), ' status 1\n', 'of an error')
})

t.test('a slow reader gets all of it, however late', async (t) => {
  const stdout = randomBytes(1 << 20)
  agent.script = answering({ stdout })
  const slow = await piped('"$C" | { sleep 0.7; cat; }')
  t.ok(slow.stdout.equals(stdout), 'through a pipe')
  const nonblocking = 'dd oflag=nonblock count=0 </dev/null 2>/dev/null'
  const full = await piped(`{ ${nonblocking}; exec "$C"; } | { sleep 0.7; cat; }`)
  t.ok(full.stdout.equals(stdout), 'through a pipe that does not block')
})
