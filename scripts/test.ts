/**
 * Runs the tests: unit, then integration twice: each plugin call a process of its own (cold), and through the native
 * client and a resident agent (hot). The last line is `N passed, N failed`.
 *
 *   npm test [-- FILE… [tap options]]      for example  npm test -- test/unit/layers.test.ts --grep=circle
 *   NGT_WAY=cold npm test                  only one of the two
 */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { leftovers, traces } from './leftovers.ts'
import { TapReport, type Totals } from './tap-report.ts'
import { TestAgent } from './test-agent.ts'

const ROOT = resolve(import.meta.dirname, '..')
/** Test files run at once, in each suite: both keep to namespaces of their own. */
const JOBS = { unit: 2, integration: 2 } as const
type Suite = keyof typeof JOBS

const print = (line: string): void => console.log(line)

/** The files of a suite: those asked for that belong to it, or all. */
function filesOf(suite: Suite, asked: readonly string[]): string[] {
  const all = globSync(`test/${suite}/**/*.test.ts`, { cwd: ROOT }).sort()
  if (asked.length === 0) return all
  const wanted = asked.map((path) => relative(ROOT, resolve(process.env.INIT_CWD ?? '.', path)))
  return all.filter((file) => wanted.some((path) => file === path || file.startsWith(`${path}/`)))
}

/**
 * Integration tests that the hot run leaves out, by how their files' names begin, for it would only repeat them. All
 * others go through the agent in that run, but for calls that say why they do not.
 */
const NOT_AGAIN: Readonly<Record<string, string>> = {
  agent: 'agents of their own, to be stopped and killed',
  service: 'the service and its sandbox, with agents of their own',
  client: 'the client with agents that a test makes up',
  install: 'what is put where, and taken away',
  launcher: 'how Node is found',
  bulk: 'the engine alone',
  engine: 'the engine alone',
  'host-local': 'leases alone, in processes of their own',
  'hostile-parse': 'what comes before the kernel, in process',
  netns: 'namespaces, and the commands of a person',
}

function isNotAgain(file: string): boolean {
  return Object.keys(NOT_AGAIN).some((name) => new RegExp(`^${name}[.-]`).test(basename(file)))
}

/** How the plugin is called in the integration tests; the rig (rig/host.ts) reads it from NGT_WAY. */
type Way = 'cold' | 'hot'

async function runTap(
  files: readonly string[],
  jobs: number,
  options: readonly string[],
  env: Record<string, string>,
): Promise<Totals> {
  const args = ['run', '--reporter=tap', `--jobs=${jobs}`, ...options, ...files]
  const child = spawn(join(ROOT, 'node_modules/.bin/tap'), args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((done, fail) => {
    child.on('error', fail)
    child.on('close', done)
  })
  const report = new TapReport(print, process.stdout.isTTY === true && process.env.NO_COLOR === undefined)
  for await (const line of createInterface({ input: child.stdout })) report.line(line)
  report.finish()
  const code = await ended
  const totals = report.totals ?? { passed: 0, failed: 0 }
  if (totals.failed === 0 && (code !== 0 || report.totals === undefined)) {
    print(`tap ended with ${code ?? 'a signal'}${report.totals === undefined ? ' and without totals' : ''}`)
    totals.failed = 1
  }
  return totals
}

/** The integration tests with an agent that lives as long as they run. */
async function runHot(all: readonly string[], options: readonly string[]): Promise<Totals> {
  const files = all.filter((file) => !isNotAgain(file))
  if (files.length === 0) return { passed: 0, failed: 0 }
  const agent = new TestAgent(join(ROOT, 'dist/bin/nugator'))
  await agent.ready()
  const totals = await runTap(files, JOBS.integration, options, { NGT_WAY: 'hot', NGT_AGENT: agent.socket })
  const { problems, summary } = await agent.stop()
  print(`hot: ${summary}`)
  for (const problem of problems) print(`not ok: ${problem}`)
  totals.failed += problems.length
  return totals
}

function ways(): Way[] {
  const asked = process.env.NGT_WAY
  return asked === 'cold' || asked === 'hot' ? [asked] : ['cold', 'hot']
}

async function main(): Promise<Totals> {
  const asked = process.argv.slice(2).filter((arg) => !arg.startsWith('-'))
  const options = process.argv.slice(2).filter((arg) => arg.startsWith('-'))
  const total: Totals = { passed: 0, failed: 0 }
  const before = traces()
  let found = 0
  for (const suite of Object.keys(JOBS) as Suite[]) {
    const files = filesOf(suite, asked)
    if (files.length === 0) continue
    found += files.length
    for (const way of suite === 'integration' ? ways() : (['cold'] as const)) {
      if (suite === 'integration') print(`# ${suite}, ${way}`)
      const { passed, failed } =
        way === 'hot'
          ? await runHot(files, options)
          : await runTap(files, JOBS[suite], options, { NGT_WAY: 'cold' })
      total.passed += passed
      total.failed += failed
    }
  }
  if (found === 0) {
    print(asked.length === 0 ? 'there are no tests' : `no test file among: ${asked.join(' ')}`)
    total.failed += 1
  }
  for (const left of await leftovers(before)) {
    print(`left behind: ${left}`)
    total.failed += 1
  }
  return total
}

const { passed, failed } = await main()
print(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
