/** Many wires at once, on the real kernel: all of them ready, whatever their shape, and all of them gone again. */
import { test } from 'tap'
import { applyWires } from '../../src/koko/bulk-apply.ts'
import { planWires } from '../../src/koko/bulk-plan.ts'
import { removeWires } from '../../src/koko/bulk-remove.ts'
import { Netns } from '../../src/netns/netns.ts'
import {
  addressOf,
  allFlaws,
  type Change,
  type Edge,
  type Ground,
  girdle,
  mesh,
  newGround,
  recorded,
  ring,
  star,
  wantedWires,
} from './rig/bulk.ts'

/** Plans and makes the shape. */
async function make(ground: Ground, shape: readonly Edge[], change?: Change) {
  const plan = planWires(wantedWires((place) => ground.at(place), shape, change))
  await applyWires(plan)
  return plan.wires
}

test('1000 links over 200 namespaces: up, ready, and down', async (t) => {
  const ground = newGround(t, 200)
  const shape = girdle(200, 5)
  const before = await ground.snapshot()
  const wires = await make(ground, shape)
  t.equal(wires.length, 1000)
  t.same(await allFlaws(ground, shape, wires), [])
  for (let link = 0; link < 1000; link += 37) {
    const [from = 0, to = 0] = shape[link] ?? []
    t.ok(await ground.ping(from, addressOf(link, 'b')), `over link ${link}`)
    t.ok(await ground.ping(to, addressOf(link, 'a')), `and back`)
  }
  await removeWires(recorded(wires), ground.host)
  t.same(await ground.snapshot(), before, 'as if they had never been')
  await removeWires(recorded(wires), ground.host)
  t.pass('what is gone already is no failure')
})

test('rings, stars, meshes, and links within one namespace', async (t) => {
  const shapes: Record<string, { count: number; shape: Edge[] }> = {
    'one link': { count: 2, shape: [[0, 1]] },
    'a ring': { count: 12, shape: ring(12) },
    'a star': { count: 40, shape: star(40) },
    'a star seen from its rays': { count: 40, shape: star(40).map(([hub, ray]): Edge => [ray, hub]) },
    'a mesh': { count: 12, shape: mesh(12) },
    'several links between two': { count: 2, shape: Array.from({ length: 150 }, (): Edge => [0, 1]) },
    'links within one namespace': {
      count: 2,
      shape: [
        [0, 0],
        [0, 1],
        [1, 1],
        [0, 0],
      ],
    },
    none: { count: 1, shape: [] },
  }
  for (const [what, { count, shape }] of Object.entries(shapes)) {
    const ground = newGround(t, count)
    const before = await ground.snapshot()
    const wires = await make(ground, shape)
    t.same(await allFlaws(ground, shape, wires), [], what)
    for (const [link, [from, to]] of shape.entries()) {
      if (link % 13 === 0 && from !== to) t.ok(await ground.ping(from, addressOf(link, 'b')), `${what}: ping`)
    }
    await removeWires(recorded(wires), ground.host)
    t.same(await ground.snapshot(), before, `${what}, gone`)
    ground.remove()
  }
})

test('each end has all that was asked for: both families, routes, offload, sysctls', async (t) => {
  const ground = newGround(t, 6)
  const shape = ring(6)
  const wires = await make(ground, shape, (link, side) => ({
    mtu: 9000,
    txQueueLength: 500,
    addresses: [
      { address: `${addressOf(link, side)}/30` },
      { address: `fd00:${link + 1}::${side === 'a' ? 1 : 2}/64` },
    ],
    routes: [
      { dst: `198.51.${link}.0/24`, gw: addressOf(link, side === 'a' ? 'b' : 'a'), table: 100 },
      {
        dst: `fd01:${link + 1}::/64`,
        gw: `fd00:${link + 1}::${side === 'a' ? 2 : 1}`,
        table: 100,
        priority: 5,
      },
    ],
    ...(link % 2 === 0 ? { txOffload: false } : {}),
    ...(link % 3 === 0 ? { sysctls: { [`net/ipv4/conf/e${link}${side}/arp_notify`]: '1' } } : {}),
  }))
  t.same(await allFlaws(ground, shape, wires), [])
  for (const [link, [from, to]] of shape.entries()) {
    t.ok(await ground.ping(from, addressOf(link, 'b')), 'IPv4')
    t.ok(await ground.ping(from, `fd00:${link + 1}::2`), 'IPv6, at once')
    t.ok(await ground.ping(to, `fd00:${link + 1}::1`), 'and back')
    t.match(await ground.ip(from, 'route', 'show', 'table', '100'), `198.51.${link}.0/24 via`)
    t.match(
      await ground.ip(to, '-6', 'route', 'show', 'table', '100'),
      `fd01:${link + 1}::/64 via fd00:${link + 1}::1`,
    )
  }
  await removeWires(recorded(wires), ground.host)
  t.same(await ground.interfaces(), [])
})

test('two calls at once, and one that removes meanwhile, each with handles of its own', async (t) => {
  const ground = newGround(t, 10)
  const handles: Netns[] = []
  t.teardown(() => {
    for (const handle of handles) handle.close()
  })
  const more = (place: number) => {
    const handle = Netns.at(ground.at(place).path)
    handles.push(handle)
    return handle
  }
  const shape = mesh(10)
  const named =
    (prefix: string, net: number): Change =>
    (link, side) => ({
      ifName: `${prefix}${link}${side}`,
      addresses: [{ address: `10.${net}.${link}.${side === 'a' ? 1 : 2}/24` }],
    })
  const plan = (prefix: string, net: number) => planWires(wantedWires(more, shape, named(prefix, net)))
  const first = plan('x', 1)
  await applyWires(first)
  const second = plan('y', 2)
  const third = plan('z', 3)
  await Promise.all([removeWires(recorded(first.wires), ground.host), applyWires(second), applyWires(third)])
  t.same(await allFlaws(ground, shape, second.wires), [])
  t.same(await allFlaws(ground, shape, third.wires), [])
  t.equal((await ground.interfaces()).length, 4 * shape.length)
  await Promise.all([
    removeWires(recorded(second.wires), ground.host),
    removeWires(recorded(third.wires), ground.host),
  ])
  t.same(await ground.interfaces(), [])
})
