/** Scene `wire`: a veth across two namespaces, an address on each end, both up. The C floor against the engine. */
import { setTimeout as pause } from 'node:timers/promises'
import { DEFAULT_MTU, DEFAULT_TX_QUEUE_LENGTH, type EndSpec } from '../src/koko/endpoint.ts'
import { randomMac } from '../src/koko/mac.ts'
import { aliasOf, keyOf } from '../src/koko/marks.ts'
import { applyWire, planWire } from '../src/koko/wire.ts'
import { Netns } from '../src/netns/netns.ts'
import { compiled } from './compile.ts'
import { Dialogue } from './dialogue.ts'
import { Ground } from './ground.ts'
import { median, type Scene } from './result.ts'
import { inTurn, Samples } from './turns.ts'

/** Rounds of both that do not count. */
const WARM_UP = 30
/** Wires made before that, so that the engine is measured as a resident process runs it, compiled by V8. */
const WIRES_BEFORE = 1500
/** For the kernel to be done with those again. */
const REST_MS = 4000
const FLOOR = 'C floor'
const ENGINE = 'nugator'

interface End {
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
function wireOnce(a: End, b: End): void {
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

async function warmUp(): Promise<void> {
  const ground = new Ground('warm')
  try {
    const a = ground.netns('a').path
    const b = ground.netns('b').path
    for (let wire = 0; wire < WIRES_BEFORE; wire += 1) {
      const address = (end: number) => `10.${wire >> 8}.${wire & 255}.${end}/24`
      wireOnce(
        { netns: a, ifName: `a${wire}`, address: address(1) },
        { netns: b, ifName: `b${wire}`, address: address(2) },
      )
    }
  } finally {
    ground.remove()
  }
  await pause(REST_MS)
}

export const wireScene: Scene = {
  name: 'wire',
  rounds: { full: 400, quick: 150 },
  async run(rounds) {
    const ground = new Ground()
    const [a, b] = [ground.netns('a').path, ground.netns('b').path]
    await warmUp()
    const floor = new Dialogue(compiled('floor'), ['serve', a, b])
    const samples = new Samples()
    const turns = {
      [FLOOR]: async () => Number(await floor.ask('wire')) / 1000,
      [ENGINE]: async () => {
        const start = performance.now()
        wireOnce({ netns: a, ...END_A }, { netns: b, ...END_B })
        const took = performance.now() - start
        await floor.ask(`delete ${END_A.ifName}`)
        return took
      },
    }
    const turn = async ([name, wire]: [string, () => Promise<number>], counts: boolean) => {
      const took = await wire()
      if (counts) samples.add(name, took)
    }
    try {
      await inTurn(Object.entries(turns), rounds, turn, WARM_UP)
    } finally {
      floor.stop()
      ground.remove()
    }
    const rows = [samples.row(FLOOR), samples.row(ENGINE)] as const
    const times = (median(rows[1]) / median(rows[0])).toFixed(2)
    return {
      title: 'a veth across two namespaces, an address each, both up, in process',
      groups: [{ title: 'a wire in process', rows }],
      claims: [],
      notes: [`the engine, in process, takes ${times} times as long as the C floor`],
    }
  },
}
