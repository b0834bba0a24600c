/**
 * Measures nugator beside what it is compared with, in turn and in one run: believe the ratios.
 *
 *   npm run bench -- [wire] [add] [--rounds N]
 *
 * Prints a table for each scene and writes bench/out/SCENE.json with all samples.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { addScene, measureAdds } from './add.ts'
import { summarize, table } from './stats.ts'
import { wireScene } from './wire.ts'

const OUT = join(import.meta.dirname, 'out')

interface Row {
  name: string
  samples: readonly number[]
}

/** Shows contestants (the first is what the others are measured by) and keeps their numbers. */
function report(scene: string, title: string, groups: Record<string, readonly Row[]>): void {
  console.log(title)
  const results: Record<string, unknown> = {}
  for (const [group, rows] of Object.entries(groups)) {
    if (group !== '') console.log(` ${group}`)
    console.log(table(rows))
    const [base, ...others] = rows.map((row) => ({ name: row.name, ...summarize(row.samples) }))
    const ratios = others.map((row) => [row.name, row.median / (base?.median ?? Number.NaN)])
    results[group === '' ? scene : group] = {
      summaries: [base, ...others],
      ratios: Object.fromEntries(ratios),
      samples: Object.fromEntries(rows.map((row) => [row.name, row.samples])),
    }
  }
  const machine = { kernel: release(), node: process.version, cpu: cpus()[0]?.model, cpus: cpus().length }
  mkdirSync(OUT, { recursive: true })
  const text = JSON.stringify({ scene, at: new Date().toISOString(), unit: 'ms', machine, results }, null, 1)
  writeFileSync(join(OUT, `${scene}.json`), `${text}\n`)
}

async function wire(rounds: number): Promise<void> {
  const { floor, engine } = await wireScene(rounds)
  report('wire', `wire: veth across two namespaces, an address each, both up (${rounds} rounds in turn)`, {
    '': [
      { name: 'C floor', samples: floor },
      { name: 'nugator', samples: engine },
    ],
  })
}

function add(rounds: number): void {
  const { ptp, nugator } = addScene(rounds)
  const rows = (verb: 'add' | 'del'): Row[] => [
    { name: 'ptp', samples: ptp[verb] },
    { name: 'nugator', samples: nugator[verb] },
  ]
  report('add', `add: whole ADD and DEL with host-local, each an exec (${rounds} rounds in turn)`, {
    ADD: rows('add'),
    DEL: rows('del'),
  })
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, inside: { type: 'string' } },
})
const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
const unknown = positionals.find((scene) => scene !== 'wire' && scene !== 'add')

if (values.inside !== undefined) {
  process.stdout.write(JSON.stringify(measureAdds(JSON.parse(values.inside))))
} else if (unknown !== undefined || (rounds !== undefined && !(rounds > 0))) {
  console.error(`usage: npm run bench -- [wire] [add] [--rounds N]`)
  process.exitCode = 2
} else {
  const scenes = positionals.length > 0 ? positionals : ['wire', 'add']
  if (scenes.includes('wire')) await wire(rounds ?? 400)
  if (scenes.includes('add')) add(rounds ?? 60)
}
