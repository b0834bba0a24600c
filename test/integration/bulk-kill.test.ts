/** kill -9 while many wires are made: what is left is marked, and all of it can be found and removed by the plan. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { type RecordedWire, removeWires } from '../../src/koko/bulk-remove.ts'
import { type Ground, KEY, newGround } from './rig/bulk.ts'
import type { Note } from './rig/bulk-child.ts'
import { foreignState, placeForeignDown } from './rig/foreign.ts'
import type { Holding } from './rig/snapshot.ts'

const CHILD = join(import.meta.dirname, 'rig/bulk-child.ts')
const OURS = `nugator:${KEY}:`

interface End {
  /** Kills it. */
  when: 'planned' | 'never'
  afterMs?: number
  env?: Record<string, string>
}

/** Runs the child to its end, natural or not. @returns how it ended */
async function child(file: string, ground: Ground, { when, afterMs = 0, env = {} }: End): Promise<string> {
  const paths = ground.names.map((name) => `/run/netns/${name}`)
  const process_ = spawn(process.execPath, [CHILD, file, ...paths], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(process_, 'close')
  if (when === 'planned') {
    await once(process_.stdout, 'data')
    await pause(afterMs)
    process_.kill('SIGKILL')
  } else process_.stdout.resume()
  const [code, signal] = await ended
  return String(signal ?? code)
}

function notesIn(file: string, ground: Ground): RecordedWire[] {
  const notes: Note[][] = JSON.parse(readFileSync(file, 'utf8'))
  return notes.map((ends, link) => ({
    label: `#${link}`,
    key: KEY,
    ends: ends.map(({ place, index, mac }) => ({ netns: ground.at(place), index, mac })),
  }))
}

interface Remains {
  count: number
  /** Ends `a` without an alias. */
  nameless: string[]
  /** Interfaces that cannot be known as ours at all. */
  unmarked: string[]
}

function remains(holdings: readonly Holding[], macs: ReadonlySet<string>): Remains {
  const links = holdings.flatMap(({ links }) => links).filter(({ ifname }) => /^e\d/.test(ifname))
  const nameless = links.filter(({ ifalias }) => !ifalias?.startsWith(OURS))
  const unknown = links.filter(
    ({ group, ifalias = '', address }) =>
      Number(group) !== 0x6e670000 || !(ifalias.startsWith(OURS) || (ifalias === '' && macs.has(address))),
  )
  return {
    count: links.length,
    nameless: nameless.map(({ ifname }) => ifname).filter((name) => name.endsWith('a')),
    unmarked: unknown.map(({ ifname }) => ifname),
  }
}

/** Looks at what a killed child left, removes it, and looks again. */
async function cleanUp(t: Test, ground: Ground, file: string, what: string): Promise<Remains> {
  const wires = notesIn(file, ground)
  const macs = new Set(wires.flatMap(({ ends }) => ends.map(({ mac }) => mac)))
  const left = remains(await ground.look(), macs)
  t.same(left.unmarked, [], `all that is left is marked: ${what}`)
  await removeWires(wires, ground.host)
  t.equal(remains(await ground.look(), macs).count, 0, `all of it is removed: ${what}`)
  return left
}

function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-bulk-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'plan')
}

test('killed before each single message and file', async (t) => {
  const ground = newGround(t, 3)
  const foreign = await Promise.all(ground.names.map((name, at) => placeForeignDown(name, `alt${at}`)))
  const file = scratch(t)
  const count = `${file}.steps`
  t.equal(await child(file, ground, { when: 'never', env: { NUGATOR_FAULT_COUNT: count } }), '0')
  t.equal((await cleanUp(t, ground, file, 'not killed')).count, 12)
  const steps = Number(readFileSync(count, 'utf8'))
  t.ok(steps > 40, `${steps} steps`)
  let partly = 0
  for (let step = 1; step <= steps; step += 1) {
    const env = { NUGATOR_FAULT_AT: String(step) }
    t.equal(await child(file, ground, { when: 'never', env }), 'SIGKILL')
    const left = await cleanUp(t, ground, file, `step ${step}`)
    if (left.count > 0) partly += 1
  }
  t.ok(partly > 30, `something was left ${partly} times`)
  for (const [at, name] of ground.names.entries()) t.equal(await foreignState(name), foreign[at])
})

test('killed at any time, with whole sends under way: no end a is ever without its alias', async (t) => {
  const ground = newGround(t, 24)
  const file = scratch(t)
  const counts: number[] = []
  for (let round = 0; round < 12; round += 1) {
    const ended = await child(file, ground, { when: 'planned', afterMs: 10 + round * 25 })
    const left = await cleanUp(t, ground, file, `round ${round}`)
    t.same(left.nameless, [])
    if (ended === 'SIGKILL') counts.push(left.count)
  }
  t.ok(
    counts.some((count) => count > 0 && count < 2 * 24 * 23),
    `killed half-way: ${counts}`,
  )
})
