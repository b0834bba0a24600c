import { test } from 'tap'
import type { EndSpec } from '../../src/koko/endpoint.ts'
import { linkLocalOf, parseMac, randomMac } from '../../src/koko/mac.ts'
import { aliasOf, hostIfNameOf, keyOf, parseAlias } from '../../src/koko/marks.ts'
import { validateEnd, validateIfName, validatePair } from '../../src/koko/validate.ts'

const good: EndSpec = {
  ifName: 'eth0',
  mac: '02:00:00:00:00:01',
  mtu: 1500,
  txQueueLength: 1000,
  addresses: [{ address: '10.0.0.1/24' }],
  routes: [],
}

test('an end that is fine', async (t) => {
  t.doesNotThrow(() => validateEnd(good))
})

test('what an end may not be', async (t) => {
  const bad: Record<string, Partial<EndSpec>> = {
    'MTU too small': { mtu: 67 },
    'MTU too big': { mtu: 65536 },
    'MTU no integer': { mtu: 1500.5 },
    'IPv6 under 1280': { mtu: 1279, addresses: [{ address: 'fd00::1/64' }] },
    'address twice': { addresses: [{ address: '10.0.0.1/24' }, { address: '10.0.0.1/16' }] },
    'no host address': { addresses: [{ address: '0.0.0.0/8' }] },
    multicast: { addresses: [{ address: '224.0.0.1/24' }] },
    'IPv6 multicast': { addresses: [{ address: 'ff02::1/64' }] },
    'gateway elsewhere': { routes: [{ dst: '10.9.0.0/16', gw: '10.8.0.1' }] },
    'gateway of the other family': { routes: [{ dst: '10.9.0.0/16', gw: 'fd00::1' }] },
    'route twice': { routes: [{ dst: '10.9.0.0/16' }, { dst: '10.9.0.0/16' }] },
    'scope out of range': { routes: [{ dst: '10.9.0.0/16', scope: 256 }] },
    'priority out of range': { routes: [{ dst: '10.9.0.0/16', priority: -1 }] },
    'multicast MAC': { mac: '01:00:00:00:00:01' },
    'MAC of zeros': { mac: '00:00:00:00:00:00' },
  }
  for (const [what, change] of Object.entries(bad)) {
    t.throws(() => validateEnd({ ...good, ...change }), { name: 'WireError', problem: 'invalid' }, what)
  }
})

test('a gateway elsewhere is fine when it is on the link', async (t) => {
  const onlink = { dst: '10.9.0.0/16', gw: '10.8.0.1', onlink: true }
  t.doesNotThrow(() => validateEnd({ ...good, routes: [onlink] }))
  const behindLinkRoute = [
    { dst: '10.8.0.1/32', scope: 253 },
    { dst: '10.9.0.0/16', gw: '10.8.0.1' },
  ]
  t.doesNotThrow(() => validateEnd({ ...good, routes: behindLinkRoute }))
})

test('two ends may not share MAC or address', async (t) => {
  const other = { ...good, mac: '02:00:00:00:00:02', addresses: [{ address: '10.0.0.2/24' }] }
  t.doesNotThrow(() => validatePair(good, other))
  t.throws(() => validatePair(good, { ...other, mac: good.mac }), { name: 'WireError', problem: 'invalid' })
  t.throws(() => validatePair(good, { ...other, addresses: [{ address: '10.0.0.1/8' }] }), {
    name: 'WireError',
    problem: 'invalid',
  })
})

test('interface names', async (t) => {
  for (const name of ['eth0', 'a', '15-bytes-long-x', 'ü', 'eth0.5', '-x']) {
    t.doesNotThrow(() => validateIfName(name), name)
  }
  for (const name of [
    '',
    '.',
    '..',
    'all',
    'default',
    '16-bytes-long-xy',
    'a b',
    'a/b',
    'a:b',
    'e%d',
    'a\0',
    'üüüüüüüü',
  ]) {
    t.throws(() => validateIfName(name), { name: 'WireError', problem: 'invalid' }, JSON.stringify(name))
  }
})

test('MAC addresses', async (t) => {
  t.equal(parseMac('02-AB-CD-EF-00-01'), '02:ab:cd:ef:00:01')
  t.throws(() => parseMac('02:ab:cd:ef:00'), { name: 'WireError', problem: 'invalid' })
  t.equal(new Set(Array.from({ length: 1000 }, randomMac)).size, 1000, 'never twice')
  for (let i = 0; i < 100; i += 1) t.doesNotThrow(() => parseMac(randomMac()))
  t.equal(linkLocalOf('02:00:00:00:00:01').toString('hex'), 'fe80000000000000000000fffe000001')
})

test('marks', async (t) => {
  const key = keyOf('a', 'b')
  t.not(key, keyOf('ab'), 'parts do not run together')
  const alias = aliasOf(key, `net/${'x'.repeat(300)}`)
  t.equal(Buffer.byteLength(alias), 255, 'as long as an alias may be')
  t.match(parseAlias(alias), { key })
  t.equal(parseAlias('eth0 of somebody'), undefined)
  t.match(hostIfNameOf(key, 0), /^veth[0-9a-f]{8}$/)
  t.not(hostIfNameOf(key, 0), hostIfNameOf(key, 1))
})
