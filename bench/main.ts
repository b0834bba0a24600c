/**
 * Measures nugator beside what it is compared with, in turn and in one run: believe the ratios.
 *
 *   npm run bench -- [SCENE…] [--quick] [--rounds N] [--koko PATH] [--docs | --redraw]
 *
 * Prints a table for each scene and what was to be shown beside what was measured; writes bench/out/SCENE.json with all
 * samples and bench/out/bench.json. --docs brings docs/performance.md and its chart up to date with the run, --redraw
 * with the last one. BENCH_NUGATOR names another build than dist/bin/nugator. The exit status is 0 whatever the
 * times are.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { writeDocs } from './docs.ts'
import { printClaims, printScene, type Run, thisMachine, writeRun } from './report.ts'
import type { SceneResult } from './result.ts'
import { SCENES } from './scenes.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    koko: { type: 'string' },
    docs: { type: 'boolean', default: false },
    redraw: { type: 'boolean', default: false },
  },
})

async function measure(): Promise<Run> {
  const chosen = SCENES.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const machine = thisMachine(loadavg()[0] ?? Number.NaN)
  const [at, start] = [new Date().toISOString(), performance.now()]
  const scenes: Record<string, SceneResult> = {}
  const failed: Record<string, string> = {}
  const { quick, koko } = values
  const options = { quick, ...(koko === undefined ? {} : { koko }) }
  for (const { name, rounds, run } of chosen) {
    const times = values.rounds === undefined ? rounds[quick ? 'quick' : 'full'] : Number(values.rounds)
    const begun = performance.now()
    try {
      const result = await run(times, options)
      scenes[name] = result
      printScene(name, result)
      console.log(`  (${Math.round((performance.now() - begun) / 1000)} s)`)
    } catch (error) {
      failed[name] = error instanceof Error ? error.message : String(error)
      console.error(`\n${name} failed: ${error instanceof Error ? error.stack : error}`)
    }
  }
  const command = [
    'npm run bench',
    ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : []),
  ].join(' ')
  return { command, at, took: (performance.now() - start) / 1000, machine, scenes, failed }
}

function usable(): boolean {
  const known = positionals.every((scene) => SCENES.some(({ name }) => name === scene))
  const all = positionals.length === 0
  return (
    known &&
    (values.rounds === undefined || Number(values.rounds) > 0) &&
    (all || !(values.docs || values.redraw))
  )
}

if (!usable()) {
  const names = SCENES.map(({ name }) => name).join(', ')
  console.error('usage: npm run bench -- [SCENE…] [--quick] [--rounds N] [--koko PATH] [--docs | --redraw]')
  console.error(`scenes: ${names}; --docs and --redraw are for all of them`)
  process.exitCode = 2
} else if (values.redraw) {
  writeDocs()
} else {
  const run = await measure()
  writeRun(run)
  printClaims(run)
  if (values.docs) writeDocs(run)
}
