/**
 * Kills the agent at every one of its steps in turn while it works for a client, and tells what is wrong afterwards:
 * with what the client answers, with what is there, and with what is left in the end.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Agent } from './agent.ts'
import type { Scenario } from './crash.ts'
import type { CniResult } from './host.ts'
import { complaint } from './link-stage.ts'
import { addressesOf, filesIn, linkNamed, look, residue } from './snapshot.ts'
import type { Stage } from './stage.ts'

export interface AgentScenario extends Scenario {
  verb: 'ADD' | 'DEL'
}

/** Who is there when the agent has died: the client itself, and another agent. */
const AFTERMATHS = ['the client', 'the client and a new agent', 'only a new agent'] as const
type Aftermath = (typeof AFTERMATHS)[number]

const DEATH_MS = 5000

/** A client that cannot go cold either. */
const HELPLESS = { NUGATOR_NODE: '/bin/false' }

/** What an ADD has told, without what differs from one to the next. */
function shape(done: CniResult, stage: Stage): string {
  return done.stdout
    .replaceAll(/"mac": "[^"]*"/g, '"mac": ""')
    .replaceAll(/10\.88\.0\.\d+/g, '10.88.0.x')
    .replaceAll(stage.host.name, 'HOST')
}

/** Addresses that the answer names and the interface does not have. */
async function untrue(stage: Stage, { victim }: Scenario, done: CniResult): Promise<string[]> {
  const { on, ifName = 'eth0' } = stage.attachment(victim)
  const there = addressesOf(linkNamed(await look(stage.netns(on).name), ifName)).join()
  const told: { address: string }[] = done.json?.ips ?? []
  const named = told.map(({ address }) => address).sort()
  return named.join() === there ? [] : [`the answer has [${named}], the interface [${there}]`]
}

function standing(stage: Stage): number {
  return Object.keys(filesIn(stage.host.stateDir)).filter((file) => /^attachments\/.*\.json$/.test(file))
    .length
}

/** What is wrong if exactly these attachments should be there. */
async function differences(scenario: Scenario, stage: Stage, attached: readonly string[]): Promise<string[]> {
  if (attached.length > 0) return scenario.problems(stage, attached)
  return residue(stage.host, stage.namespaces)
}

async function trial(
  t: Test,
  scenario: AgentScenario,
  stage: Stage,
  step: number,
  after: Aftermath,
  wanted: string,
) {
  const { victim, survivors, verb } = scenario
  const everybody = [...survivors, victim]
  const problems: string[] = []
  const note = (when: string, found: readonly string[]) =>
    problems.push(...found.map((each) => `${when}: ${each}`))
  for (const done of await scenario.arrange(stage)) note('before', complaint('call', done))
  const before = standing(stage)
  const agent = await Agent.start(t, stage.host, { env: { NUGATOR_FAULT_AT: String(step) } })
  const isHelpless = after === 'only a new agent'
  const done = await scenario.act(stage, { ...agent.env, ...(isHelpless ? HELPLESS : {}) })
  if ((await agent.ended(DEATH_MS)) !== 'SIGKILL') note('killed', [`the agent lives: ${agent.log}`])
  await agent.kill()
  const attached = verb === 'ADD' ? everybody : survivors
  if (!isHelpless) {
    note('the answer', complaint(verb, done))
    if (verb === 'ADD') note('the answer', await untrue(stage, scenario, done))
    if (shape(done, stage) !== wanted) note('the answer', [`${shape(done, stage)} instead of ${wanted}`])
    note('the client went cold', await differences(scenario, stage, attached))
  }
  const next = after === 'the client' ? undefined : await Agent.start(t, stage.host)
  const manner = next === undefined ? {} : { env: next.env }
  if (isHelpless && verb === 'ADD') {
    const isCommitted = standing(stage) > before
    note('recovered', await differences(scenario, stage, isCommitted ? everybody : survivors))
  }
  for (const who of everybody) note('the end', complaint('DEL', await stage.del(who, manner)))
  note('the end', await residue(stage.host, stage.namespaces))
  if (next !== undefined && (await next.stop()) !== 0) note('the end', ['the new agent fails'])
  return problems
}

/** The number of steps of an agent that nothing kills, and what the client answers. */
async function inFull(t: Test, scenario: AgentScenario): Promise<{ steps: number; answer: string }> {
  const stage = scenario.stage()
  t.teardown(() => stage.host.remove())
  const file = join(stage.host.dir, 'steps')
  for (const done of await scenario.arrange(stage)) t.same(complaint('before', done), [])
  const agent = await Agent.start(t, stage.host, { env: { NUGATOR_FAULT_COUNT: file } })
  const done = await scenario.act(stage, agent.env)
  t.same(complaint('the call in full', done), [])
  t.equal((await agent.says('call')).length, 1, 'it was the agent that answered')
  await agent.kill()
  return { steps: existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0, answer: shape(done, stage) }
}

/** Each step in turn, with one of the aftermaths; `ways` of them a step. */
export function agentSurvives(t: Test, scenario: AgentScenario, ways = 1): Promise<unknown> {
  return t.test(scenario.name, async (t) => {
    const { steps, answer } = await inFull(t, scenario)
    t.ok(steps > 0, `takes ${steps} steps`)
    let stage: Stage | undefined
    for (let step = 1; step <= steps; step++) {
      for (let way = 0; way < ways; way++) {
        if (stage === undefined || scenario.fresh) {
          stage?.host.remove()
          const fresh = scenario.stage()
          t.teardown(() => fresh.host.remove())
          stage = fresh
        }
        const after = AFTERMATHS[(step + way) % AFTERMATHS.length] ?? 'the client'
        const problems = await trial(t, scenario, stage, step, after, answer)
        t.same(problems, [], `killed at step ${step} of ${steps}; left are ${after}`)
        if (problems.length > 0) stage = undefined
      }
    }
  })
}
