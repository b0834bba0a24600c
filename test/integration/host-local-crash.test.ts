/**
 * kill -9 at each step of our host-local. What is left is at most what a killed real one leaves, and less: no lease that
 * nobody can release. The real one and ours go on, in turn, and DEL takes it all.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Ask, askOurs, askReal, leasesIn, type Outcome, scratch } from './rig/host-local.ts'
import { HostLocalProcess } from './rig/host-local-process.ts'

type Asker = (ask: Ask) => Promise<Outcome>

const CLEANERS: readonly (readonly [string, Asker])[] = [
  ['the real one', (ask) => askReal(ask)],
  ['ours', (ask) => askOurs(ask)],
]

interface Scenario {
  readonly name: string
  readonly ranges: unknown
  /** What is there before. */
  arrange(ask: (verb: Ask['verb'], containerID: string) => Promise<unknown>, dir: string): Promise<void>
  /** By one process; the last is killed. */
  readonly calls: readonly (readonly [Ask['verb'], string])[]
}

const V4 = [[{ subnet: '10.1.0.0/28' }]]
const DUAL = [[{ subnet: '10.1.0.0/28' }], [{ subnet: 'fd00::/124' }]]
const nothing = async () => {}

const SCENARIOS: readonly Scenario[] = [
  { name: 'the first ADD of a network', ranges: DUAL, arrange: nothing, calls: [['ADD', 'victim']] },
  {
    name: 'an ADD beside others',
    ranges: DUAL,
    arrange: async (ask) => {
      await ask('ADD', 'other')
    },
    calls: [['ADD', 'victim']],
  },
  {
    name: 'an ADD of a resident process',
    ranges: V4,
    arrange: nothing,
    calls: [
      ['ADD', 'a'],
      ['ADD', 'b'],
      ['ADD', 'victim'],
    ],
  },
  {
    name: 'an ADD after one that was killed with its draft linked',
    ranges: V4,
    arrange: async (_, dir) => {
      mkdirSync(join(dir, 'net1'), { recursive: true })
      writeFileSync(join(dir, 'net1/.nugator'), 'dead\r\neth0')
    },
    calls: [['ADD', 'victim']],
  },
  {
    name: 'a DEL of two leases',
    ranges: DUAL,
    arrange: async (ask) => {
      await ask('ADD', 'other')
      await ask('ADD', 'victim')
    },
    calls: [['DEL', 'victim']],
  },
  {
    name: 'a DEL of a resident process',
    ranges: DUAL,
    arrange: nothing,
    calls: [
      ['ADD', 'victim'],
      ['ADD', 'other'],
      ['CHECK', 'other'],
      ['DEL', 'victim'],
    ],
  },
  {
    name: 'an ADD that gives back what it took',
    ranges: [[{ subnet: '10.1.0.0/28' }], [{ subnet: '10.2.0.0/30' }]],
    arrange: async (ask) => {
      await ask('ADD', 'other')
    },
    calls: [['ADD', 'victim']],
  },
]

/** Files that say something of the victim. */
function ofVictim(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory).filter((name) => /victim/.test(readFileSync(join(directory, name), 'utf8')))
}

async function play(
  { calls }: Scenario,
  conf: unknown,
  env: Record<string, string>,
): Promise<NodeJS.Signals | null> {
  const player = new HostLocalProcess(env)
  for (const [verb, containerID] of calls) await player.ask({ verb, conf, containerID })
  return (await player.end()).signal
}

async function survives(t: Test, scenario: Scenario): Promise<void> {
  const dir = scratch(t)
  let trials = 0
  const stage = async () => {
    trials += 1
    const dataDir = join(dir, String(trials))
    const conf = {
      cniVersion: '1.0.0',
      name: 'net1',
      ipam: { type: 'host-local', dataDir, ranges: scenario.ranges },
    }
    await scenario.arrange((verb, containerID) => askReal({ verb, conf, containerID }), dataDir)
    return { conf, directory: join(dataDir, 'net1') }
  }

  const { conf } = await stage()
  const count = join(dir, 'steps')
  t.equal(await play(scenario, conf, { NUGATOR_FAULT_COUNT: count }), null, 'the whole story')
  const steps = Number(readFileSync(count, 'utf8'))
  t.ok(steps > 0, `${steps} steps`)

  for (let step = 1; step <= steps; step += 1) {
    for (const [name, ask] of CLEANERS) {
      const { conf, directory } = await stage()
      const what = `killed at step ${step}, then ${name}`
      const signal = await play(scenario, conf, { NUGATOR_FAULT_AT: String(step) })
      const leases = existsSync(directory) ? [...leasesIn(directory)] : []
      const halves = leases.filter(([, content]) => !/^[a-z]+\r\neth0$/.test(content))
      t.equal(signal, 'SIGKILL', `${what}: it is dead`)
      t.strictSame(halves, [], `${what}: every lease is whole`)

      const next = await ask({ verb: 'ADD', conf, containerID: 'next' })
      t.ok(next.result !== undefined || /no IP addresses/.test(next.msg ?? ''), `${what}: the next ADD`)
      t.strictSame(await ask({ verb: 'DEL', conf, containerID: 'victim' }), {}, `${what}: DEL of the victim`)
      t.strictSame(ofVictim(directory), [], `${what}: nothing of the victim is left`)
      t.match(await ask({ verb: 'CHECK', conf, containerID: 'victim' }), { code: 999 }, `${what}: nor known`)

      for (const containerID of ['a', 'b', 'other', 'next']) await ask({ verb: 'DEL', conf, containerID })
      t.equal(leasesIn(directory).size, 0, `${what}: no lease that nobody can release`)
      const again = await askOurs({ verb: 'ADD', conf, containerID: 'again' })
      t.ok(again.result !== undefined, `${what}: an ADD of ours`)
      const odd = readdirSync(directory).filter(
        (file) => !/^(lock|last_reserved_ip\.[01]|[0-9a-f.:]+)$/.test(file),
      )
      t.strictSame(odd, [], `${what}: which leaves nothing odd`)
    }
  }
}

for (const scenario of SCENARIOS) t.test(scenario.name, (t) => survives(t, scenario))
