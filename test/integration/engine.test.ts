/** The engine by itself, on the real kernel: wires, what they are given, and that a failure leaves nothing. */
import { test } from 'tap'
import { differences } from '../../src/koko/check.ts'
import type { EndSpec } from '../../src/koko/endpoint.ts'
import { findLink, inspect } from '../../src/koko/inspect.ts'
import { randomMac } from '../../src/koko/mac.ts'
import { aliasOf, isMarked, keyOf } from '../../src/koko/marks.ts'
import { applyWire, planWire, type WireEnd } from '../../src/koko/wire.ts'
import { createVeth, getLinkByName } from '../../src/netlink/link.ts'
import { Netns } from '../../src/netns/netns.ts'
import { type Host, newHost } from './rig/host.ts'

const KEY = keyOf('engine test')
const ALIAS = aliasOf(KEY, 'engine test')

function spec(ifName: string, change: Partial<EndSpec> = {}): EndSpec {
  return { ifName, mac: randomMac(), mtu: 1500, txQueueLength: 1000, addresses: [], routes: [], ...change }
}

/** Two container namespaces, open. */
function stage(t: { teardown(fn: () => unknown): void }) {
  const host = newHost(t)
  const [left, right] = [host.netns('left'), host.netns('right')]
  const a = Netns.at(left.path)
  const b = Netns.at(right.path)
  t.teardown(() => {
    a.close()
    b.close()
  })
  return { host, left, right, a, b }
}

function wire(a: WireEnd, b: WireEnd) {
  return applyWire(planWire(a, b, ALIAS))
}

const linksOf = (host: Host, netns: { name: string }) => host.links(netns.name)

test('a wire has all that was asked for, on return', async (t) => {
  const { host, left, right, a, b } = stage(t)
  const mine = spec('eth0', {
    mtu: 9000,
    txQueueLength: 500,
    addresses: [{ address: '10.0.0.1/24' }, { address: '10.0.1.1/24' }, { address: 'fd00::1/64' }],
    routes: [
      { dst: '10.1.0.0/16', gw: '10.0.0.2', mtu: 1400, advmss: 1300, priority: 7 },
      { dst: '10.2.0.0/16', gw: '10.0.0.2', table: 100 },
      { dst: '10.3.0.0/16', scope: 253 },
      { dst: '10.4.0.0/16', gw: '192.168.9.9', onlink: true },
      { dst: 'fd01::/64', gw: 'fd00::2', priority: 5 },
      { dst: 'fd02::/64', gw: 'fd00::2', table: 300 },
    ],
    txOffload: false,
    sysctls: { 'net/ipv4/conf/eth0/arp_notify': '1' },
  })
  const theirs = spec('eth9', {
    mtu: 9000,
    addresses: [{ address: '10.0.0.2/24' }, { address: 'fd00::2/64' }],
  })
  const made = wire({ netns: a, spec: mine }, { netns: b, spec: theirs })
  const link = findLink(a, 'eth0')
  t.match(link, { index: made.anchor, mtu: 9000, txQueueLength: 500, mac: mine.mac, up: true, carrier: true })
  if (link === undefined) throw new Error('no link')
  t.same(differences(a, link, { ...mine, up: true, carrier: true }), [], 'as the engine itself sees it')
  t.ok(isMarked(link, KEY), 'marked')
  const other = findLink(b, 'eth9')
  t.ok(other && isMarked(other, KEY), 'the other end as well')
  t.ok(
    inspect(a, link).addresses.every(({ tentative }) => !tentative),
    'no address is tentative',
  )

  const route = async (...args: string[]) => (await host.ip(left.name, ...args))[0]
  t.match(await route('route', 'show', '10.1.0.0/16'), { gateway: '10.0.0.2', metric: 7 })
  const metrics = JSON.stringify(await route('route', 'show', '10.1.0.0/16'))
  t.match(metrics, /"mtu":1400/)
  t.match(metrics, /"advmss":1300/)
  t.match(await route('route', 'show', 'table', '100', '10.2.0.0/16'), { gateway: '10.0.0.2' })
  t.match(await route('route', 'show', '10.3.0.0/16'), { scope: 'link' })
  t.match(await route('route', 'show', '10.4.0.0/16'), { gateway: '192.168.9.9', flags: ['onlink'] })
  t.match(await route('-6', 'route', 'show', 'fd01::/64'), { gateway: 'fd00::2', metric: 5 })
  t.match(await route('-6', 'route', 'show', 'table', '300', 'fd02::/64'), { gateway: 'fd00::2' })
  t.equal(await host.exec('cat', ['/proc/sys/net/ipv4/conf/eth0/arp_notify'], left.name), '1\n')
  t.ok(await host.ping(left.name, '10.0.0.2'))
  t.ok(await host.ping(right.name, 'fd00::1'))
})

test('IPv6 works where the namespace had it switched off', async (t) => {
  const { host, left, right, a, b } = stage(t)
  await host.exec(
    'sysctl',
    ['-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'],
    left.name,
  )
  wire(
    { netns: a, spec: spec('eth0', { addresses: [{ address: 'fd00::1/64' }] }) },
    { netns: b, spec: spec('eth0', { addresses: [{ address: 'fd00::2/64' }] }) },
  )
  t.ok(await host.ping(left.name, 'fd00::2'))
  t.ok(await host.ping(right.name, 'fd00::1'))
})

test('an MTU too small for IPv6 is fine without IPv6', async (t) => {
  const { host, left, a, b } = stage(t)
  wire(
    { netns: a, spec: spec('eth0', { mtu: 512, addresses: [{ address: '10.0.0.1/24' }] }) },
    { netns: b, spec: spec('eth0', { mtu: 512, addresses: [{ address: '10.0.0.2/24' }] }) },
  )
  t.ok(await host.ping(left.name, '10.0.0.2'))
})

test('a taken name is refused on either side, also an altname, and nothing is left', async (t) => {
  const { host, left, right, a, b } = stage(t)
  await host.exec('ip', ['link', 'add', 'taken', 'type', 'bridge'], right.name)
  await host.exec('ip', ['link', 'property', 'add', 'dev', 'taken', 'altname', 'other-name'], right.name)
  for (const name of ['taken', 'other-name']) {
    const end = { netns: b, spec: spec(name) }
    t.throws(
      () => wire({ netns: a, spec: spec('eth0') }, end),
      { name: 'WireError', problem: 'exists', message: /taken/ },
      name,
    )
    t.throws(
      () => wire(end, { netns: a, spec: spec('eth0') }),
      { name: 'WireError', problem: 'exists' },
      `${name}, other way round`,
    )
  }
  t.same(await linksOf(host, left), [])
  t.same(await linksOf(host, right), ['taken'])
})

test('whatever the kernel refuses half-way, nothing is left and its words are passed on', async (t) => {
  const { host, left, right, a, b } = stage(t)
  const refused: Record<string, Partial<EndSpec>> = {
    'Route with host scope can not have a gateway': {
      addresses: [{ address: '10.0.0.1/24' }],
      routes: [{ dst: '10.5.0.0/16', gw: '10.0.0.2', scope: 254 }],
    },
    sysctl: { sysctls: { 'net/ipv4/conf/eth0/no_such_thing': '1' } },
  }
  for (const [words, change] of Object.entries(refused)) {
    t.throws(
      () => wire({ netns: b, spec: spec('eth0') }, { netns: a, spec: spec('eth0', change) }),
      words === 'sysctl' ? /no_such_thing/ : { name: 'NetlinkError', kernelText: words },
      words,
    )
    t.same(await linksOf(host, left), [])
    t.same(await linksOf(host, right), [])
  }
})

test('a clash in the kernel itself leaves nothing anywhere', async (t) => {
  const { host, left, right, a, b } = stage(t)
  const end = (name: string) => ({ name, mac: randomMac(), mtu: 1500, txQueueLength: 1000, group: 0 })
  b.socket.request(createVeth(end('x'), end('eth0'), b.fd))
  const [outcome] = a.socket.exchange([createVeth(end('eth0'), end('eth0'), b.fd)])
  t.equal(outcome?.error?.code, 'EEXIST')
  t.same(await linksOf(host, left), [])
  t.same((await linksOf(host, right)).sort(), ['eth0', 'x'])
})

test('several messages in one send: each has its own ACK, a failed one does not stop the next', async (t) => {
  const { a } = stage(t)
  const outcomes = a.socket.exchange([
    getLinkByName('lo'),
    { ...getLinkByName('nothing'), tolerate: [] },
    getLinkByName('lo'),
  ])
  t.equal(outcomes[0]?.replies[0]?.name, 'lo')
  t.equal(outcomes[1]?.error?.code, 'ENODEV')
  t.equal(outcomes[2]?.replies[0]?.name, 'lo')
  const many = a.socket.exchange(Array.from({ length: 300 }, () => getLinkByName('lo')))
  t.equal(many.filter(({ replies }) => replies[0]?.index === 1).length, 300, 'more than one buffer of them')
})
