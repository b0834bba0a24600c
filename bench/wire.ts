/** Scene `wire`: a veth across two namespaces, an address on each end, both up. The C floor against the engine. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { DEFAULT_MTU, DEFAULT_TX_QUEUE_LENGTH, type EndSpec } from '../src/koko/endpoint.ts'
import { randomMac } from '../src/koko/mac.ts'
import { aliasOf, keyOf } from '../src/koko/marks.ts'
import { applyWire, planWire } from '../src/koko/wire.ts'
import { Netns } from '../src/netns/netns.ts'
import { Ground, run } from './ground.ts'

const SOURCE = join(import.meta.dirname, 'floor.c')
const FLOOR = join(import.meta.dirname, 'out/floor')
/** Rounds of both that do not count. */
const WARM_UP = 30
/** Wires made before that, so that the engine is measured as a resident process runs it, compiled by V8. */
const WIRES_BEFORE = 1500
/** For the kernel to be done with those again. */
const REST_MS = 4000

export interface End {
  /** Path of the namespace. */
  netns: string
  ifName: string
  /** With the prefix length. */
  address: string
}

/**
 * One wire by the engine, as the floor makes it: from opening the namespaces to closing them, every ACK read, IPv4
 * alone (the link-local addresses are left to the kernel on both sides). The engine also validates and marks both
 * ends and sets their MAC addresses, which the floor does not.
 */
export function wireOnce(a: End, b: End): void {
  const anchor = Netns.at(a.netns)
  const other = Netns.at(b.netns)
  applyWire(
    planWire({ netns: anchor, spec: specOf(a), ownName: true }, { netns: other, spec: specOf(b) }, ALIAS),
  )
  anchor.close()
  other.close()
}

const ALIAS = aliasOf(keyOf('bench'), 'bench')

function specOf({ ifName, address }: End): EndSpec {
  return {
    ifName,
    mac: randomMac(),
    mtu: DEFAULT_MTU,
    txQueueLength: DEFAULT_TX_QUEUE_LENGTH,
    addresses: [{ address }],
    routes: [],
  }
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

async function warmUp(): Promise<void> {
  const ground = new Ground('warm')
  try {
    const a = ground.netns('a').path
    const b = ground.netns('b').path
    for (let wire = 0; wire < WIRES_BEFORE; wire += 1) {
      const ends = [1, 2].map((end) => `10.${wire >> 8}.${wire & 255}.${end}/24`)
      const [mine = '', theirs = ''] = ends
      wireOnce(
        { netns: a, ifName: `a${wire}`, address: mine },
        { netns: b, ifName: `b${wire}`, address: theirs },
      )
    }
  } finally {
    ground.remove()
  }
  await new Promise((done) => setTimeout(done, REST_MS))
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
  await warmUp()
  const floor = new Floor(a, b)
  const samples: WireSamples = { floor: [], engine: [] }

  const engine = async (): Promise<number> => {
    const start = performance.now()
    wireOnce({ netns: a, ...END_A }, { netns: b, ...END_B })
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
