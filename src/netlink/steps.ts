/**
 * Numbers every step that changes something outside this process: each netlink message, file write and exec.
 *
 * Tests kill the process at a chosen step to prove that whatever is left can be undone. Without the two
 * variables below this costs one comparison a step.
 */
import { writeFileSync } from 'node:fs'

/** Kill this process with SIGKILL just before the step of this number (first step is 1). */
const killAt = Number(process.env.NUGATOR_FAULT_AT ?? 0)
/** Write the number of steps so far to this file, after every step. */
const countFile = process.env.NUGATOR_FAULT_COUNT

/** True if a test asked for numbered steps: then netlink messages go out one by one. */
export const stepping: boolean = killAt > 0 || countFile !== undefined

let steps = 0

/** To be called just before a change is made. */
export function step(): void {
  if (!stepping) return
  steps += 1
  if (steps === killAt) process.kill(process.pid, 'SIGKILL')
  if (countFile !== undefined) writeFileSync(countFile, String(steps))
}
