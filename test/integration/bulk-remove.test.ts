/** Many wires removed at once: all that are ours, nothing that is not, and one that fails keeps no other. */
import { test } from 'tap'
import { applyWires } from '../../src/koko/bulk-apply.ts'
import { deleteTogether } from '../../src/koko/bulk-destroy.ts'
import { WiresError } from '../../src/koko/bulk-error.ts'
import { planWires } from '../../src/koko/bulk-plan.ts'
import { type RecordedWire, removeWires } from '../../src/koko/bulk-remove.ts'
import { Netns } from '../../src/netns/netns.ts'
import { type Edge, type Ground, mesh, newGround, recorded, ring, star, wantedWires } from './rig/bulk.ts'
import { foreignState, placeForeignDown } from './rig/foreign.ts'

const LIVE_GROUP = 0x6e670000

async function make(ground: Ground, shape: readonly Edge[]): Promise<RecordedWire[]> {
  const plan = planWires(wantedWires((place) => ground.at(place), shape))
  await applyWires(plan)
  return recorded(plan.wires)
}

/** Counts what is sent from pool threads from now on: each is one RTM_DELLINK of a group. */
function countSends(ground: Ground): () => number {
  let sends = 0
  for (const { socket } of ground.netns) {
    const exchange = socket.exchangeElsewhere.bind(socket)
    socket.exchangeElsewhere = async (requests) => {
      if (requests.length > 0) sends += 1
      return await exchange(requests)
    }
  }
  return () => sends
}

test('foreign interfaces stay as they are, beside ours and in between', async (t) => {
  const ground = newGround(t, 6)
  const wires = await make(ground, mesh(6))
  const foreign = await Promise.all(ground.names.map((name, at) => placeForeignDown(name, `alt${at}`)))
  for (const at of ground.names.keys()) {
    await ground.ip(at, 'link', 'set', 'fveth0', 'group', String(LIVE_GROUP)) // one mark is not enough
  }
  await removeWires(wires, ground.host)
  t.same(
    (await ground.interfaces()).filter((name) => !/ f/.test(name)),
    [],
  )
  for (const [at, name] of ground.names.entries()) {
    await ground.ip(at, 'link', 'set', 'fveth0', 'group', '0')
    t.equal(await foreignState(name), foreign[at])
  }
})

test('each wire is deleted once, in few namespaces', async (t) => {
  const shapes: Record<string, { shape: Edge[]; count: number; least: number; most: number }> = {
    'a star: at its hub': { shape: star(30), count: 30, least: 1, most: 1 },
    'a ring: in every other': { shape: ring(30), count: 30, least: 15, most: 20 },
    'a mesh: in all but one': { shape: mesh(8), count: 8, least: 7, most: 7 },
    'many at one place: some at a time': {
      shape: Array.from({ length: 130 }, (): Edge => [0, 1]),
      count: 2,
      least: 3,
      most: 3,
    },
  }
  for (const [what, { shape, count, least, most }] of Object.entries(shapes)) {
    const ground = newGround(t, count)
    const wires = await make(ground, shape)
    const sends = countSends(ground)
    await removeWires(wires, ground.host)
    t.ok(sends() >= least && sends() <= most, `${what} (${sends()})`)
    t.same(await ground.interfaces(), [])
    ground.remove()
  }
})

test("an interface that merely has a recorded ifindex is somebody else's", async (t) => {
  const ground = newGround(t, 3)
  const wires = await make(ground, ring(3))
  const [first] = wires
  const { index } = first?.ends[0] ?? {}
  await ground.ip(0, 'link', 'delete', 'e0a')
  await ground.ip(0, 'link', 'add', 'theirs', 'index', String(index), 'type', 'veth', 'peer', 'name', 'peer')
  await removeWires(wires, ground.host)
  t.same(await ground.interfaces(), ['0 peer', '0 theirs'])
})

test("another owner's wire stays", async (t) => {
  const ground = newGround(t, 2)
  const wires = await make(ground, [[0, 1]])
  await removeWires(
    wires.map(({ label, ends }) => ({ label, ends: ends.slice(0, 1), key: 'f'.repeat(64) })),
    ground.host,
  )
  t.equal((await ground.interfaces()).length, 2)
})

test('root in a container has washed the marks off, renamed the end and taken it down', async (t) => {
  const ground = newGround(t, 4)
  const wires = await make(ground, mesh(4))
  for (const [netns, name] of [
    [0, 'e0a'],
    [1, 'e0b'],
    [1, 'e3a'],
  ] as const) {
    await ground.ip(netns, 'link', 'set', name, 'down', 'alias', '', 'group', '0')
    await ground.ip(netns, 'link', 'set', name, 'name', `${name}-mine`, 'address', '02:00:00:00:00:99')
  }
  await removeWires(wires, ground.host)
  t.same(await ground.interfaces(), [])
})

test('where the host is, marks are needed', async (t) => {
  const ground = newGround(t, 2)
  const host = Netns.at(ground.at(0).path)
  t.teardown(() => host.close())
  const wires = await make(ground, [
    [0, 1],
    [0, 0],
  ])
  for (const [netns, name] of [
    [0, 'e0a'],
    [1, 'e0b'],
    [0, 'e1a'],
    [0, 'e1b'],
  ] as const) {
    await ground.ip(netns, 'link', 'set', name, 'alias', 'somebody else')
  }
  const within = wires.slice(1)
  await removeWires(within, host)
  t.equal((await ground.interfaces()).length, 4, 'nothing was deleted')
  const atHost = wires.slice(0, 1).map((wire) => ({ ...wire, ends: wire.ends.slice(0, 1) }))
  await removeWires(atHost, host)
  t.equal((await ground.interfaces()).length, 4, 'nor by the end that lies there')
  await removeWires(wires, host)
  t.same(await ground.interfaces(), ['0 e1a', '0 e1b'], 'the container end of the other may go')
})

test('only one end is known, the namespace of the other is gone', async (t) => {
  const ground = newGround(t, 4)
  const wires = await make(ground, star(4))
  await removeWires(
    wires.map((wire, at) => ({ ...wire, ends: wire.ends.slice(at % 2, (at % 2) + 1) })),
    ground.host,
  )
  t.same(await ground.interfaces(), [])
  await removeWires([{ label: 'nothing', key: wires[0]?.key ?? '', ends: [] }], ground.host)
  await removeWires([], ground.host)
})

test('one that cannot be looked at is named, the others go', async (t) => {
  const ground = newGround(t, 4)
  const wires = await make(ground, [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 3],
    [2, 2],
  ])
  const blind = Netns.at(ground.at(3).path)
  const there = wires.map((wire) => ({
    ...wire,
    ends: wire.ends.map((end) => (end.netns === ground.at(3) ? { ...end, netns: blind } : end)),
  }))
  blind.close()
  const error: unknown = await removeWires(there, ground.host).catch((thrown: unknown) => thrown)
  if (!(error instanceof WiresError)) throw new Error('it did not fail')
  t.match(error.message, /^link #3: .*EBADF/)
  t.equal(error.findings.length, 1, 'the one that can be had by its other end is no failure')
  t.same(await ground.interfaces(), ['3 e3a', '3 e3b'])
  await removeWires(wires, ground.host)
  t.same(await ground.interfaces(), [])
})

test('a group that cannot be deleted, because root put lo in it: one by one then', async (t) => {
  const ground = newGround(t, 3)
  const wires = await make(ground, star(3))
  const group = LIVE_GROUP + 7
  await ground.ip(0, 'link', 'set', 'lo', 'group', String(group))
  const holds = wires.flatMap(({ label, ends }, link) =>
    ends.slice(0, 1).map((end) => ({ ...end, wire: { link, label, ends } })),
  )
  t.same(await deleteTogether(ground.at(0), holds, group), [])
  t.same(await ground.interfaces(), [])
})
