import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { test } from 'tap'
import {
  canonicalCidr,
  canonicalIp,
  contains,
  formatIp,
  isIp,
  networkOf,
  parseCidr,
  parseDestination,
  parseIp,
} from '../../src/koko/cidr.ts'

test('canonical spelling (RFC 5952)', async (t) => {
  const cases: Record<string, string> = {
    '2001:DB8:0:0:0:0:0:1': '2001:db8::1',
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '::': '::',
    '1::': '1::',
    '::ffff:10.0.0.1': '::ffff:a00:1',
    '10.1.2.3': '10.1.2.3',
  }
  for (const [text, canonical] of Object.entries(cases)) t.equal(canonicalIp(text), canonical, text)
  t.equal(canonicalCidr('FD00::0001/64'), 'fd00::1/64')
})

test('any 16 bytes survive text and back', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = formatIp(bytes)
      return parseIp(text).bytes.equals(bytes)
    }),
  )
})

test('what is no address is refused', async (t) => {
  for (const text of ['', '10.0.0', '10.0.0.256', '1:2:3', 'fe80::1%eth0', '::g', '10.0.0.1/24']) {
    t.throws(() => parseIp(text), { name: 'WireError', problem: 'invalid' }, text)
  }
  for (const text of ['10.0.0.1', '10.0.0.1/33', '10.0.0.1/', '10.0.0.1/-1', 'fd00::/129', '10.0.0.1/2a']) {
    t.throws(() => parseCidr(text), { name: 'WireError', problem: 'invalid' }, text)
  }
})

test('a destination may have no host bits, and the right one is suggested', async (t) => {
  t.throws(() => parseDestination('10.77.0.5/16'), {
    name: 'WireError',
    problem: 'invalid',
    advice: /10\.77\.0\.0\/16/,
  })
  t.equal(parseDestination('0.0.0.0/0').prefix, 0)
})

test('networks', async (t) => {
  t.equal(formatIp(networkOf(parseCidr('10.1.2.3/20')).bytes), '10.1.0.0')
  t.equal(formatIp(networkOf(parseCidr('fd00:1:2:3::9/61')).bytes), 'fd00:1:2::')
  t.ok(contains(parseCidr('10.1.2.3/20'), parseIp('10.1.15.255')))
  t.notOk(contains(parseCidr('10.1.2.3/20'), parseIp('10.1.16.0')))
  t.notOk(contains(parseCidr('0.0.0.0/0'), parseIp('::1')), 'families do not mix')
})

test('what is an address is what node:net says, but for zones', async (t) => {
  const part = fc.oneof(
    fc.constantFrom(
      '',
      ':',
      '::',
      '.',
      '0',
      '255',
      '256',
      '01',
      'ffff',
      '10000',
      'g',
      '%',
      '%eth0',
      ' ',
      '1.2.3.4',
      '/',
    ),
    fc.integer({ min: 0, max: 300 }).map(String),
    fc.integer({ min: 0, max: 70000 }).map((number) => number.toString(16)),
  )
  const near = fc.tuple(fc.ipV4(), fc.ipV6(), part, fc.nat(40)).map(([v4, v6, more, at]) => {
    const text = at % 2 === 0 ? v4 : v6
    return text.slice(0, at) + more + text.slice(at)
  })
  const texts = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    near,
    fc.array(part, { maxLength: 10 }).map((parts) => parts.join('')),
    fc.array(part, { maxLength: 9 }).map((parts) => parts.join(':')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const known = isIPv4(text) || (isIPv6(text) && !text.includes('%'))
      if (isIp(text) !== known) throw new Error(`${JSON.stringify(text)} is ${known ? 'an' : 'no'} address`)
    }),
    { numRuns: 20_000 },
  )
  t.pass('20,000 texts')
})
