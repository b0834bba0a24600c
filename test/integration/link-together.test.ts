/** Link mode with cold processes that come at the same moment: whoever is first, the end state is the same. */
import t, { type Test } from 'tap'
import type { CniResult } from './rig/host.ts'
import { complaint, linkProblems, linkStage } from './rig/link-stage.ts'
import { linkConf } from './rig/modes.ts'
import { filesIn, residue } from './rig/snapshot.ts'

const ROUNDS = 20

function fine(t: Test, done: readonly CniResult[], what: string): void {
  t.same(
    done.flatMap((each) => complaint(what, each)),
    [],
    what,
  )
}

t.test('both ADDs at once, then both DELs at once', async (t) => {
  const stage = linkStage(t)
  for (let round = 1; round <= ROUNDS; round++) {
    fine(t, await Promise.all([stage.add('r1'), stage.add('r2')]), `ADDs of round ${round}`)
    t.same(await linkProblems(stage, ['r1', 'r2']), [], 'both are wired and talk')
    fine(t, await Promise.all([stage.del('r2'), stage.del('r1')]), `DELs of round ${round}`)
    t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
  }
})

t.test('ADD of one end against DEL of the other', async (t) => {
  const stage = linkStage(t)
  for (let round = 1; round <= ROUNDS; round++) {
    const [comes, goes] = round % 2 === 0 ? (['r1', 'r2'] as const) : (['r2', 'r1'] as const)
    if (round === 1) fine(t, [await stage.add(goes)], 'ADD of the first')
    fine(t, await Promise.all([stage.add(comes), stage.del(goes)]), `round ${round}`)
    t.same(await linkProblems(stage, [comes]), [], `${comes} is alone`)
  }
  fine(t, await Promise.all([stage.del('r1'), stage.del('r2')]), 'the last DELs')
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('the same ADD twice at once: one wins, and the wire is whole', async (t) => {
  const stage = linkStage(t)
  for (let round = 1; round <= 5; round++) {
    const done = await Promise.all([stage.add('r1'), stage.add('r1')])
    t.same(done.map(({ code }) => code).sort(), [0, 1], 'one is refused')
    const refused = done.find(({ code }) => code === 1)
    t.ok([100, 102].includes(refused?.json.code), `code ${refused?.json.code}`)
    t.same(await linkProblems(stage, ['r1']), [])
    fine(t, await Promise.all([stage.del('r1'), stage.del('r1')]), 'DEL twice at once')
    t.same(await residue(stage.host, stage.namespaces), [])
  }
})

t.test('DEL of a dead end against the ADD that replaces it', async (t) => {
  const stage = linkStage(t)
  stage.cast({ r3: { conf: linkConf(), containerID: 'ctr-three', on: 'r2', args: 'END=r2' } })
  fine(t, [await stage.add('r1'), await stage.add('r2')], 'ADDs')
  for (let round = 1; round <= 10; round++) {
    const [dead, next] = round % 2 === 0 ? ['r3', 'r2'] : ['r2', 'r3']
    stage.die('r2')
    stage.revive('r2')
    fine(t, await Promise.all([stage.del(dead, { withoutNetns: true }), stage.add(next)]), `round ${round}`)
    t.same(await linkProblems(stage, ['r1', 'r2']), [], 'healed and whole')
  }
  fine(t, await Promise.all(['r1', 'r2', 'r3'].map((who) => stage.del(who))), 'the last DELs')
  t.same(await residue(stage.host, stage.namespaces), [])
  t.same(filesIn(stage.host.stateDir), {}, 'the state directory is empty')
})
