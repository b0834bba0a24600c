/**
 * Random lives of three containers in all three modes at once: after every step the kernel must agree with a small
 * model, and foreign devices must be as they were. fast-check prints the seed and the shortest sequence on failure.
 */
import fc from 'fast-check'
import t from 'tap'
import { Model } from './rig/model.ts'
import { STEPS } from './rig/model-steps.ts'
import { World } from './rig/world.ts'

/** Two hosts take this many sequences each. */
const SEQUENCES = 14
const LONGEST = 30

t.jobs = 2
for (const lane of [1, 2]) {
  t.test(`${SEQUENCES} random sequences, host ${lane}`, { buffered: true }, async (t) => {
    let steps = 0
    let world: World | undefined
    const sequences = fc.commands(STEPS, { maxCommands: LONGEST, size: 'max' })
    await fc.assert(
      fc.asyncProperty(sequences, async (commands) => {
        const real = world ?? (await new World(t).settle())
        world = undefined // a host on which something went wrong is not used again
        await fc.asyncModelRun(() => ({ model: new Model(), real }), commands)
        const left = await real.clear()
        if (left.length > 0) throw new Error(left.join('\n'))
        steps += [...commands].length
        world = real
      }),
      { numRuns: SEQUENCES, interruptAfterTimeLimit: 120_000 },
    )
    t.ok(steps > SEQUENCES, `${steps} steps`)
  })
}
