/** Running the system's own programs (nft, iptables), by absolute path: a runtime's PATH may be minimal. */
import { statSync } from 'node:fs'
import { CniError, Code } from '../cni/error.ts'
import { type Surroundings, startWithin } from '../cni/exec.ts'
import { step } from '../netlink/steps.ts'

/** Characters of a program's complaint that are passed on: some repeat all of their input. */
const COMPLAINT_MAX = 300

const DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/local/bin']

/** @returns undefined if the program is not installed */
export function findTool(name: string): string | undefined {
  return DIRECTORIES.map((directory) => `${directory}/${name}`).find((file) =>
    statSync(file, { throwIfNoEntry: false })?.isFile(),
  )
}

/** Runs a program. @returns stdout @throws CniError with the program's own words if it fails or is missing */
export type RunTool = (name: string, args: readonly string[], input?: string) => Promise<string>

/** @param within the network namespace whose tables the programs are to change */
export function toolsWithin(within: Surroundings['within']): RunTool {
  return (name, args, input = '') => runTool(within, name, args, input)
}

async function runTool(
  within: Surroundings['within'],
  name: string,
  args: readonly string[],
  input: string,
): Promise<string> {
  const file = findTool(name)
  if (file === undefined) {
    throw new CniError(Code.notAvailable, `${name} is not installed`, `install the package that has ${name}`)
  }
  const { execa } = await import('execa')
  step()
  const done = await startWithin(within, () =>
    execa(file, args, {
      input,
      env: { LC_ALL: 'C' }, // callers look for words in the complaint
      reject: false,
      maxBuffer: 256 * 1024 * 1024,
    }),
  )
  step()
  if (!done.failed) return done.stdout
  // Not execa's own message, which has all the arguments in it.
  const end = done.signal === undefined ? `exit code ${done.exitCode}` : `ended by ${done.signal}`
  const why = done.stderr?.trim() || done.originalMessage || end
  const short = why.length > COMPLAINT_MAX ? `${why.slice(0, COMPLAINT_MAX)}…` : why
  throw new CniError(Code.internal, `${name} failed: ${short}`)
}
