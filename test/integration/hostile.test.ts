/**
 * Hostile input by the hundred, through the real executable: always a proper answer, and a refusal changes nothing.
 * fast-check prints the seed and the smallest case when this fails.
 */
import fc from 'fast-check'
import t from 'tap'
import { delegates } from './rig/cni/reference.ts'
import { HostileGround } from './rig/hostile-ground.ts'
import { hostileEnv, hostileStdin } from './rig/hostile-input.ts'

/** Two lanes of this many, each on a host of its own. */
const CASES = 160

t.jobs = 2
for (const lane of [1, 2]) {
  t.test(`${CASES} calls, lane ${lane}`, { buffered: true }, async (t) => {
    const ground = await new HostileGround(t).settle()
    const { host } = ground.stage
    const verbs = new Map<string, number>()
    const call = fc.record({
      env: hostileEnv(ground.netnses, delegates(host)),
      stdin: hostileStdin(ground.stage.pathOf('other')),
    })
    await fc.assert(
      fc.asyncProperty(call, async (call) => {
        const { done, problems } = await ground.problems(call)
        const what = `exit ${done.code}`
        verbs.set(what, (verbs.get(what) ?? 0) + 1)
        if (problems.length > 0)
          throw new Error(`${problems.join('\n')}\nanswer: ${done.stdout}${done.stderr}`)
      }),
      { numRuns: CASES, interruptAfterTimeLimit: 120_000 },
    )
    t.ok((verbs.get('exit 1') ?? 0) > CASES / 4, 'many were refused')
    t.ok((verbs.get('exit 0') ?? 0) > CASES / 20, 'and some were not')
  })
}
