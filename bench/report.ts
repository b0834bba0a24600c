/** A run: what is printed of it, and what is written to bench/out. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { type Claim, isMet, type SceneResult } from './result.ts'
import { summarize, table } from './stats.ts'

const OUT = join(import.meta.dirname, 'out')

export interface Machine {
  readonly kernel: string
  readonly node: string
  readonly cpu: string
  readonly cpus: number
  /** GiB. */
  readonly memory: number
  /** Of the last minute, when the run began: others that worked at the same time. */
  readonly load: number
}

export interface Run {
  /** The command that made it. */
  readonly command: string
  readonly at: string
  /** s */
  readonly took: number
  readonly machine: Machine
  readonly scenes: Readonly<Record<string, SceneResult>>
  /** Scenes that failed, and how. */
  readonly failed: Readonly<Record<string, string>>
}

export function thisMachine(load: number): Machine {
  return {
    kernel: release(),
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memory: Math.round(totalmem() / 2 ** 30),
    load,
  }
}

/** `0.27 ×`, `5.4 ms`, `71 MB`. */
export function valueText({ value, unit }: Claim): string {
  const digits = unit === '×' ? (value < 0.1 ? 4 : 2) : unit === 'ms' ? 1 : 0
  return `${value.toFixed(digits)} ${unit}`
}

export function targetText({ target, unit }: Claim): string {
  return `≤ ${target} ${unit}`
}

export function printScene(name: string, { title, groups, claims, notes, splits }: SceneResult): void {
  console.log(`\n${name}: ${title}`)
  for (const { title, rows } of groups) console.log(` ${title}\n${table(rows)}`)
  for (const [verb, parts] of Object.entries(splits ?? {})) console.log(`  ${splitText(verb, parts)}`)
  for (const note of notes) console.log(`  ${note}`)
  for (const claim of claims)
    console.log(`  ${isMet(claim) ? '✓' : '✗'} ${claim.what}: ${valueText(claim)} (${targetText(claim)})`)
}

/** `inside the agent, ADD: prepare 120 µs, ipam 400 µs, …`, in the order of the work. */
export function splitText(verb: string, parts: Readonly<Record<string, number>>): string {
  const sum = Object.values(parts).reduce((one, other) => one + other, 0)
  const each = Object.entries(parts).map(([part, us]) => `${part} ${us}`)
  return `inside the agent, ${verb} (µs, medians): ${each.join(', ')}; together ${sum}`
}

export function printClaims({ scenes, failed }: Run): void {
  const claims = Object.values(scenes).flatMap(({ claims }) => claims)
  const width = Math.max(0, ...claims.map(({ what }) => what.length))
  console.log('\nwhat was to be shown')
  for (const claim of claims) {
    const cells = [valueText(claim).padStart(11), targetText(claim).padStart(11)]
    console.log(` ${isMet(claim) ? '✓' : '✗'} ${claim.what.padEnd(width)}${cells.join('  ')}`)
  }
  for (const [name, why] of Object.entries(failed)) console.log(` ✗ scene ${name} failed: ${why}`)
}

/** bench/out/SCENE.json for each scene that was run, with all samples, and bench/out/bench.json for the run. */
export function writeRun(run: Run): void {
  mkdirSync(OUT, { recursive: true })
  const { scenes, failed, ...about } = run
  for (const [scene, result] of Object.entries(scenes)) {
    const groups = result.groups.map(({ title, rows }) => ({
      title,
      unit: 'ms',
      rows: rows.map((row) => ({ ...summarize(row.samples), ...row })),
    }))
    write(`${scene}.json`, { scene, ...about, ...result, groups })
  }
  write('bench.json', run)
}

/** The run that was written last. */
export function lastRun(): Run {
  return JSON.parse(readFileSync(join(OUT, 'bench.json'), 'utf8'))
}

function write(file: string, content: unknown): void {
  writeFileSync(join(OUT, file), `${JSON.stringify(content, null, 1)}\n`)
}
