/**
 * kill -9 of the agent at every step: the client gives the answer that it would have given, and DEL leaves nothing;
 * without the client a new agent undoes what was begun.
 */
import t from 'tap'
import { agentSurvives } from './rig/agent-crash.ts'
import { HOST, LINK, PEER } from './rig/crash-stages.ts'
import type { Stage } from './rig/stage.ts'

const WAYS = Number(process.env.NGT_WAYS ?? 1)

const add = (who: string) => (stage: Stage, env: Record<string, string>) => stage.add(who, { env })
const del = (who: string) => (stage: Stage, env: Record<string, string>) => stage.del(who, { env })
const cold =
  (...who: string[]) =>
  async (stage: Stage) => {
    const done = []
    for (const each of who) done.push(await stage.add(each, { env: { NUGATOR_AGENT_SOCKET: '' } }))
    return done
  }

for (const [mode, base] of Object.entries({ host: HOST, peer: PEER })) {
  agentSurvives(
    t,
    { ...base, name: `${mode} mode: ADD`, verb: 'ADD', fresh: true, arrange: cold(), act: add('web') },
    WAYS,
  )
  agentSurvives(
    t,
    { ...base, name: `${mode} mode: DEL`, verb: 'DEL', arrange: cold('web'), act: del('web') },
    WAYS,
  )
}
const alone = { ...LINK, survivors: [], fresh: true }
const two = { ...LINK, survivors: ['r1'] }
agentSurvives(
  t,
  { ...alone, name: 'link mode: ADD of the first end', verb: 'ADD', arrange: cold(), act: add('r2') },
  WAYS,
)
agentSurvives(
  t,
  { ...two, name: 'link mode: ADD of the second', verb: 'ADD', arrange: cold('r1'), act: add('r2') },
  WAYS,
)
agentSurvives(
  t,
  { ...two, name: 'link mode: DEL of one', verb: 'DEL', arrange: cold('r1', 'r2'), act: del('r2') },
  WAYS,
)
agentSurvives(
  t,
  { ...alone, name: 'link mode: DEL of the last', verb: 'DEL', arrange: cold('r2'), act: del('r2') },
  WAYS,
)
