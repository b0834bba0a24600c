/**
 * Scene `bulk`: 1000 links over 200 namespaces, an address on each end, both up; then down again. Up: the C floor
 * against the engine. Down: one `ip -batch` for each namespace that owns links against the engine.
 *
 * By itself: node bench/bulk.ts [ROUNDS]
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { compiled } from './compile.ts'
import { Dialogue } from './dialogue.ts'
import { Ground, type Netns, run } from './ground.ts'
import { table } from './stats.ts'

const NAMESPACES = 200
const LINKS = 1000
/** Rounds of all that do not count, and ups and downs of the engine before them, for V8 to compile it. */
const WARM_UP = 1
const BEFORE = 4
/** For the kernel to be done with what was removed. */
const REST_MS = 300

export interface BulkSamples {
  up: { floor: number[]; engine: number[] }
  down: { ip: number[]; engine: number[] }
}

interface End {
  netns: Netns
  ifName: string
  address: string
}

interface Link {
  /** Whose namespace owns the link. */
  a: End
  b: End
}

/** Each namespace is joined to the ones that follow it, as many as it takes. */
function topology(namespaces: readonly Netns[]): Link[] {
  const each = LINKS / NAMESPACES
  return namespaces.flatMap((netns, at) =>
    Array.from({ length: each }, (_, hop): Link => {
      const link = at * each + hop
      const other = namespaces[(at + hop + 1) % NAMESPACES] ?? netns
      const address = (end: number) => `10.${link >> 8}.${link & 255}.${end}`
      return {
        a: { netns, ifName: `up${link}`, address: address(1) },
        b: { netns: other, ifName: `down${link}`, address: address(2) },
      }
    }),
  )
}

/** As people do it: for each namespace that owns links a file of `link delete` lines. */
class Ip {
  readonly #batches: { name: string; file: string }[]

  constructor(ground: Ground, links: readonly Link[]) {
    const owners = new Map<string, string>()
    for (const { a } of links) {
      owners.set(a.netns.name, `${owners.get(a.netns.name) ?? ''}link delete ${a.ifName}\n`)
    }
    this.#batches = [...owners].map(([name, batch]) => {
      const file = join(ground.dir, `${name}.batch`)
      writeFileSync(file, batch)
      return { name, file }
    })
  }

  /** Milliseconds for all of them, one after the other. */
  down(): number {
    const start = performance.now()
    for (const { name, file } of this.#batches) run('ip', ['-n', name, '-batch', file])
    return performance.now() - start
  }
}

/** Contestants in turn, and who begins changes with every round; milliseconds. */
export async function bulkScene(rounds: number): Promise<BulkSamples> {
  const ground = new Ground()
  const namespaces = Array.from({ length: NAMESPACES }, (_, at) => ground.netns(String(at)))
  const links = topology(namespaces)
  const file = join(ground.dir, 'links')
  const words = ({ netns, ifName, address }: End) => `${netns.path} ${ifName} ${address}`
  writeFileSync(file, links.map(({ a, b }) => `${words(a)} ${words(b)}\n`).join(''))

  const ip = new Ip(ground, links)
  const floor = new Dialogue(compiled('floor'), ['bulk', file])
  const engine = new Dialogue('env', [
    'UV_THREADPOOL_SIZE=16',
    process.execPath,
    join(import.meta.dirname, 'bulk-engine.ts'),
    file,
  ])
  const ask = async (contestant: Dialogue, question: string) => {
    const took = Number(await contestant.ask(question)) / 1000
    await pause(REST_MS)
    return took
  }
  const byFloor = async () => ({ up: await ask(floor, 'up'), down: ip.down() })
  const byEngine = async () => ({ up: await ask(engine, 'up'), down: await ask(engine, 'down') })

  const samples: BulkSamples = { up: { floor: [], engine: [] }, down: { ip: [], engine: [] } }
  try {
    for (let time = 0; time < BEFORE; time += 1) await byEngine()
    for (let round = -WARM_UP; round < rounds; round += 1) {
      const engineFirst = round % 2 === 0
      const early = engineFirst ? await byEngine() : undefined
      const other = await byFloor()
      const own = early ?? (await byEngine())
      if (round < 0) continue
      samples.up.floor.push(other.up)
      samples.up.engine.push(own.up)
      samples.down.ip.push(other.down)
      samples.down.engine.push(own.down)
    }
    return samples
  } finally {
    floor.stop()
    engine.stop()
    ground.remove()
  }
}

if (import.meta.main) {
  const { up, down } = await bulkScene(Number(process.argv[2] ?? 5))
  console.log(`up: ${LINKS} links over ${NAMESPACES} namespaces`)
  console.log(
    table([
      { name: 'C floor', samples: up.floor },
      { name: 'nugator', samples: up.engine },
    ]),
  )
  console.log('down')
  console.log(
    table([
      { name: 'ip -batch', samples: down.ip },
      { name: 'nugator', samples: down.engine },
    ]),
  )
}
