/** Scene `wire`: a veth across two namespaces, an address on each end, both up. The C floor against the engine. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { Ground, run } from './ground.ts'

const SOURCE = join(import.meta.dirname, 'floor.c')
const FLOOR = join(import.meta.dirname, 'out/floor')
const WARM_UP = 50

export interface End {
  /** Path of the namespace. */
  netns: string
  ifName: string
  /** With the prefix length. */
  address: string
}

/*
 * ============================================================================================================
 * TO BE FILLED IN: one wire by the engine (src/koko), from opening the namespaces to closing everything, as the
 * floor does it: both ends in place, with address, up, every ACK read. It may be synchronous or not. The wire
 * is deleted by the caller, untimed. Load the engine's modules at the top of this file, not in here.
 * ============================================================================================================
 */
export function wireOnce(_a: End, _b: End): void | Promise<void> {
  throw new Error('engine not there yet')
}

const END_A = { ifName: 'engine-a', address: '10.202.0.1/24' } as const
const END_B = { ifName: 'engine-b', address: '10.202.0.2/24' } as const

function compile(): void {
  mkdirSync(dirname(FLOOR), { recursive: true })
  const made = statSync(FLOOR, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (made < statSync(SOURCE).mtimeMs) run('cc', ['-O2', '-o', FLOOR, SOURCE])
}

/** The floor as a process that works when asked to. */
class Floor {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: AsyncIterator<string>

  constructor(a: string, b: string) {
    this.#child = spawn(FLOOR, ['serve', a, b], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdin.on('error', () => {}) // if it died, the missing answer says so
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async ask(command: string): Promise<string> {
    this.#child.stdin.write(`${command}\n`)
    const answer = await this.#answers.next()
    if (answer.done) throw new Error(`the floor ended at: ${command}`)
    return answer.value
  }

  /** Milliseconds for a wire. */
  async wire(): Promise<number> {
    return Number(await this.ask('wire')) / 1000
  }

  stop(): void {
    this.#child.stdin.end()
  }
}

export interface WireSamples {
  floor: number[]
  engine: number[]
}

/** Both in turn, and who begins changes with every round; milliseconds. */
export async function wireScene(rounds: number): Promise<WireSamples> {
  compile()
  const ground = new Ground()
  const a = ground.netns('a').path
  const b = ground.netns('b').path
  const floor = new Floor(a, b)
  const samples: WireSamples = { floor: [], engine: [] }

  const engine = async (): Promise<number> => {
    const start = performance.now()
    const done = wireOnce({ netns: a, ...END_A }, { netns: b, ...END_B })
    if (done instanceof Promise) await done
    const took = performance.now() - start
    await floor.ask(`delete ${END_A.ifName}`)
    return took
  }

  try {
    for (let round = -WARM_UP; round < rounds; round++) {
      const engineFirst = round % 2 === 0
      const first = engineFirst ? await engine() : await floor.wire()
      const second = engineFirst ? await floor.wire() : await engine()
      if (round < 0) continue
      samples.engine.push(engineFirst ? first : second)
      samples.floor.push(engineFirst ? second : first)
    }
    return samples
  } finally {
    floor.stop()
    ground.remove()
  }
}
