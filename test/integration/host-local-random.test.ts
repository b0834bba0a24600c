/**
 * Random configurations and lives over the real host-local and ours, each on a data directory of its own: after every
 * call the same answer and the same files. Between calls somebody else changes both directories alike.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type HostLocalVerb, scratch, Twins } from './rig/host-local.ts'

/** Mostly not. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })

/** Few enough to meet. */
const v4 = fc
  .tuple(fc.constantFrom('10.1.0', '10.1.1', '10.2.0'), fc.nat(17))
  .map(([net, host]) => `${net}.${host}`)
const v6 = fc
  .tuple(fc.constantFrom('fd00:1', 'fd00:2'), fc.nat(17))
  .map(([net, host]) => `${net}::${host.toString(16)}`)
const address = fc.oneof({ weight: 3, arbitrary: v4 }, { weight: 1, arbitrary: v6 })

const subnet = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('10.1.0.0/29', '10.1.0.8/29', '10.1.1.0/30', '10.2.0.0/28', '10.1.0.0/24'),
  },
  { weight: 3, arbitrary: fc.constantFrom('fd00:1::/125', 'fd00:1::8/125', 'fd00:2::/64') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('10.1.0.0/31', '10.1.0.4/29', 'fd00:1::/127', '10.1.0.0', '10.0.0.0/8'),
  },
)

const range = fc.record(
  { subnet, rangeStart: maybe(address), rangeEnd: maybe(address), gateway: maybe(address) },
  { requiredKeys: ['subnet'] },
)
const set = fc.array(
  fc.oneof({ weight: 3, arbitrary: fc.record({ subnet }) }, { weight: 1, arbitrary: range }),
  { minLength: 1, maxLength: 3 },
)

/** Mostly refused. */
const wild = fc.record({
  cniVersion: fc.constantFrom('0.1.0', '0.2.0', '0.3.1', '0.4.0', '1.0.0'),
  single: maybe(range),
  ranges: fc.array(set, { maxLength: 3 }),
  ipRanges: fc.array(set, { maxLength: 2 }),
})

/** Sound sets, small, none of which overlaps another. */
const SETS = [
  [{ subnet: '10.1.0.0/29' }],
  [{ subnet: '10.1.0.8/29', rangeStart: '10.1.0.9', rangeEnd: '10.1.0.12', gateway: '10.1.0.10' }],
  [{ subnet: '10.1.1.0/30' }, { subnet: '10.2.0.0/24', rangeEnd: '10.2.0.2' }, { subnet: '10.1.0.16/30' }],
  [{ subnet: 'fd00:1::/125' }],
  [{ subnet: 'fd00:2::/64', rangeStart: 'fd00:2::5', rangeEnd: 'fd00:2::7' }, { subnet: 'fd00:1::8/126' }],
]

const sound = fc
  .record({
    cniVersion: fc.constantFrom('0.3.1', '0.4.0', '1.0.0', '1.0.0', '1.0.0'),
    sets: fc.shuffledSubarray(SETS, { minLength: 1, maxLength: 3 }),
    by: fc.constantFrom('ranges' as const, 'ranges' as const, 'ipRanges' as const),
  })
  .map(({ cniVersion, sets, by }) => ({
    cniVersion,
    single: undefined,
    ranges: by === 'ranges' ? sets : [],
    ipRanges: by === 'ipRanges' ? sets : [],
  }))

const conf = fc.oneof({ weight: 6, arbitrary: sound }, { weight: 1, arbitrary: wild })

type Conf = Value<typeof wild> | Value<typeof sound>
type Value<A> = A extends fc.Arbitrary<infer T> ? T : never

const who = fc.record({
  containerID: fc.constantFrom('a', 'b', 'c', 'd', '10.1.0.2'),
  ifName: fc.constantFrom('eth0', 'eth0', 'eth1'),
})

/** One of each family at most: of several for one set the real one takes any. */
const wishes = fc.record({
  v4: fc.option(v4, { nil: undefined }),
  v6: fc.option(v6, { nil: undefined }),
  by: fc.constantFrom('args' as const, 'cni' as const, 'capability' as const),
})

const call = fc.record({
  kind: fc.constant('call' as const),
  verb: fc.constantFrom<HostLocalVerb>('ADD', 'ADD', 'ADD', 'DEL', 'DEL', 'CHECK'),
  who,
  wish: maybe(wishes),
  conf: fc.nat(1),
})

const foreign = fc.record({
  kind: fc.constant('foreign' as const),
  what: fc.constantFrom('write' as const, 'remove' as const, 'give' as const, 'directory' as const),
  name: fc.oneof(
    { weight: 4, arbitrary: address },
    {
      weight: 1,
      arbitrary: fc.constantFrom('last_reserved_ip.0', 'last_reserved_ip.1', 'below/10.1.0.3', 'x'),
    },
  ),
  content: fc.constantFrom('a', 'b\r\neth0', 'a\r\neth0 \n', 'd\r\neth1', '', '10.1.0.2', '10.1.0.9', '\0'),
})

const step = fc.oneof({ weight: 4, arbitrary: call }, { weight: 1, arbitrary: foreign })

function netconf(dataDir: string, of: Conf, wish?: Value<typeof wishes>) {
  const ips = wish === undefined ? [] : [wish.v4, wish.v6].filter((ip) => ip !== undefined)
  return {
    cniVersion: of.cniVersion,
    name: 'net1',
    ipam: { type: 'host-local', dataDir, ...of.single, ranges: of.ranges },
    ...(wish?.by === 'cni' ? { args: { cni: { ips } } } : {}),
    runtimeConfig: { ipRanges: of.ipRanges, ...(wish?.by === 'capability' ? { ips } : {}) },
  }
}

/** The same change in both directories; a name that cannot be changed so is left alone in both. */
function change(dataDir: string, { what, name, content }: Value<typeof foreign>): void {
  const path = join(dataDir, 'net1', name)
  mkdirSync(join(path, '..'), { recursive: true })
  try {
    if (what === 'directory') mkdirSync(path)
    else if (what === 'remove') rmSync(path, { recursive: true })
    else if (what === 'write') writeFileSync(path, content, { flag: 'wx', mode: 0o644 })
    else {
      // released and given to somebody else: the name stays, the file does not
      writeFileSync(`${path}.new`, content, { mode: 0o644 })
      renameSync(`${path}.new`, path)
    }
  } catch {
    rmSync(`${path}.new`, { force: true })
  }
}

t.test('random lives', async (t) => {
  const dir = scratch(t)
  let runs = 0
  let calls = 0
  const says = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(conf, conf),
      fc.array(step, { minLength: 4, maxLength: 24 }),
      async (confs, steps) => {
        runs += 1
        const twins = new Twins(dir, `${runs}-`)
        for (const dataDir of [twins.real, twins.ours]) mkdirSync(dataDir)
        for (const each of steps) {
          if (each.kind === 'foreign') {
            for (const dataDir of [twins.real, twins.ours]) change(dataDir, each)
            continue
          }
          const { verb, who, wish } = each
          const args = wish?.by === 'args' && wish.v4 !== undefined ? `IP=${wish.v4}` : ''
          const of = confs[each.conf === 0 ? 0 : 1]
          const { real, ours } = await twins.ask({ verb, ...who, args }, (dataDir) =>
            netconf(dataDir, of, wish),
          )
          calls += 1
          const heading = (real.msg ?? (real.result === undefined ? 'fine' : 'result')).replace(
            /\S*\d\S*/g,
            '#',
          )
          says.set(heading, (says.get(heading) ?? 0) + 1)
          const files = twins.files()
          const [is, wanted] = [
            { answer: ours, files: files.ours },
            { answer: real, files: files.real },
          ]
          if (JSON.stringify(is) !== JSON.stringify(wanted)) {
            throw new Error(
              `${verb}\nours ${JSON.stringify(is, null, 1)}\nreal ${JSON.stringify(wanted, null, 1)}`,
            )
          }
        }
        rmSync(twins.real, { recursive: true })
        rmSync(twins.ours, { recursive: true })
      },
    ),
    { numRuns: Number(process.env.HOST_LOCAL_RUNS ?? 120) },
  )
  t.ok((says.get('result') ?? 0) > 50, `${says.get('result')} of ${calls} calls gave addresses`)
  t.ok(says.size > 8, `${says.size} different things were said`)
  for (const [what, often] of says) t.comment(`${often} ${what}`)
})
