/**
 * Kills the plugin at every one of its steps in turn (netlink messages, file writes, execs), lets DEL or GC clean
 * up as a runtime would, and tells what is wrong afterwards.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { CniResult } from './host.ts'
import { complaint } from './link-stage.ts'
import { residue } from './snapshot.ts'
import type { Stage } from './stage.ts'

export interface Scenario {
  name: string
  /** A host with containers and attachments of which none is added yet. */
  stage(): Stage
  /** Makes the state in which the call is made that will be killed. */
  arrange(stage: Stage): Promise<CniResult[]>
  act(stage: Stage, env: Record<string, string>): Promise<CniResult>
  /** The attachment that the killed call was about. */
  victim: string
  /** Attachments that go on, if the recovery lets them. */
  survivors: readonly string[]
  /** What is wrong when exactly these attachments should be there. */
  problems(stage: Stage, attached: readonly string[]): Promise<string[]>
}

const RECOVERIES = ['DEL', 'GC of all', 'DEL after its namespace died', 'GC that keeps the survivor'] as const
type Recovery = (typeof RECOVERIES)[number]

/** Runs the cleaning call; returns which attachments should be left. */
async function recover(
  scenario: Scenario,
  stage: Stage,
  how: Recovery,
): Promise<[CniResult, readonly string[]]> {
  const { victim, survivors } = scenario
  const { conf, on } = stage.attachment(victim)
  if (how === 'GC of all') return [await stage.gc(conf, []), []]
  if (how === 'GC that keeps the survivor') return [await stage.gc(conf, survivors), survivors]
  const withoutNetns = how === 'DEL after its namespace died'
  if (withoutNetns && stage.alive(on)) stage.die(on)
  return [await stage.del(victim, { withoutNetns }), survivors]
}

async function verdict(scenario: Scenario, stage: Stage, attached: readonly string[]): Promise<string[]> {
  if (attached.length > 0) return await scenario.problems(stage, attached)
  return await residue(stage.host, stage.namespaces)
}

/** One kill and its recovery, then a whole life: what went wrong. */
async function trial(scenario: Scenario, stage: Stage, step: number, how: Recovery): Promise<string[]> {
  const { victim, survivors } = scenario
  const problems: string[] = []
  for (const done of await scenario.arrange(stage)) problems.push(...complaint('before the kill', done))
  const killed = await scenario.act(stage, { NUGATOR_FAULT_AT: String(step) })
  if (killed.signal !== 'SIGKILL' && killed.code !== 137) {
    problems.push(`was not killed: exit ${killed.code} ${killed.stdout}`)
  }
  const [cleaned, left] = await recover(scenario, stage, how)
  problems.push(...complaint(how, cleaned))
  for (const problem of await verdict(scenario, stage, left)) problems.push(`after ${how}: ${problem}`)
  for (const who of [...survivors, victim]) {
    stage.revive(stage.attachment(who).on)
    if (!left.includes(who)) problems.push(...complaint(`a new ADD of ${who}`, await stage.add(who)))
  }
  for (const problem of await scenario.problems(stage, [...survivors, victim])) {
    problems.push(`after the new ADD: ${problem}`)
  }
  for (const who of [victim, ...survivors])
    problems.push(...complaint(`the DEL of ${who}`, await stage.del(who)))
  for (const left of await residue(stage.host, stage.namespaces)) problems.push(`at the end: ${left}`)
  return problems
}

/** The number of steps of the call when nothing kills it. */
async function countSteps(t: Test, scenario: Scenario): Promise<number> {
  const stage = scenario.stage()
  t.teardown(() => stage.host.remove())
  const file = join(stage.host.dir, 'steps')
  for (const done of await scenario.arrange(stage)) t.same(complaint('before', done), [])
  t.same(complaint('the call in full', await scenario.act(stage, { NUGATOR_FAULT_COUNT: file })), [])
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
}

async function lane(t: Test, scenario: Scenario, steps: readonly number[]): Promise<void> {
  let stage: Stage | undefined
  for (const step of steps) {
    if (stage === undefined) {
      const fresh = scenario.stage()
      t.teardown(() => fresh.host.remove())
      stage = fresh
    }
    const how = RECOVERIES[step % RECOVERIES.length] ?? 'DEL'
    const problems = await trial(scenario, stage, step, how)
    t.same(problems, [], `killed at step ${step}, then ${how}`)
    if (problems.length > 0) stage = undefined // what is wrong on this host would spoil what follows
  }
}

/** Two hosts share the steps: one recovers by DEL, the other by GC. */
export function survives(t: Test, scenario: Scenario): Promise<unknown> {
  return t.test(scenario.name, async (t) => {
    const steps = await countSteps(t, scenario)
    t.ok(steps > 0, `takes ${steps} steps`)
    const numbers = Array.from({ length: steps }, (_, index) => index + 1)
    await Promise.all(
      [0, 1].map((rest) =>
        lane(
          t,
          scenario,
          numbers.filter((number) => number % 2 === rest),
        ),
      ),
    )
  })
}
