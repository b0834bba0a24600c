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
  /**
   * Take a new host for each kill: what the first ADD on a host does is done again, and interface indexes start over,
   * so that those of the dead come again.
   */
  fresh?: boolean
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

type Recovery =
  | 'DEL'
  | 'DEL after its namespace died'
  | 'GC of all'
  | 'GC that keeps the survivor'
  | 'a DEL that is killed too, and GC'

/** How the cleaning call comes, step by step in turn: one host recovers by DEL, the other by GC. */
const BY_DEL: readonly Recovery[] = ['DEL', 'DEL after its namespace died']
const BY_GC: readonly Recovery[] = [
  'GC of all',
  'GC that keeps the survivor',
  'a DEL that is killed too, and GC',
]

/** Runs the cleaning call; returns which attachments should be left. */
async function recover(
  scenario: Scenario,
  stage: Stage,
  how: Recovery,
  step: number,
): Promise<[CniResult, readonly string[]]> {
  const { victim, survivors } = scenario
  const { conf, on } = stage.attachment(victim)
  if (how === 'GC of all') return [await stage.gc(conf, []), []]
  if (how.endsWith('GC')) {
    await stage.del(victim, { env: { NUGATOR_FAULT_AT: String(1 + (step % 7)) } })
  }
  if (how.includes('GC')) return [await stage.gc(conf, survivors), survivors]
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
  const [cleaned, left] = await recover(scenario, stage, how, step)
  problems.push(...complaint(how, cleaned))
  for (const problem of await verdict(scenario, stage, left)) problems.push(`after ${how}: ${problem}`)
  const everybody = [...survivors, victim]
  for (const who of everybody) stage.revive(stage.attachment(who).on)
  const missing = everybody.filter((who) => !left.includes(who))
  const added = await Promise.all(missing.map((who) => stage.add(who)))
  problems.push(...added.flatMap((done) => complaint('a new ADD', done)))
  for (const problem of await scenario.problems(stage, everybody)) {
    problems.push(`after the new ADD: ${problem}`)
  }
  const deleted = await Promise.all(everybody.map((who) => stage.del(who)))
  problems.push(...deleted.flatMap((done) => complaint('a new DEL', done)))
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

/** Kills at each step in turn, on one host as long as nothing goes wrong there. */
async function lane(t: Test, scenario: Scenario, steps: number, ways: readonly Recovery[]): Promise<void> {
  let stage: Stage | undefined
  for (let step = 1; step <= steps; step++) {
    if (stage === undefined || scenario.fresh) {
      stage?.host.remove()
      const fresh = scenario.stage()
      t.teardown(() => fresh.host.remove())
      stage = fresh
    }
    const how = ways[step % ways.length] ?? 'DEL'
    const problems = await trial(scenario, stage, step, how)
    t.same(problems, [], `killed at step ${step}, then ${how}`)
    if (problems.length > 0) stage = undefined // what is wrong on this host would spoil what follows
  }
}

/** Every step twice: on one host DEL cleans up after the kill, on another GC does. */
export function survives(t: Test, scenario: Scenario): Promise<unknown> {
  return t.test(scenario.name, async (t) => {
    const steps = await countSteps(t, scenario)
    t.ok(steps > 0, `takes ${steps} steps`)
    await Promise.all([BY_DEL, BY_GC].map((ways) => lane(t, scenario, steps, ways)))
  })
}
