/** kill -9 at every step of a call in link mode: the other end survives it. */
import t from 'tap'
import { type Scenario, survives } from './rig/crash.ts'
import { LINK } from './rig/crash-stages.ts'
import { leases } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'
import { deviations } from './rig/wire.ts'

const first = async (stage: Stage) => [await stage.add('r1')]
const both = async (stage: Stage) => [await stage.add('r1'), await stage.add('r2')]
const add = (stage: Stage, env: Record<string, string>) => stage.add('r2', { env })
const del = (stage: Stage, env: Record<string, string>) => stage.del('r2', { env })

/** The survivor came second: its end was parked, and has the index that the host had given it. */
async function died(stage: Stage) {
  const done = [await stage.add('r2'), await stage.add('r1')]
  stage.die('r2')
  return done
}

async function replaced(stage: Stage) {
  const done = await died(stage)
  stage.revive('r2')
  return done
}

const scenarios: Scenario[] = [
  { ...LINK, name: 'ADD of the first end', fresh: true, survivors: [], arrange: async () => [], act: add },
  { ...LINK, name: 'ADD of the second end', survivors: ['r1'], arrange: first, act: add },
  { ...LINK, name: 'DEL of the first of two', survivors: ['r1'], arrange: both, act: del },
  {
    ...LINK,
    name: 'DEL of the last',
    survivors: [],
    arrange: async (stage) => [await stage.add('r2')],
    act: del,
  },
  { ...LINK, name: 'DEL that heals', fresh: true, survivors: ['r1'], arrange: died, act: del },
  { ...LINK, name: 'ADD that heals', fresh: true, survivors: ['r1'], arrange: replaced, act: add },
  {
    ...LINK,
    name: 'GC that parks',
    survivors: ['r1'],
    arrange: both,
    act: (stage, env) => stage.gc(stage.attachment('r2').conf, ['r1'], { env }),
  },
]

/** The same without named ends: addresses come from host-local, and leases must not be lost either. */
const leased = {
  victim: 'b',
  survivors: ['a'],
  stage() {
    const stage = new Stage().containers('a', 'b')
    const ipam = { type: 'host-local', dataDir: stage.host.ipamDir, ranges: [[{ subnet: '10.88.0.0/16' }]] }
    const conf = { cniVersion: '1.1.0', name: 'leasednet', type: 'nugator', link: { name: 'free' }, ipam }
    for (const on of ['a', 'b']) stage.cast({ [on]: { conf, containerID: on, on } })
    return stage
  },
  async problems(stage: Stage, attached: readonly string[]) {
    const problems: string[] = []
    for (const who of attached) {
      const { ips } = JSON.parse(JSON.stringify(stage.resultOf(who)))
      problems.push(...(await deviations(stage.netns(who).name, 'eth0', { addresses: [ips[0].address] })))
    }
    const held = leases(stage.host).length
    if (held !== attached.length) problems.push(`${held} leases instead of ${attached.length}`)
    const parked = (await stage.parked()).length
    if (parked !== attached.length % 2) problems.push(`${parked} ends are parked`)
    return problems
  },
}

scenarios.push(
  {
    ...leased,
    name: 'ADD of the second end, with a lease',
    arrange: async (stage) => [await stage.add('a')],
    act: (stage, env) => stage.add('b', { env }),
  },
  {
    ...leased,
    name: 'DEL of the first of two, with a lease',
    arrange: (stage) => Promise.all([stage.add('a'), stage.add('b')]),
    act: (stage, env) => stage.del('b', { env }),
  },
)

for (const scenario of scenarios) survives(t, scenario)
