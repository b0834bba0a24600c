/** kill -9 at every step of a call in link mode: the other end survives it. */
import t from 'tap'
import { type Scenario, survives } from './rig/crash.ts'
import { type End, linkProblems, linkStage } from './rig/link-stage.ts'
import type { Stage } from './rig/stage.ts'

const base = {
  victim: 'r2',
  stage: () => linkStage(),
  problems: (stage: Stage, attached: readonly string[]) => linkProblems(stage, attached as End[]),
}

const first = async (stage: Stage) => [await stage.add('r1')]
const both = async (stage: Stage) => [await stage.add('r1'), await stage.add('r2')]
const add = (stage: Stage, env: Record<string, string>) => stage.add('r2', { env })
const del = (stage: Stage, env: Record<string, string>) => stage.del('r2', { env })

async function died(stage: Stage) {
  const done = await both(stage)
  stage.die('r2')
  return done
}

async function replaced(stage: Stage) {
  const done = await died(stage)
  stage.revive('r2')
  return done
}

const scenarios: Scenario[] = [
  { ...base, name: 'ADD of the first end', survivors: [], arrange: async () => [], act: add },
  { ...base, name: 'ADD of the second end', survivors: ['r1'], arrange: first, act: add },
  { ...base, name: 'DEL of the first of two', survivors: ['r1'], arrange: both, act: del },
  {
    ...base,
    name: 'DEL of the last',
    survivors: [],
    arrange: async (stage) => [await stage.add('r2')],
    act: del,
  },
  { ...base, name: 'DEL that heals', survivors: ['r1'], arrange: died, act: del },
  { ...base, name: 'ADD that heals', survivors: ['r1'], arrange: replaced, act: add },
  {
    ...base,
    name: 'GC that parks',
    survivors: ['r1'],
    arrange: both,
    act: (stage, env) => stage.gc(stage.attachment('r2').conf, ['r1'], { env }),
  },
]

for (const scenario of scenarios) survives(t, scenario)
