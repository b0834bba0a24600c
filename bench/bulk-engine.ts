/**
 * The engine as a process that wires many at once when asked to, like `floor bulk`. stdin, a line each: "up" makes all
 * links of the file given, "down" removes them; the answer is in microseconds, from opening the namespaces to closing
 * them. Started with UV_THREADPOOL_SIZE=16, so that as many deletions wait for RCU at a time.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { applyWires } from '../src/koko/bulk-apply.ts'
import { planWires } from '../src/koko/bulk-plan.ts'
import { type RecordedWire, removeWires } from '../src/koko/bulk-remove.ts'
import { DEFAULT_MTU, DEFAULT_TX_QUEUE_LENGTH } from '../src/koko/endpoint.ts'
import { randomMac } from '../src/koko/mac.ts'
import { aliasOf, keyOf } from '../src/koko/marks.ts'
import type { WireEnd } from '../src/koko/wire.ts'
import { Netns } from '../src/netns/netns.ts'

/** What is written down of an end. */
interface Kept {
  path: string
  index: number
  mac: string
}

const KEY = keyOf('bench')
const lines = readFileSync(process.argv[2] ?? '', 'utf8')
  .trim()
  .split('\n')
const links = lines.map((line) => line.split(' '))
let kept: Kept[][] = []

/** Each namespace opened once. */
function opener(): { open: (path: string) => Netns; close: () => void } {
  const opened = new Map<string, Netns>()
  return {
    open(path) {
      const netns = opened.get(path) ?? Netns.at(path)
      opened.set(path, netns)
      return netns
    },
    close() {
      for (const netns of opened.values()) netns.close()
    },
  }
}

function end(netns: Netns, ifName = '', address = ''): WireEnd {
  const addresses = [{ address: `${address}/24` }]
  const spec = { ifName, mac: randomMac(), addresses, routes: [] }
  return { netns, spec: { ...spec, mtu: DEFAULT_MTU, txQueueLength: DEFAULT_TX_QUEUE_LENGTH } }
}

async function up(): Promise<void> {
  const { open, close } = opener()
  const wanted = links.map(([pathA = '', nameA, addressA, pathB = '', nameB, addressB]) => ({
    a: end(open(pathA), nameA, addressA),
    b: end(open(pathB), nameB, addressB),
    alias: aliasOf(KEY, `${nameA} ${nameB}`),
  }))
  const plan = planWires(wanted)
  await applyWires(plan)
  kept = plan.wires.map(({ a, b }) =>
    [a, b].map(({ netns, index, spec }) => ({ path: netns.path, index, mac: spec.mac })),
  )
  close()
}

async function down(): Promise<void> {
  const { open, close } = opener()
  const recorded: RecordedWire[] = kept.map((ends, link) => ({
    label: String(link),
    key: KEY,
    ends: ends.map(({ path, ...end }) => ({ ...end, netns: open(path) })),
  }))
  const host = Netns.own()
  await removeWires(recorded, host)
  host.close()
  close()
}

for await (const line of createInterface({ input: process.stdin })) {
  const start = performance.now()
  await (line === 'up' ? up() : down())
  console.log(((performance.now() - start) * 1000).toFixed(1))
}
