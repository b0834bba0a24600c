import fc from 'fast-check'
import { test } from 'tap'
import {
  canonicalCidr,
  canonicalIp,
  contains,
  formatIp,
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
