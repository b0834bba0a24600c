/** Thousands of answers and requests that nobody would make: the client takes the answer, or goes cold, and lives. */
import fc from 'fast-check'
import t from 'tap'
import { ClientPlace, said } from './rig/client-place.ts'
import { type Answer, encode, ScriptedAgent } from './rig/scripted-agent.ts'

const ANSWERS = 2000
const REQUESTS = 400
const LIMIT = 64 << 20

const place = new ClientPlace(t)
const agent = await ScriptedAgent.start(t, () => {})
place.env.NUGATOR_AGENT_SOCKET = agent.path
place.env.NUGATOR_DEADLINE_MS = '150'

const number32 = fc.oneof(
  fc.nat(40),
  fc.constantFrom(LIMIT, LIMIT + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 20, 2 ** 32 - 1),
  fc.nat(2 ** 32 - 1),
)
const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array))
const seldom = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

/** Mostly a sound answer with one thing or the other wrong; sometimes noise. */
const answerBytes = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array)) },
  {
    weight: 6,
    arbitrary: fc
      .record({
        stdout: bytes,
        stderr: bytes,
        status: fc.oneof({ weight: 8, arbitrary: fc.nat(255) }, { weight: 1, arbitrary: fc.integer() }),
        magic: seldom(fc.constantFrom('NGAT', 'NGAU', 'TAGN', '\0\0\0\0')),
        version: seldom(fc.nat(65535)),
        verdict: seldom(fc.nat(65535)),
        stdoutLength: seldom(number32),
        stderrLength: seldom(number32),
      })
      .map((answer) =>
        encode(Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== undefined))),
      ),
  },
)

interface Case {
  answer: Buffer
  /** How much of it is sent. */
  share: number
  /** Where the sending pauses. */
  pieces: readonly number[]
  hangsUp: boolean
  command: string
  stdin: Buffer
}

const hostile: fc.Arbitrary<Case> = fc.record({
  answer: answerBytes,
  share: fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
  ),
  pieces: fc.array(fc.nat(100), { maxLength: 3 }),
  hangsUp: fc.oneof(
    { weight: 30, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  command: fc.constantFrom('ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'x'),
  stdin: bytes,
})

/** What the protocol says of an answer: what is to be printed, or that there is none (yet). */
function verdict(
  sent: Buffer,
): Required<Pick<Answer, 'stdout' | 'stderr' | 'status'>> | 'none' | 'incomplete' {
  if (sent.length < 20) return 'incomplete'
  const status = sent.readInt32LE(8)
  const [out, err] = [sent.readUInt32LE(12), sent.readUInt32LE(16)]
  const isSound = sent.toString('latin1', 0, 4) === 'NGAT' && sent.readUInt16LE(4) === 1
  if (!isSound || sent.readUInt16LE(6) !== 0) return 'none'
  if (status < 0 || status > 255 || out > LIMIT || err > LIMIT) return 'none'
  if (sent.length < 20 + out + err) return 'incomplete'
  return { status, stdout: sent.subarray(20, 20 + out), stderr: sent.subarray(20 + out, 20 + out + err) }
}

t.test(`${ANSWERS} answers`, async (t) => {
  const seen = { answered: 0, cold: 0, late: 0 }
  const one = async ({ answer, share, pieces, hangsUp, command, stdin }: Case): Promise<void> => {
    const sent = answer.subarray(0, Math.round(answer.length * share))
    agent.script = async (socket) => {
      const cuts = [...pieces.filter((at) => at < sent.length).sort((a, b) => a - b), sent.length]
      let from = 0
      for (const to of cuts) {
        socket.write(sent.subarray(from, to))
        from = to
        await new Promise(setImmediate)
      }
      if (hangsUp) socket.end()
    }
    const done = await place.run(command, { stdin })
    const wanted = verdict(sent)
    if (typeof wanted === 'object') {
      seen.answered++
      same(done.code, wanted.status, 'status')
      same(done.stdout.equals(Buffer.from(wanted.stdout)), true, 'stdout')
      same(done.stderr.equals(Buffer.from(wanted.stderr)), true, 'stderr')
    } else if (wanted === 'incomplete' && !hangsUp && command === 'ADD') {
      seen.late++
      same(done.code, 1, `late: ${done.signal}`)
      same(JSON.parse(done.stdout.toString()).code, 11, 'code')
    } else {
      seen.cold++
      same(done.code, 42, `cold: ${done.signal} ${said(done)}`)
      same(done.stdout.equals(stdin), true, 'the same stdin')
      same(done.stderr.toString(), 'cold \n', 'nothing else')
    }
  }
  await fc.assert(fc.asyncProperty(hostile, one), { numRuns: ANSWERS, endOnFailure: true })
  t.ok(seen.answered > ANSWERS / 10 && seen.cold > ANSWERS / 10 && seen.late > 0, JSON.stringify(seen))
})

t.test(`${REQUESTS} requests`, async (t) => {
  const text = fc.string({ unit: 'binary', maxLength: 300 }).map((each) => each.replaceAll('\0', ''))
  const name = text
    .map((each) => each.replaceAll('=', ''))
    .filter((each) => each !== '' && !/^(CNI_|NUGATOR_)/.test(each))
  const paths = [
    '/dev/zero',
    '/dev/ptmx',
    '/proc/self/ns/net',
    '/proc/self/mem',
    '/proc/kmsg',
    '/',
    '.',
    '',
    `/${'x/'.repeat(3000)}`,
  ]
  const request = fc.record({
    variables: fc.dictionary(name, text, { maxKeys: 20, noNullPrototype: true }),
    netns: fc.oneof(fc.constantFrom(...paths), text),
    command: text.filter((each) => each !== 'VERSION' && each !== ''),
    stdin: fc.uint8Array({ maxLength: 100_000, size: 'max' }).map((array) => Buffer.from(array)),
  })
  agent.script = (socket) => socket.end(encode({ stdout: 'heard', status: 7 }))
  let heard = 0
  await fc.assert(
    fc.asyncProperty(request, async ({ variables, netns, command, stdin }) => {
      agent.frames.length = 0
      const env = { ...variables, CNI_NETNS: netns }
      const done = await place.run(command, { env, stdin })
      const [frame] = agent.frames
      if (frame === undefined) {
        same(done.code, 42, `cold: ${done.signal} ${said(done)}`)
        same(done.stdout.equals(stdin), true, 'the same stdin')
        return
      }
      heard++
      same(done.code, 7, `status: ${done.signal}`)
      same(frame.stdin.equals(stdin), true, 'stdin')
      const wanted = Object.entries({ ...place.env, CNI_COMMAND: command, ...env })
      const sent = wanted.map(([key, value]) => Buffer.from(`${key}=${value}`).toString('latin1'))
      same(JSON.stringify([...frame.env].sort()), JSON.stringify(sent.sort()), 'environment')
    }),
    { numRuns: REQUESTS, endOnFailure: true },
  )
  t.ok(heard > REQUESTS / 4, `${heard} of them came to the agent`)
})

/** For within a property, which fails by throwing. */
function same(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`)
}
