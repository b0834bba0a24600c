/**
 * Hostile input by the thousand, through everything of the plugin that comes before the kernel: environment, stdin,
 * netconf, arguments, prevResult, addresses. Each case must end in a result or in a proper refusal.
 */
import fc from 'fast-check'
import t from 'tap'
import { parseArgs } from '../../src/cni/args.ts'
import { formatResult, parseResult, type Result } from '../../src/cni/result.ts'
import { type CniCall, type Plugin, serve } from '../../src/cni/serve.ts'
import type { EndSpec } from '../../src/koko/endpoint.ts'
import { randomMac } from '../../src/koko/mac.ts'
import { validateEnd, validatePair } from '../../src/koko/validate.ts'
import { parseReference } from '../../src/netns/reference.ts'
import { containerEnd, hostEnd, plainEnd } from '../../src/plugin/ends.ts'
import { type EndConf, ipamType, type Netconf, parseNetconf, resultDns } from '../../src/plugin/netconf.ts'
import { report } from '../../src/plugin/report.ts'
import { assignedByConf, baseSpec, requestedMac, withIpam } from '../../src/plugin/wanted.ts'
import { hostileConf, hostileEnv, hostileStdin } from './rig/hostile-input.ts'
import { answerProblems } from './rig/verdict.ts'

const CASES = 4000

/** The end of a netconf as the plugin would plan it. */
function endOf(conf: Netconf, end: EndConf, call: CniCall, mode: typeof plainEnd): EndSpec {
  const mac = requestedMac(conf, parseArgs(call.args), end) ?? randomMac()
  const spec = {
    ...baseSpec(conf, call.ifName),
    mac,
    mtu: conf.mtu || 1500,
    ...mode(assignedByConf(conf, end)),
  }
  validateEnd(spec)
  return spec
}

function previous(call: CniCall, conf: Netconf): Result | undefined {
  const { prevResult } = conf
  return prevResult === undefined || prevResult === null
    ? undefined
    : parseResult(prevResult, call.version).result
}

/** What every verb reads of its input, ADD most of all. */
async function understand(call: CniCall): Promise<Result> {
  const conf = parseNetconf(call.conf)
  ipamType(conf)
  const before = previous(call, conf)
  const ends: EndSpec[] = []
  if (conf.peer) {
    parseReference(conf.peer.netns)
    ends.push(endOf(conf, conf, call, plainEnd), endOf(conf, conf.peer, call, plainEnd))
  } else if (conf.link) {
    for (const end of Object.values(conf.link.ends ?? {})) ends.push(endOf(conf, end, call, plainEnd))
  } else {
    const assigned = assignedByConf(conf, conf)
    ends.push(endOf(conf, conf, call, containerEnd))
    hostEnd(before === undefined ? assigned : withIpam(assigned, before))
  }
  const [one, other] = ends
  if (one !== undefined && other !== undefined) validatePair(one, other)
  const dns = resultDns(conf, before?.dns ?? {})
  const ips = ends.flatMap(({ addresses }) => addresses.map(({ address }) => ({ address })))
  const result = { interfaces: [{ name: call.ifName }], ips, routes: before?.routes ?? [], dns }
  formatResult(result, call.version)
  return result
}

const reading: Plugin = {
  about: 'the part of nugator that reads',
  report,
  add: understand,
  async del(call) {
    await understand(call)
  },
  async check(call) {
    await understand(call)
  },
  async gc(call) {
    await understand(call)
  },
  async status(call) {
    parseNetconf(call.conf)
  },
}

/** Everything wrong with the answer to one call. */
async function wrong(env: Record<string, string>, stdin: Buffer): Promise<string[]> {
  const answer = await serve(reading, env, () => stdin)
  const { exitCode, stdout, stderr } = answer
  return answerProblems(env.CNI_COMMAND ?? '', { code: exitCode, signal: null, stdout, stderr })
}

t.test(`${CASES} hostile calls`, async (t) => {
  const call = fc.record({
    env: hostileEnv(['/run/netns/x'], '/usr/lib/cni'),
    stdin: hostileStdin('/run/netns/y'),
  })
  await fc.assert(
    fc.asyncProperty(call, async ({ env, stdin }) => {
      const problems = env.CNI_COMMAND === '' ? [] : await wrong(env, Buffer.from(stdin))
      if (problems.length > 0) throw new Error(problems.join('\n'))
    }),
    { numRuns: CASES },
  )
  t.pass('all were answered properly')
})

t.test(`${CASES} netconfs near a good one, in a good environment`, async (t) => {
  const env = {
    CNI_CONTAINERID: 'hostile1',
    CNI_NETNS: '/run/netns/x',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/usr/lib/cni',
  }
  const verb = fc.constantFrom('ADD', 'DEL', 'CHECK', 'GC', 'STATUS')
  let good = 0
  await fc.assert(
    fc.asyncProperty(verb, hostileConf('/run/netns/y'), async (CNI_COMMAND, conf) => {
      const stdin = Buffer.from(JSON.stringify(conf))
      const problems = await wrong({ ...env, CNI_COMMAND }, stdin)
      if (problems.length > 0) throw new Error(problems.join('\n'))
      const { exitCode } = await serve(reading, { ...env, CNI_COMMAND }, () => stdin)
      if (exitCode === 0) good += 1
    }),
    { numRuns: CASES },
  )
  t.ok(good > CASES / 50, `${good} were good after all`)
  t.notOk('mtu' in {} || 'code' in {}, 'no prototype was polluted')
})

t.test('stdin is any bytes', async (t) => {
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_NETNS: '/x', CNI_IFNAME: 'b', CNI_PATH: '/x' }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const problems = await wrong(env, Buffer.from(bytes))
      if (problems.length > 0) throw new Error(problems.join('\n'))
    }),
    { numRuns: CASES },
  )
  t.pass('all were answered properly')
})
