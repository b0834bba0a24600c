/** The real host-local and several processes of ours at one directory of leases: in turn, and all at once. */
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { tryFlock } from '../../src/netlink/libc.ts'
import { type Ask, askOurs, askReal, leasesIn, type Outcome, scratch } from './rig/host-local.ts'
import { askOnce, HostLocalProcess } from './rig/host-local-process.ts'
import { together } from './rig/together.ts'

type Asker = (ask: Ask) => Promise<Outcome | undefined>

const netconf = (dataDir: string, ranges: unknown) => ({
  cniVersion: '1.0.0',
  name: 'net1',
  ipam: { type: 'host-local', dataDir, ranges },
})

function residents(t: Test, count: number): HostLocalProcess[] {
  return Array.from({ length: count }, () => {
    const resident = new HostLocalProcess()
    t.teardown(() => resident.kill())
    return resident
  })
}

const addressOf = (outcome: Outcome | undefined) => outcome?.result?.ips.map(({ address }) => address).join()

t.test('in turn: one round robin, one set of leases', async (t) => {
  const dir = scratch(t)
  const conf = netconf(dir, [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }]])
  const [first, second] = residents(t, 2)
  const askers: Asker[] = [
    (ask) => askReal(ask),
    (ask) => askOurs(ask),
    async (ask) => await first?.ask(ask),
    async (ask) => await second?.ask(ask),
    askOnce,
  ]
  for (let index = 0; index < 60; index += 1) {
    const ask = (shift: number, verb: Ask['verb'], id = index) =>
      askers[(index + shift) % askers.length]?.({ verb, conf, containerID: `c${id}` })
    const ip = `10.1.0.${index + 2}/24,fd00::${(index + 2).toString(16)}/64`
    t.equal(addressOf(await ask(0, 'ADD')), ip, `c${index} gets the next`)
    t.match(await ask(1, 'ADD'), { code: 999, msg: /duplicate allocation/ }, 'and nobody gives it another')
    t.strictSame(await ask(2, 'CHECK'), {}, 'and everybody knows it')
    if (index % 2 === 1) t.strictSame(await ask(3, 'DEL', index - 1), {}, 'its predecessor goes')
    if (index % 2 === 1)
      t.match(await ask(4, 'CHECK', index - 1), { code: 999 }, 'and nobody knows it any more')
  }
  t.equal(leasesIn(join(dir, 'net1')).size, 60, 'two for each of 30')
})

/** Who asks, and for how many containers that stay. */
interface Crowd {
  readonly label: string
  readonly ask: Asker
  readonly staying: number
  readonly atOnce: number
}

t.test('2,000 leases by everybody at once: none twice, none lost', async (t) => {
  const dir = scratch(t)
  const conf = netconf(dir, [[{ subnet: '10.1.0.0/21' }, { subnet: '10.2.0.0/22' }]])
  const [first, second] = residents(t, 2)
  const crowds: Crowd[] = [
    { label: 'first', ask: async (ask) => await first?.ask(ask), staying: 640, atOnce: 8 },
    { label: 'second', ask: async (ask) => await second?.ask(ask), staying: 640, atOnce: 2 },
    { label: 'real', ask: (ask) => askReal(ask), staying: 660, atOnce: 4 },
    { label: 'cold', ask: askOnce, staying: 60, atOnce: 2 },
  ]
  const told = new Map<string, string>()
  const problems: string[] = []

  /** A container's life: every fourth comes, goes and comes again. */
  const live = async ({ ask, label }: Crowd, index: number) => {
    const containerID = `${label}-${index}`
    const tell = async (verb: Ask['verb']) => {
      const outcome = await ask({ verb, conf, containerID })
      if (outcome === undefined || outcome.msg !== undefined) {
        problems.push(`${verb} ${containerID}: ${outcome?.msg ?? 'no answer'}`)
      }
      return outcome
    }
    const address = addressOf(await tell('ADD'))
    if (index % 4 !== 0) return told.set(containerID, `${address}`)
    await tell('DEL')
    return told.set(containerID, `${addressOf(await tell('ADD'))}`)
  }
  await Promise.all(
    crowds.map((crowd) =>
      together(
        crowd.atOnce,
        Array.from({ length: crowd.staying }, (_, index) => () => live(crowd, index)),
      ),
    ),
  )
  t.strictSame(problems.slice(0, 5), [], 'nothing fails')
  const leases = leasesIn(join(dir, 'net1'))
  t.equal(leases.size, 2000, '2,000 leases')
  t.equal(new Set(leases.values()).size, 2000, 'of 2,000 containers')
  const wrong = [...told].filter(([id, address]) => {
    return leases.get(address.slice(0, address.indexOf('/'))) !== `${id}\r\neth0`
  })
  t.strictSame(wrong.slice(0, 5), [], 'each has the one that it was told')
  t.notOk(existsSync(join(dir, 'net1/.nugator')), 'no draft is left')

  const everybody = [...told.keys()]
  const askers = crowds.filter(({ label }) => label !== 'cold').map(({ ask }) => ask)
  await together(
    12,
    everybody.map((containerID, index) => async () => {
      const outcome = await askers[index % askers.length]?.({ verb: 'DEL', conf, containerID })
      if (outcome?.msg !== undefined) problems.push(outcome.msg)
    }),
  )
  t.strictSame(problems.slice(0, 5), [], 'each DEL succeeds, whoever is asked')
  const left = readdirSync(join(dir, 'net1')).sort()
  t.strictSame(left, ['last_reserved_ip.0', 'lock'], 'nothing is left')
})

t.test('a lock that is held', async (t) => {
  const dir = scratch(t)
  const conf = netconf(dir, [[{ subnet: '10.1.0.0/24' }]])
  await askOurs({ verb: 'ADD', conf, containerID: 'first' })
  const before = process.env.NUGATOR_LOCK_TIMEOUT_MS
  process.env.NUGATOR_LOCK_TIMEOUT_MS = '300'
  t.teardown(() => {
    if (before === undefined) delete process.env.NUGATOR_LOCK_TIMEOUT_MS
    else process.env.NUGATOR_LOCK_TIMEOUT_MS = before
  })
  const fd = openSync(join(dir, 'net1/lock'), 'r')
  t.ok(tryFlock(fd), 'somebody has it')
  let turns = 0
  const ticking = setInterval(() => {
    turns += 1
  }, 5)
  const begun = performance.now()
  const outcomes = await Promise.all(
    ['a', 'b', 'c'].map((containerID) => askOurs({ verb: 'ADD', conf, containerID })),
  )
  const took = performance.now() - begun
  clearInterval(ticking)
  for (const outcome of outcomes) t.match(outcome, { code: 11, msg: /in use by others for 0\.3 s/ })
  t.ok(took > 290 && took < 1500, `all give up together, after ${took.toFixed(0)} ms`)
  t.ok(turns > 20, `meanwhile the process did other things, ${turns} times`)

  const waiting = askOurs({ verb: 'ADD', conf, containerID: 'd' })
  const gone = askOurs(
    { verb: 'ADD', conf, containerID: 'e' },
    {
      proceed: () => {
        throw new Error('the caller has gone')
      },
    },
  ).then(
    () => 'it went on',
    (error: Error) => error.message,
  )
  process.env.NUGATOR_LOCK_TIMEOUT_MS = '20000'
  setTimeout(() => closeSync(fd), 50)
  t.match(addressOf(await waiting), '10.1.0.3/24', 'who waits gets it when it is free')
  t.equal(await gone, 'the caller has gone')
  t.strictSame(
    [...leasesIn(join(dir, 'net1')).keys()].sort(),
    ['10.1.0.2', '10.1.0.3'],
    'and nothing for that one',
  )
})
