/** The parts of our host-local that need no disk. What the real one says is in test/integration/host-local.test.ts. */
import fc from 'fast-check'
import { test } from 'tap'
import {
  type Address,
  formatAddress,
  formatSubnet,
  next,
  parseAddress,
  parseSubnet,
} from '../../src/plugin/host-local/address.ts'
import { requestedByArgs } from '../../src/plugin/host-local/args.ts'
import { readConf } from '../../src/plugin/host-local/conf.ts'
import { candidates, canonicalSet, type RangeSet, rangeFor } from '../../src/plugin/host-local/range.ts'
import { fields, quote, trimSpace } from '../../src/plugin/host-local/wording.ts'

const v4 = fc.nat(0xffff_ffff).map((value): Address => ({ family: 4, value: BigInt(value) }))
const v6 = fc
  .bigInt({ min: 0n, max: (1n << 128n) - 1n })
  .filter((value) => value >> 32n !== 0xffffn)
  .map((value): Address => ({ family: 6, value }))

test('any address survives text and back', async () => {
  fc.assert(
    fc.property(fc.oneof(v4, v6), (address) => {
      const back = parseAddress(formatAddress(address))
      return back?.family === address.family && back.value === address.value
    }),
  )
})

test('an address mapped from IPv4 is one', async (t) => {
  t.strictSame(parseAddress('::ffff:10.0.0.1'), parseAddress('10.0.0.1'))
  t.strictSame(parseAddress('::ffff:a00:1'), parseAddress('10.0.0.1'))
  const before = parseAddress('::fffe:ffff:ffff')
  t.equal(before && formatAddress(next(before)), '0.0.0.0', 'also the one that comes after others')
})

test('what is no address, and no subnet', async (t) => {
  for (const text of [
    '',
    ' 10.0.0.1',
    '10.0.0.01',
    '10.0.0',
    'fe80::1%eth0',
    '00001::',
    '1::2::3',
    '10.0.0.1/8',
  ]) {
    t.equal(parseAddress(text), undefined, text)
  }
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/+8',
    '/8',
    'fd00::/129',
    '10.0.0.0/8/8',
  ]) {
    t.equal(parseSubnet(text), undefined, text)
  }
  t.equal(formatSubnet(parseSubnet('FD00:0::5/064')), 'fd00::5/64')
  t.equal(formatSubnet(parseSubnet('::ffff:10.0.0.5/120')), '10.0.0.5/24')
  t.equal(formatSubnet(undefined), '<nil>')
})

/** A set of small ranges that lie apart, each with its gateway somewhere. */
const set = fc
  .array(fc.record({ from: fc.nat(5), length: fc.nat(5), gateway: fc.nat(12) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((ranges) =>
    canonicalSet(
      ranges.map(({ from, length, gateway }, index) => ({
        subnet: parseSubnet(`10.0.${index}.0/24`),
        rangeStart: parseAddress(`10.0.${index}.${from}`),
        rangeEnd: parseAddress(`10.0.${index}.${from + length}`),
        gateway: parseAddress(`10.0.${index}.${gateway}`),
      })),
    ),
  )

function all(of: RangeSet, last: Address | undefined): string[] {
  return Array.from(candidates(of, last), ({ address }) => formatAddress(address))
}

test('the round robin: every address once, no gateway, and the last one last', async () => {
  fc.assert(
    fc.property(set, fc.nat(3), fc.nat(12), (of, third, fourth) => {
      const last = parseAddress(`10.0.${third}.${fourth}`)
      const begun = all(of, undefined)
      const goneOn = all(of, last)
      const gateways = new Set(of.map(({ gateway }) => formatAddress(gateway)))
      const isIn = last !== undefined && rangeFor(of, last) !== undefined
      const expected = of.flatMap(({ start, end }) => {
        const addresses: string[] = []
        for (let at = start; at.value <= end.value; at = next(at)) addresses.push(formatAddress(at))
        return addresses
      })
      const turn = isIn && last !== undefined ? expected.indexOf(formatAddress(last)) + 1 : 0
      const turned = [...expected.slice(turn), ...expected.slice(0, turn)].filter((ip) => !gateways.has(ip))
      const plain = expected.filter((ip) => !gateways.has(ip))
      return begun.join() === plain.join() && goneOn.join() === turned.join()
    }),
    { numRuns: 500 },
  )
})

test('any netconf is read or refused in words', async () => {
  const key = fc.constantFrom(
    'ipam',
    'ranges',
    'subnet',
    'routes',
    'dst',
    'gw',
    'ips',
    'args',
    'cni',
    'runtimeConfig',
  )
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('10.0.0.0/24', 'fd00::/64', '10.0.0.9', '', 'x', null, 5, true),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(key, tie('any'), { maxKeys: 4 }),
    ),
  })).any
  fc.assert(
    fc.property(fc.dictionary(key, value), fc.string(), (netconf, args) => {
      try {
        readConf({ name: 'net1', ...netconf }, args)
        return true
      } catch (error) {
        return (
          error instanceof Error && error.name === 'CniError' && !/undefined|\[object/.test(error.message)
        )
      }
    }),
    { numRuns: 3000 },
  )
})

test('CNI_ARGS', async (t) => {
  t.equal(requestedByArgs(''), undefined)
  t.strictSame(requestedByArgs('IP=10.0.0.9/8'), parseAddress('10.0.0.9'))
  t.throws(() => requestedByArgs('A=1;B=2'), { msg: 'ARGS: unknown args ["A=1" "B=2"]', code: 999 })
})

test("Go's spaces and quotes", async (t) => {
  t.equal(trimSpace('\u0085\t x y \u3000\n'), 'x y')
  t.equal(trimSpace('\ufeffx\u200b'), '\ufeffx\u200b', 'these are none')
  t.strictSame(fields(' a\u00a0b\r\n'), ['a', 'b'])
  t.equal(quote('a"b\\\n\x01\u00a0\u{1f600}é'), '"a\\"b\\\\\\n\\x01\\u00a0\u{1f600}é"')
})
