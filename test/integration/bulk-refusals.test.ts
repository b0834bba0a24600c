/** What of many wires is refused before the first change: everything at once, each finding with its link and end. */
import { test } from 'tap'
import { WiresError } from '../../src/koko/bulk-error.ts'
import { planWires, type WantedWire } from '../../src/koko/bulk-plan.ts'
import type { EndSpec } from '../../src/koko/endpoint.ts'
import { addressOf, type Edge, type Ground, newGround, ring, wantedWires } from './rig/bulk.ts'
import { placeForeignDown } from './rig/foreign.ts'

/** The findings of a plan as `LINK SIDE: words`. */
function findings(wanted: readonly WantedWire[]): string[] {
  try {
    planWires(wanted)
  } catch (error) {
    if (!(error instanceof WiresError)) throw error
    return error.findings.map(({ link, side = '', error }) => `${link}${side}: ${error.message}`)
  }
  return []
}

/** A ring in which some ends are changed, named as `2b`. */
function changed(ground: Ground, shape: readonly Edge[], changes: Record<string, Partial<EndSpec>>) {
  return wantedWires(
    (place) => ground.at(place),
    shape,
    (link, side) => changes[`${link}${side}`] ?? {},
  )
}

test('what one end or one wire by itself may not have', async (t) => {
  const ground = newGround(t, 6)
  const before = await ground.snapshot()
  const wanted = changed(ground, ring(6), {
    '0a': { ifName: 'far-too-long-for-a-name' },
    '1b': { mtu: 12 },
    '2a': { addresses: [{ address: '224.0.0.1/24' }] },
    '3b': { routes: [{ dst: '10.9.0.0/16', gw: '192.168.9.9' }] },
    '4a': { mac: '02:00:00:00:00:01' },
    '4b': { mac: '02:00:00:00:00:01' },
    '5a': { addresses: [{ address: '10.1.1.1/24' }] },
    '5b': { addresses: [{ address: '10.1.1.1/24' }] },
  })
  const found = findings(wanted)
  t.match(found, [
    /^0a: interface name "far-too-long-for-a-name" is longer than 15 bytes$/,
    /^1b: MTU 12 of e1b is out of range$/,
    /^2a: address 224.0.0.1\/24 is not a unicast address$/,
    /^3b: route .* gateway 192.168.9.9 is in no network of e3b$/,
    /^4: both ends have the MAC address 02:00:00:00:00:01$/,
    /^5: address 10.1.1.1\/24 is given to both ends of the wire$/,
  ])
  t.equal(found.length, 6)
  t.same(await ground.snapshot(), before)
  t.throws(() => planWires(wanted), {
    name: 'WireError',
    problem: 'invalid',
    message: 'link #0, end a: interface name "far-too-long-for-a-name" is longer than 15 bytes (and 5 more)',
  })
})

test('what two wires may not share', async (t) => {
  const ground = newGround(t, 4)
  const before = await ground.snapshot()
  const shape: Edge[] = [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 0],
    [0, 2],
  ]
  const mac = '02:00:00:00:00:07'
  const shared: Record<string, { changes: Record<string, Partial<EndSpec>>; found: RegExp[] }> = {
    'a name in a namespace': {
      changes: { '0b': { ifName: 'eth0' }, '1a': { ifName: 'eth0' } },
      found: [/^1a: interface name eth0 in \S+-1 is also wanted by link #0, end b$/],
    },
    'an address in a namespace, whatever its prefix length': {
      changes: {
        '2a': { addresses: [{ address: '10.7.7.7/24' }] },
        '4b': { addresses: [{ address: '10.8.8.8/24' }, { address: '10.7.7.7/16' }] },
      },
      found: [/^4b: address 10.7.7.7\/16 in \S+-2 is also wanted by link #2, end a$/],
    },
    'an IPv6 address, however it is written': {
      changes: {
        '0a': { addresses: [{ address: 'fd00::1/64' }] },
        '3b': { addresses: [{ address: 'fd00:0:0::0:1/64' }] },
      },
      found: [/^3b: address .* is also wanted by link #0, end a$/],
    },
    'a MAC address anywhere': {
      changes: { '0a': { mac }, '2b': { mac }, '3a': { mac } },
      found: [
        /^2b: MAC address 02:00:00:00:00:07 is also given to link #0, end a$/,
        /^3a: MAC address 02:00:00:00:00:07 is also given to link #0, end a$/,
      ],
    },
  }
  for (const [what, { changes, found }] of Object.entries(shared)) {
    const actual = findings(changed(ground, shape, changes))
    t.match(actual, found, what)
    t.equal(actual.length, found.length, `${what}, and nothing else`)
  }
  const within = wantedWires(
    (place) => ground.at(place),
    [[0, 0]],
    () => ({ ifName: 'eth0' }),
  )
  t.match(findings(within), [/^0b: interface name eth0 in \S+-0 is also wanted by link #0, end a$/])
  const all = Object.assign({}, ...Object.values(shared).map(({ changes }) => changes))
  t.ok(findings(changed(ground, shape, all)).length > 3, 'all at once')
  t.same(await ground.snapshot(), before)
})

test('what is fine: the same names and addresses in different namespaces, link-local ones anywhere', (t) => {
  const ground = newGround(t, 4)
  const alike = wantedWires(
    (place) => ground.at(place),
    [
      [0, 1],
      [2, 3],
    ],
    (_, side) => ({
      ifName: 'eth0',
      addresses: [{ address: side === 'a' ? '10.0.0.1/24' : '10.0.0.2/24' }],
    }),
  )
  t.same(findings(alike), [])
  const linkLocal = changed(
    ground,
    [
      [0, 1],
      [0, 2],
      [0, 3],
    ],
    {
      '0a': { addresses: [{ address: 'fe80::1/64' }] },
      '1a': { addresses: [{ address: 'fe80::1/64' }] },
    },
  )
  t.same(findings(linkLocal), [])
  t.end()
})

test('what a namespace has already: names, altnames, addresses', async (t) => {
  const ground = newGround(t, 3)
  await placeForeignDown(ground.name(1), 'foreign-alt')
  const before = await ground.snapshot()
  const shape: Edge[] = [
    [0, 1],
    [1, 2],
    [2, 0],
    [0, 1],
  ]
  const found = findings(
    changed(ground, shape, {
      '0a': { ifName: 'fbr0' }, // free there
      '0b': { ifName: 'fbr0' },
      '1a': { ifName: 'foreign-alt' },
      '2a': { addresses: [{ address: '192.0.2.1/24' }] }, // free there
      '3b': { ifName: 'lo', addresses: [{ address: '192.0.2.1/25' }, { address: '127.0.0.1/8' }] },
    }),
  )
  t.match(found, [
    /^0b: interface name fbr0 already exists in \S+-1$/,
    /^1a: interface name foreign-alt \(an altname of falt0\) already exists in \S+-1$/,
    /^3b: interface name lo already exists in \S+-1$/,
    /^3b: address 192.0.2.1\/25 is already in use in \S+-1$/,
    /^3b: address 127.0.0.1\/8 is already in use in \S+-1$/,
  ])
  t.equal(found.length, 5)
  t.same(await ground.snapshot(), before)
  t.throws(() => planWires(changed(ground, [[0, 1]], { '0b': { ifName: 'fbr0' } })), {
    name: 'WireError',
    problem: 'exists',
  })
})

test('a plan changes nothing, and no two plans choose the same ifindexes', async (t) => {
  const ground = newGround(t, 3)
  const before = await ground.snapshot()
  const wanted = wantedWires((place) => ground.at(place), ring(3))
  const plans = Array.from({ length: 20 }, () => planWires(wanted))
  const indexes = plans.flatMap(({ wires }) =>
    wires.flatMap(({ a, b }) => [a, b].map(({ netns, index }) => `${netns.path} ${index}`)),
  )
  t.equal(new Set(indexes).size, indexes.length)
  t.same(await ground.snapshot(), before)
  t.equal(addressOf(0, 'a'), '10.100.0.1')
})
