/**
 * The allocator beside the real host-local, case by case: the same answers, the same errors, the same files. What is
 * asked in turn is asked of both on a data directory of its own.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { type Ask, askOurs, scratch, Twins } from './rig/host-local.ts'

type Json = Record<string, unknown>
type Step = Partial<Omit<Ask, 'conf'>> & { conf?: Json }

interface Case {
  name: string
  /** Of `ipam`; the data directory is added. */
  ipam?: unknown
  /** Of the netconf. */
  conf?: Json
  steps?: Step[]
  /** Files in the network's directory before the first step. */
  files?: Record<string, string>
  /** What the last step has to say, so that both are not merely wrong alike. */
  says?: RegExp
}

const ADD: Step = { verb: 'ADD' }
const DEL: Step = { verb: 'DEL' }
const CHECK: Step = { verb: 'CHECK' }
const of = (containerID: string, step: Step = ADD): Step => ({ ...step, containerID })
const withArgs = (args: string, step: Step = ADD): Step => ({ ...step, args })
const V4 = { subnet: '10.1.0.0/24' }
const V6 = { subnet: 'fd00:1::/64' }

async function compare(t: Test, { name, ipam, conf = {}, steps = [ADD], files = {}, says }: Case) {
  await t.test(name, async (t) => {
    const twins = new Twins(scratch(t))
    for (const dataDir of [twins.real, twins.ours]) {
      mkdirSync(dataDir)
      for (const [file, content] of Object.entries(files)) {
        mkdirSync(dirname(join(dataDir, 'net1', file)), { recursive: true })
        writeFileSync(join(dataDir, 'net1', file), content)
      }
    }
    let last = ''
    for (const [index, { conf: more, ...step }] of steps.entries()) {
      const ask = { verb: 'ADD' as const, ...step }
      const { real, ours } = await twins.ask(ask, (dataDir) => {
        const isObject = typeof ipam === 'object' && ipam !== null
        return {
          cniVersion: '1.0.0',
          name: 'net1',
          ipam: isObject ? { type: 'host-local', dataDir, ...ipam } : ipam,
          ...conf,
          ...more,
        }
      })
      t.strictSame(
        ours,
        real,
        `step ${index + 1}, ${ask.verb}: ${JSON.stringify(real.msg ?? real.result?.ips)}`,
      )
      const { real: there, ours: here } = twins.files()
      t.strictSame(here, there, `the files after step ${index + 1}`)
      last = real.msg ?? JSON.stringify(real.result ?? {})
    }
    if (says !== undefined) t.match(last, says)
  })
}

/** Configurations that are refused, or not, before anything happens. */
const CONFIGURATIONS: Case[] = [
  { name: 'no ipam', says: /^IPAM config missing 'ipam' key$/ },
  { name: 'ipam is null', ipam: null, says: /missing 'ipam' key/ },
  { name: 'no ranges', ipam: {}, says: /^no IP ranges specified$/ },
  { name: 'an empty list of ranges', ipam: { ranges: [] } },
  { name: 'an empty set', ipam: { ranges: [[]] }, says: /^invalid range set 0: empty range set$/ },
  { name: 'a set that is null', ipam: { ranges: [null] } },
  { name: 'a range that is null', ipam: { ranges: [[V4], [null]] }, says: /range set 1: IP <nil>/ },
  { name: 'a range without a subnet', ipam: { ranges: [[{ rangeStart: '10.1.0.5' }]] } },
  { name: 'a start without a subnet, in the old form', ipam: { rangeStart: '10.1.0.5' } },
  { name: 'the old form', ipam: { ...V4, rangeStart: '10.1.0.7', gateway: '10.1.0.77' } },
  { name: 'both forms', ipam: { ...V4, ranges: [[V6], [{ subnet: '10.2.0.0/24' }]] } },
  { name: 'keys in any case', ipam: { SUBNET: '10.1.0.0/24', rangestart: '10.1.0.9' }, says: /10\.1\.0\.9/ },
  { name: 'two families in a set', ipam: { ranges: [[V4, V6]] }, says: /mixed address families/ },
  ...['10.1.0.0/31', '10.1.0.0/32', '10.1.0.0/30', '10.1.0.5/24', '10.1.0.0/0', '10.0.0.0/7'].map(
    (subnet): Case => ({ name: `subnet ${subnet}`, ipam: { subnet } }),
  ),
  ...['fd00::/127', 'fd00::/126', 'fd00::9/64', 'FD00:0::0/64', 'fd00::/128', '8000::/1'].map(
    (subnet): Case => ({ name: `subnet ${subnet}`, ipam: { subnet } }),
  ),
  ...['', 'x', '10.1.0.0', '10.1.0/24', '010.1.0.0/24', '10.1.0.0/33', '10.1.0.0/-1', '10.1.0.0/024'].map(
    (subnet): Case => ({ name: `subnet "${subnet}"`, ipam: { subnet } }),
  ),
  ...[
    'fe80::%eth0/64',
    '::ffff:10.0.0.0/120',
    '::ffff:10.0.0.0/127',
    'fd00::/129',
    '/24',
    '10.1.0.0/ 24',
  ].map((subnet): Case => ({ name: `subnet "${subnet}"`, ipam: { subnet } })),
  ...[5, null, true, {}, []].map(
    (subnet): Case => ({ name: `subnet ${JSON.stringify(subnet)}`, ipam: { subnet } }),
  ),
  ...['10.1.0.0', '10.1.0.1', '10.1.0.255', '10.2.0.1', 'fd00::1', '', 'x', null, 7, {}].flatMap(
    (at): Case[] => [
      { name: `start ${JSON.stringify(at)}`, ipam: { ...V4, rangeStart: at } },
      { name: `end ${JSON.stringify(at)}`, ipam: { ...V4, rangeEnd: at } },
      { name: `gateway ${JSON.stringify(at)}`, ipam: { ...V4, gateway: at }, steps: [ADD, of('c2')] },
      { name: `start ${JSON.stringify(at)} of a range`, ipam: { ranges: [[{ ...V4, rangeStart: at }]] } },
    ],
  ),
  { name: 'the end before the start', ipam: { ...V4, rangeStart: '10.1.0.9', rangeEnd: '10.1.0.5' } },
  { name: 'the end before the default start', ipam: { ...V4, rangeEnd: '10.1.0.0' }, says: /RangeEnd/ },
  { name: 'a mapped start', ipam: { ...V4, rangeStart: '::ffff:10.1.0.8' } },
  {
    name: 'ranges of a set that overlap',
    ipam: {
      ranges: [
        [
          { ...V4, rangeEnd: '10.1.0.9' },
          { ...V4, rangeStart: '10.1.0.9' },
        ],
      ],
    },
    says: /subnets 10\.1\.0\.1-10\.1\.0\.9 and 10\.1\.0\.9-10\.1\.0\.254 overlap/,
  },
  {
    name: 'sets that overlap',
    ipam: { ranges: [[V6], [V4], [{ subnet: '10.1.0.0/16' }]] },
    says: /^range set 1 overlaps with 2$/,
  },
  ...[5, 'x', true, [], {}].flatMap((value): Case[] => [
    { name: `ipam is ${JSON.stringify(value)}`, ipam: value },
    { name: `ranges is ${JSON.stringify(value)}`, ipam: { ...V4, ranges: value } },
    { name: `ranges is a list of ${JSON.stringify(value)}`, ipam: { ranges: [value] } },
    { name: `a set of ${JSON.stringify(value)}`, ipam: { ranges: [[value]] } },
    {
      name: `a range's gateway is ${JSON.stringify(value)}`,
      ipam: { ranges: [[{ ...V4, gateway: value }]] },
    },
    { name: `routes is ${JSON.stringify(value)}`, ipam: { ...V4, routes: value } },
    { name: `a route is ${JSON.stringify(value)}`, ipam: { ...V4, routes: [value] } },
    { name: `a route's dst is ${JSON.stringify(value)}`, ipam: { ...V4, routes: [{ dst: value }] } },
    {
      name: `a route's gw is ${JSON.stringify(value)}`,
      ipam: { ...V4, routes: [{ dst: '::/0', gw: value }] },
    },
    { name: `name in ipam is ${JSON.stringify(value)}`, ipam: { ...V4, name: value } },
    { name: `type is ${JSON.stringify(value)}`, ipam: { ...V4, type: value } },
    { name: `resolvConf is ${JSON.stringify(value)}`, ipam: { ...V4, resolvConf: value } },
    { name: `args is ${JSON.stringify(value)}`, ipam: V4, conf: { args: value } },
    { name: `args.cni is ${JSON.stringify(value)}`, ipam: V4, conf: { args: { cni: value } } },
    { name: `args.cni.ips is ${JSON.stringify(value)}`, ipam: V4, conf: { args: { cni: { ips: value } } } },
    { name: `an IP is ${JSON.stringify(value)}`, ipam: V4, conf: { args: { cni: { ips: [value] } } } },
    { name: `runtimeConfig is ${JSON.stringify(value)}`, ipam: V4, conf: { runtimeConfig: value } },
    { name: `ips is ${JSON.stringify(value)}`, ipam: V4, conf: { runtimeConfig: { ips: value } } },
    { name: `ipRanges is ${JSON.stringify(value)}`, ipam: V4, conf: { runtimeConfig: { ipRanges: value } } },
  ]),
  {
    name: 'two faults: the type first',
    ipam: { type: 5, name: 7, ...V4 },
    says: /ipam\.type of type string/,
  },
  {
    name: 'two faults: a text first',
    ipam: { type: 5, ...V4, gateway: 'x' },
    says: /^invalid IP address: x$/,
  },
  { name: 'an unknown key', ipam: { ...V4, what: { is: ['this'] } } },
  {
    name: 'routes',
    ipam: {
      ...V4,
      routes: [
        { dst: '0.0.0.0/0' },
        { dst: '10.9.1.1/8', gw: '10.1.0.9' },
        { dst: 'FD00:0::/8', gw: '::ffff:10.0.0.1' },
        { DST: '::ffff:10.0.0.0/104', gw: '' },
        { dst: '1.0.0.0/8', gw: null },
      ],
    },
  },
]

const VERSIONS: Case[] = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '', undefined].flatMap(
  (cniVersion): Case[] => [
    {
      name: `both families at ${cniVersion}`,
      conf: { cniVersion },
      ipam: {
        ranges: [[V6], [V4]],
        routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.9' }, { dst: 'fd00:2::/64' }],
      },
      steps: [ADD, CHECK, ADD, DEL, CHECK, DEL],
    },
    {
      name: `one family at ${cniVersion}, routes of both`,
      conf: { cniVersion },
      ipam: { ...V4, routes: [{ dst: 'fd00:2::/64' }, { dst: '0.0.0.0/0' }] },
    },
    {
      name: `two addresses of a family at ${cniVersion}`,
      conf: { cniVersion },
      ipam: { ranges: [[V4], [{ subnet: '10.2.0.0/24' }]] },
      steps: [ADD, DEL, CHECK],
    },
  ],
)

const CALLS: Case[] = [
  { name: 'no name', conf: { name: '' }, ipam: V4, steps: [ADD, DEL, CHECK] },
  { name: 'a bad name', conf: { name: '../x' }, ipam: V4, steps: [ADD, DEL, CHECK] },
  { name: 'no container', ipam: V4, steps: [of(''), of('', DEL), of('', CHECK)] },
  { name: 'a bad container', ipam: V4, steps: [of('a b'), of('/', DEL), of('-', CHECK)] },
  { name: 'an interface that is too long', ipam: V4, steps: [{ ...ADD, ifName: 'abcdefghijklmnop' }] },
]

const ARGS: Case[] = [
  'IP=10.1.0.9',
  'IP=10.1.0.9/16',
  'IP=10.1.0.1',
  'IP=10.2.0.1',
  'IP=',
  'IP=10.1.0.9;IP=10.1.0.10',
  'IP=10.1.0.9;IP=',
  'IP=::ffff:10.1.0.9',
  'IP=10.1.0.9,10.1.0.10',
  'IP=10.1.0.9/33',
  'IP=x',
  'IP',
  'IP=a=b',
  ';',
  '=',
  'ip=10.1.0.9',
  'FOO=BAR',
  'FOO=BAR;X="y"\\',
  'FOO=B\tA\u0001Rü\u00a0;IgnoreUnknown=FALSE',
  'FOO=BAR;IgnoreUnknown=1',
  'IgnoreUnknown=tRue;K8S_POD_NAME=p',
  'IgnoreUnknown=0;K8S_POD_NAME=p',
  'IgnoreUnknown=Yes',
  'IgnoreUnknown=',
  'CommonArgs=x',
].map((args) => ({
  name: `CNI_ARGS ${JSON.stringify(args)}`,
  ipam: V4,
  steps: [withArgs(args), withArgs(args, CHECK), withArgs(args, DEL)],
}))

const byArgs = (...ips: unknown[]) => ({ args: { cni: { ips } } })
const byCapability = (...ips: unknown[]) => ({ runtimeConfig: { ips } })

const REQUESTS: Case[] = [
  { name: 'args.cni.ips', ipam: V4, conf: byArgs('10.1.0.5/20') },
  { name: 'the same twice', ipam: V4, conf: byArgs('10.1.0.5/20', '10.1.0.5') },
  {
    name: 'an empty one',
    ipam: V4,
    conf: byArgs(''),
    says: /^cannot understand ip: IP <nil> not v4 nor v6$/,
  },
  { name: 'one for each set', ipam: { ranges: [[V4], [V6]] }, conf: byArgs('fd00:1::9', '10.1.0.9') },
  { name: 'one for the second set', ipam: { ranges: [[V4], [V6]] }, conf: byArgs('fd00:1::9') },
  {
    name: 'from three places',
    ipam: { ranges: [[V4], [V6], [{ subnet: '10.2.0.0/24' }]] },
    conf: { ...byArgs('fd00:1::9'), ...byCapability('10.2.0.9') },
    steps: [withArgs('IP=10.1.0.9'), withArgs('IP=10.1.0.9', DEL)],
  },
  {
    name: 'outside of all ranges: what was taken is given back',
    ipam: { ranges: [[V4], [V6]] },
    conf: byCapability('10.9.0.1', '10.1.0.3'),
    steps: [ADD, CHECK],
    says: /Failed to find address/,
  },
  {
    name: 'two too many',
    ipam: V4,
    conf: byCapability('fd00::1', '10.8.0.1'),
    says: /^failed to allocate all requested IPs: /,
  },
  { name: 'the gateway', ipam: V4, conf: byCapability('10.1.0.1'), says: /10\.1\.0\.1 is subnet's gateway/ },
  {
    name: 'taken by another',
    ipam: V4,
    conf: byCapability('10.1.0.9'),
    steps: [ADD, of('c2')],
    says: /requested IP address 10\.1\.0\.9 is not available in range set 10\.1\.0\.1-10\.1\.0\.254/,
  },
  {
    name: 'another one for who has one: no duplicate check',
    ipam: V4,
    steps: [ADD, { ...ADD, conf: byCapability('10.1.0.9') }, CHECK, DEL, CHECK],
  },
  {
    name: 'the second set cannot: the first is given back, and with it what was there before',
    ipam: { ranges: [[V4], [{ subnet: '10.2.0.0/30' }]] },
    steps: [of('c1'), of('c2'), of('c1', CHECK)],
  },
  {
    name: 'ranges by capability come first',
    ipam: { ranges: [[V4]] },
    conf: { runtimeConfig: { ipRanges: [[{ subnet: '10.3.0.0/24' }], [V6]] } },
  },
  {
    name: 'ranges by capability alone',
    ipam: {},
    conf: { runtimeConfig: { ipRanges: [[{ subnet: '10.3.0.0/24', rangeStart: '10.3.0.9' }]] } },
  },
]

const SMALL = { subnet: '10.1.0.0/29' }
const LIVES: Case[] = [
  {
    name: 'round robin, exhaustion, and round again',
    ipam: SMALL,
    steps: [
      ...['a', 'b', 'c', 'd', 'e', 'f'].map((id) => of(id)),
      of('b', DEL),
      of('g'),
      of('g', DEL),
      of('a', DEL),
      of('h'),
      of('i'),
    ],
  },
  {
    name: 'round robin through the ranges of a set',
    ipam: {
      ranges: [
        [
          { subnet: '10.1.0.0/30' },
          { subnet: '10.2.0.0/24', rangeStart: '10.2.0.9', rangeEnd: '10.2.0.10' },
          { subnet: '10.3.0.0/30', gateway: '10.3.0.2' },
        ],
      ],
    },
    steps: [...['a', 'b', 'c', 'd', 'e'].map((id) => of(id)), of('c', DEL), of('f'), of('a', DEL), of('g')],
  },
  {
    name: 'only the gateway',
    ipam: { ...V4, rangeStart: '10.1.0.1', rangeEnd: '10.1.0.1' },
    says: /no IP addr/,
  },
  {
    name: 'the last of all addresses',
    ipam: { subnet: '255.255.255.0/24', rangeStart: '255.255.255.254', rangeEnd: '255.255.255.255' },
    steps: [of('a'), of('b'), of('c')],
  },
  {
    name: 'the last of all IPv6 addresses',
    ipam: { subnet: 'ffff::/16', rangeStart: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe' },
    steps: [of('a'), of('b'), of('c')],
  },
  {
    name: 'duplicate allocation',
    ipam: V4,
    steps: [ADD, ADD],
    says: /10\.1\.0\.2 has been allocated to ctr1, duplicate allocation is not allowed/,
  },
  {
    name: 'interfaces of one container',
    ipam: V4,
    steps: [ADD, { ...ADD, ifName: 'eth1' }, { ...DEL, ifName: 'eth0' }, CHECK, { ...CHECK, ifName: 'eth1' }],
  },
  { name: 'DEL of nothing, twice', ipam: V4, steps: [DEL, DEL] },
  {
    name: 'CHECK of nothing',
    ipam: V4,
    steps: [CHECK],
    says: /^host-local: Failed to find address added by container ctr1$/,
  },
  {
    name: 'another range, where the round robin was elsewhere',
    ipam: V4,
    steps: [ADD, { ...of('b'), conf: { ipam: undefined } }],
  },
  { name: 'a cursor outside', ipam: V4, files: { 'last_reserved_ip.0': '10.9.0.4' } },
  { name: 'a cursor at the end', ipam: V4, files: { 'last_reserved_ip.0': '10.1.0.254' } },
  {
    name: 'a cursor that is longer',
    ipam: V4,
    files: { 'last_reserved_ip.0': '10.1.0.100' },
    steps: [of('a'), of('b')],
  },
  { name: 'a cursor with a newline', ipam: V4, files: { 'last_reserved_ip.0': '10.1.0.100\n' } },
  {
    name: 'a cursor of garbage',
    ipam: V4,
    files: { 'last_reserved_ip.0': 'ctr1\r\neth0' },
    steps: [CHECK, DEL, ADD],
  },
  {
    name: 'a cursor that said the same, and what is given back',
    ipam: V4,
    files: { 'last_reserved_ip.0': 'ctr1\r\neth0' },
    steps: [{ ...ADD, conf: byCapability('fd00::9') }, DEL],
  },
  { name: 'an empty cursor', ipam: V4, files: { 'last_reserved_ip.0': '' } },
  {
    name: 'a cursor that is a directory',
    ipam: V4,
    files: { 'last_reserved_ip.0/x': '' },
    steps: [ADD, CHECK],
  },
  {
    name: 'a container called like the cursor',
    ipam: V4,
    steps: [of('10.1.0.2'), of('x'), of('10.1.0.3', DEL), of('y')],
  },
  { name: 'a container called like the cursor, CHECK', ipam: V4, steps: [ADD, of('10.1.0.2', CHECK)] },
]

const FOUND: Case[] = [
  { name: 'the old form', ipam: V4, files: { '10.1.0.9': 'ctr1' }, steps: [CHECK, ADD, DEL, CHECK, ADD] },
  {
    name: 'the old form beside the new: the second set takes it',
    ipam: { ranges: [[V4], [V6]] },
    files: { '10.1.0.9': 'ctr1', 'fd00:1::9': 'ctr1\r\neth0' },
    steps: [DEL],
  },
  {
    name: 'the old form beside the new',
    ipam: V4,
    files: { '10.1.0.9': 'ctr1', '10.1.0.8': 'ctr1\r\neth0' },
    steps: [DEL, CHECK, DEL],
  },
  {
    name: 'space around it',
    ipam: V4,
    files: { '10.1.0.9': ' \n ctr1\r\neth0\u0085\u00a0\u3000' },
    steps: [CHECK, ADD, DEL],
  },
  { name: 'a BOM is no space', ipam: V4, files: { '10.1.0.9': '\ufeffctr1\r\neth0' }, steps: [CHECK, DEL] },
  { name: 'a newline alone between', ipam: V4, files: { '10.1.0.9': 'ctr1\neth0' }, steps: [CHECK, DEL] },
  { name: 'an empty lease', ipam: V4, files: { '10.1.0.2': '' }, steps: [ADD, CHECK, DEL, DEL] },
  {
    name: 'garbage',
    ipam: V4,
    files: { '10.1.0.2': 'x\0y', '10.1.0.3': 'ÿ', lock: 'what?', README: 'ctr1\r\neth0' },
    steps: [CHECK, ADD, DEL, ADD],
  },
  { name: 'the lock says it', ipam: V4, files: { lock: 'ctr1\r\neth0' }, steps: [CHECK, DEL, CHECK] },
  {
    name: 'several: the first is named',
    ipam: V4,
    files: { '10.1.0.30': 'ctr1\r\neth0', '10.1.0.4': 'ctr1', '10.1.0.200': 'ctr1\r\neth0' },
    steps: [ADD, DEL, ADD],
  },
  { name: 'one of another range', ipam: V4, files: { '10.7.0.30': 'ctr1\r\neth0' }, steps: [ADD, DEL] },
  {
    name: 'below',
    ipam: V4,
    files: { 'sub/10.1.0.30': 'ctr1\r\neth0', 'sub/deep/x': 'ctr1\r\neth0' },
    steps: [CHECK, ADD, DEL, CHECK],
  },
  {
    name: 'below, in order',
    ipam: V4,
    files: { 'sub/10.1.0.30': 'ctr1\r\neth0', '10.1.0.8': 'ctr1\r\neth0', 'a/10.1.0.31': 'ctr1\r\neth0' },
    steps: [ADD, DEL, ADD],
  },
  { name: 'an address that is a directory', ipam: V4, files: { '10.1.0.2/x': 'y' }, steps: [ADD, DEL] },
  {
    name: 'an odd spelling of an address',
    ipam: { ranges: [[V6]] },
    files: { 'FD00:1::2': 'ctr1\r\neth0', 'fd00:1:0::3': 'x' },
    steps: [ADD, DEL, ADD],
  },
]

const RESOLV_CONFS: Record<string, string> = {
  usual:
    'nameserver 1.1.1.1\nnameserver 8.8.8.8\nsearch a.test b.test\noptions ndots:2 rotate\ndomain x.test\n',
  repeated: 'domain a\ndomain b c\nsearch a\nsearch b c\noptions x\noptions y',
  comments: '# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n  \t# x y\n nameserver   \t 9.9.9.9   # why\n',
  odd: 'nameserver\nNAMESERVER 1.1.1.1\nsortlist 1.2.3.4\nnameserver\u00a07.7.7.7\r\nsearch \u0085 a\ufeffb\n',
  empty: '',
  'a long line': `search ${'x'.repeat(65528)}\n`,
  'a line that is too long': `search ${'x'.repeat(65529)}\n`,
  'a last line that is too long': `nameserver 1.1.1.1\n#${'x'.repeat(65535)}`,
}

t.test('configurations', async (t) => {
  for (const each of CONFIGURATIONS) await compare(t, each)
})
t.test('versions', async (t) => {
  for (const each of VERSIONS) await compare(t, each)
})
t.test('calls', async (t) => {
  for (const each of CALLS) await compare(t, each)
})
t.test('CNI_ARGS', async (t) => {
  for (const each of ARGS) await compare(t, each)
})
t.test('requests', async (t) => {
  for (const each of REQUESTS) await compare(t, each)
})
t.test('lives', async (t) => {
  for (const each of LIVES) await compare(t, each)
})
t.test('what is found', async (t) => {
  for (const each of FOUND) await compare(t, each)
})
t.test('resolvConf', async (t) => {
  const dir = scratch(t)
  for (const [name, text] of Object.entries(RESOLV_CONFS)) {
    const path = join(dir, 'resolv.conf')
    writeFileSync(path, text)
    await compare(t, { name, ipam: { ...V4, resolvConf: path } })
  }
  await compare(t, { name: 'absent', ipam: { ...V4, resolvConf: '/nowhere/resolv.conf' } })
  await compare(t, { name: 'a directory', ipam: { ...V4, resolvConf: dir } })
  await compare(t, {
    name: 'only ADD reads it',
    ipam: { ...V4, resolvConf: '/nowhere' },
    steps: [DEL, CHECK],
  })
})

/** What 1.1.1 does not accept yet, as 1.9.1 answers it. */
const NEWER: { name: string; conf: Json; wanted: unknown }[] = [
  {
    name: 'CNI 1.1.0',
    conf: { cniVersion: '1.1.0', ipam: V4 },
    wanted: {
      result: { interfaces: [], ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }], routes: [], dns: {} },
    },
  },
  {
    name: 'an unknown version',
    conf: { cniVersion: '0.9.0', ipam: V4 },
    wanted: {
      code: 1,
      msg: 'incompatible CNI versions',
      details: 'config is "0.9.0", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]',
    },
  },
  {
    name: 'what a route says',
    conf: {
      ipam: {
        ...V4,
        routes: [
          { dst: '0.0.0.0/0', mtu: 1400, advmss: 1360, priority: 10, table: 7, scope: 253 },
          { dst: '10.0.0.0/8', mtu: 0, advmss: 0, priority: 0, table: 0, scope: 0 },
          { dst: '11.0.0.0/8', mtu: null, table: null },
        ],
      },
    },
    wanted: {
      result: {
        interfaces: [],
        ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }],
        routes: [
          { dst: '0.0.0.0/0', mtu: 1400, advmss: 1360, priority: 10, table: 7, scope: 253 },
          { dst: '10.0.0.0/8', table: 0, scope: 0 },
          { dst: '11.0.0.0/8' },
        ],
        dns: {},
      },
    },
  },
  {
    name: 'a part of a whole',
    conf: { ipam: { ...V4, routes: [{ dst: '0.0.0.0/0', mtu: 1.5 }] } },
    wanted: {
      code: 999,
      msg: 'json: cannot unmarshal number 1.5 into Go struct field IPAMConfig.ipam.routes.mtu of type int',
      details: '',
    },
  },
  {
    name: 'a subnet that begins with zeros',
    conf: { ipam: { ranges: [[{ subnet: '0.0.0.0/24' }], [{ subnet: '::/64' }]] } },
    wanted: {
      result: {
        interfaces: [],
        ips: [
          { address: '0.0.0.2/24', gateway: '0.0.0.1' },
          { address: '::2/64', gateway: '::1' },
        ],
        routes: [],
        dns: {},
      },
    },
  },
]

t.test('what newer ones accept', async (t) => {
  for (const { name, conf, wanted } of NEWER) {
    const ipam = { type: 'host-local', dataDir: scratch(t), ...Object(conf.ipam) }
    const ask = { verb: 'ADD' as const, conf: { cniVersion: '1.0.0', name: 'net1', ...conf, ipam } }
    t.strictSame(await askOurs(ask), wanted, name)
  }
})
