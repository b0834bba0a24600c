/** Input that nobody should send: valid calls with some of their parts replaced by anything. */
import fc from 'fast-check'
import { type Conf, linkConf, peerConf } from './modes.ts'

type Path = readonly (string | number)[]

const LONG = 'a'.repeat(300)
const POISON = JSON.parse('{"__proto__":{"code":0,"type":"x"},"constructor":{"prototype":{"mtu":1}}}')

const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.double(),
  fc.integer(),
  fc.constantFrom(
    ...[
      '',
      '\u0000',
      'a\u0000b',
      '../x',
      '/',
      '.',
      '..',
      LONG,
      '__proto__',
      'constructor',
      'toString',
      'null',
    ],
    ...[
      '10.0.0.1',
      '10.0.0.1/24',
      '0.0.0.0/0',
      '256.1.1.1/33',
      '::1/128',
      'fe80::1/64',
      '::ffff:10.0.0.1/120',
    ],
    ...[
      'ff:ff:ff:ff:ff:ff',
      '00:00:00:00:00:00',
      '02:00:00:00:00:01',
      'netns:',
      'pid:0',
      'pid:-1',
      'docker:x',
    ],
    ...[0, -1, 1.5, 2 ** 31, 2 ** 32 + 1500, 2 ** 53, 1e308],
    ...[null, true, false, [], {}, [null], [[]], [{}], { address: null }, POISON],
  ),
)

const KEYS: readonly Path[] = [
  ...['cniVersion', 'name', 'type', 'ipam', 'ipMasq', 'ipMasqBackend', 'mtu', 'dns', 'mac', 'hostIfName'],
  ...['ifName', 'qlen', 'txOffload', 'sysctl', 'addresses', 'routes', 'peer', 'link', 'allowPurge', 'args'],
  ...['prevResult', 'runtimeConfig', 'cni.dev/valid-attachments', 'cni.dev/attachments', '__proto__'],
].map((key) => [key])

const DEEP_KEYS: readonly Path[] = [
  ...['address', 'gateway', 'x'].map((key) => ['addresses', 0, key]),
  ...['dst', 'gw', 'mtu', 'advmss', 'priority', 'table', 'scope', 'onlink'].map((key) => ['routes', 0, key]),
  ...['netns', 'ifName', 'addresses', 'routes', 'mac', '__proto__'].map((key) => ['peer', key]),
  ...['name', 'ends', '__proto__'].map((key) => ['link', key]),
  ...['r1', 'r2', 'r3', '__proto__', 'constructor'].map((key) => ['link', 'ends', key]),
  ...['addresses', 'routes', 'mac'].map((key) => ['link', 'ends', 'r1', key]),
  ...['cniVersion', 'interfaces', 'ips', 'routes', 'dns', 'ip4'].map((key) => ['prevResult', key]),
  ...['ips', 'mac', 'dns', 'bandwidth'].map((key) => ['runtimeConfig', key]),
  ...['ips', 'mac', 'end', 'labels'].map((key) => ['args', 'cni', key]),
  ...['nameservers', 'domain', 'search', 'options'].map((key) => ['dns', key]),
  ['args', 'cni'],
  ['prevResult', 'interfaces', 0],
  ['prevResult', 'ips', 0, 'interface'],
  ['sysctl', 'net.ipv4.conf.IFNAME.arp_notify'],
  ['sysctl', 'net.ipv4.conf.IFNAME/../../ip_default_ttl'],
  ['ipam', 'type'],
]

/** A copy with the value put at the path, as an own property whatever the key is called. */
function put(target: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  const copy: object = Array.isArray(target)
    ? [...target]
    : typeof target === 'object' && target !== null
      ? Object.assign(Object.create(null), target)
      : typeof key === 'number'
        ? []
        : Object.create(null)
  const before = Object.getOwnPropertyDescriptor(copy, key)?.value
  Object.defineProperty(copy, key, {
    value: put(before, rest, value),
    enumerable: true,
    writable: true,
    configurable: true,
  })
  return copy
}

function plainConf(more: Conf = {}): Conf {
  const addresses = [{ address: '10.7.0.2/24', gateway: '10.7.0.1' }]
  return {
    cniVersion: '1.1.0',
    name: 'hostile',
    type: 'nugator',
    addresses,
    routes: [{ dst: '10.8.0.0/16' }],
    ...more,
  }
}

/** Netconfs near a good one; `other` is the path of a namespace that peer mode may use. */
export function hostileConf(other: string): fc.Arbitrary<unknown> {
  const good = fc.constantFrom(
    plainConf(),
    plainConf({ ipam: { type: 'static', addresses: [{ address: '10.6.0.2/24', gateway: '10.6.0.1' }] } }),
    peerConf(other, { name: 'hostile' }),
    linkConf({ name: 'hostile', args: { cni: { end: 'r1' } } }),
  )
  const change = fc.tuple(fc.constantFrom(...KEYS, ...DEEP_KEYS), odd)
  return fc
    .tuple(good, fc.array(change, { maxLength: 4 }))
    .map(([conf, changes]) => changes.reduce<unknown>((sum, [path, value]) => put(sum, path, value), conf))
}

/** What comes on stdin: mostly a netconf near a good one, sometimes not even JSON. */
export function hostileStdin(other: string): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 12, arbitrary: hostileConf(other).map((conf) => JSON.stringify(conf)) },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(hostileConf(other), fc.nat(400))
        .map(([conf, cut]) => JSON.stringify(conf).slice(0, cut)),
    },
  )
}

/** An environment variable's value: the kernel allows anything but NUL. */
const anyText = fc
  .oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'binary', maxLength: 20 }), fc.constant(LONG))
  .map((text) => text.replaceAll('\u0000', ''))

function mostly<T extends string>(...good: T[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: anyText })
}

const pairs = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom('MAC', 'END', 'IP', 'IgnoreUnknown', 'K8S_POD_NAME'), anyText),
      anyText,
    ),
  )
  .map((list) => list.map(([key, value]) => `${key}=${value}`).join(';'))

export type HostileEnv = Record<string, string>

/** The environment of a call; `netnses` are paths, good ones and bad ones. */
export function hostileEnv(netnses: readonly string[], path: string): fc.Arbitrary<HostileEnv> {
  return fc.record({
    CNI_COMMAND: mostly(
      'ADD',
      'ADD',
      'ADD',
      'ADD',
      'DEL',
      'DEL',
      'CHECK',
      'CHECK',
      'GC',
      'STATUS',
      'VERSION',
    ),
    CNI_CONTAINERID: mostly('hostile1', '../../etc/x', 'a/../b', LONG),
    CNI_NETNS: mostly(...netnses),
    CNI_IFNAME: mostly('eth0', 'eth0', 'eth1', 'foreign-alt', 'lo', 'all', 'default', '..'),
    CNI_ARGS: fc.oneof(fc.constant(''), fc.constant('IgnoreUnknown=1;END=r1'), pairs, anyText),
    CNI_PATH: fc.oneof(
      { weight: 6, arbitrary: fc.constant(path) },
      { weight: 1, arbitrary: fc.constantFrom('/nowhere', ':::', '..', '/dev/null') },
    ),
  })
}
