/** What the agent tells of itself: status, metrics for Prometheus, a log, and the words of plugins that it runs. */
import t, { type Test } from 'tap'
import { Agent, type LogLine } from './rig/agent.ts'
import { added, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { FakeIpam, RESULT } from './rig/cni/ipam.ts'
import { newHost, PLUGIN, run } from './rig/host.ts'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/g

/** Reads Prometheus' text format 0.0.4 strictly. @throws on what it does not allow */
function parseMetrics(text: string): { types: Map<string, string>; samples: Sample[] } {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const types = new Map<string, string>()
  const samples: Sample[] = []
  for (const line of text.slice(0, -1).split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|summary|histogram|untyped)$/.exec(line)
    if (type !== null) types.set(type[1] ?? '', type[2] ?? '')
    if (line.startsWith('#')) {
      if (type === null && !/^# HELP \S+ \S/.test(line)) throw new Error(`no comment: ${line}`)
      continue
    }
    const [, name = '', inside = '', value] = SAMPLE.exec(line) ?? []
    const labels = [...inside.matchAll(LABEL)]
    if (labels.map(([whole]) => whole).join('') !== inside || Number.isNaN(Number(value)))
      throw new Error(`no sample: ${line}`)
    samples.push({
      name,
      labels: Object.fromEntries(labels.map(([, key, text]) => [key ?? '', text ?? ''])),
      value: Number(value),
    })
  }
  for (const { name } of samples) {
    const family = name.replace(/_(sum|count)$/, '')
    if (!types.has(name) && types.get(family) !== 'summary') throw new Error(`${name} has no type`)
  }
  return { types, samples }
}

/** ADD twice, one in vain; CHECK, DEL twice; a verb that nobody knows. */
async function someCalls(t: Test): Promise<Agent> {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipMasq: true })
  const call = { ...container, env: agent.env, conf }
  const prevResult = added(t, await host.cni('ADD', call))
  refused(t, await host.cni('ADD', call), { code: 102 })
  silent(t, await host.cni('CHECK', { ...call, conf: { ...conf, prevResult } }))
  for (let n = 0; n < 2; n++) silent(t, await host.cni('DEL', call))
  refused(t, await host.cni('N"O\nPE', call), { code: 4 })
  await nothingLeft(t, host, [name])
  return agent
}

t.test('status, for machines and for people', async (t) => {
  const agent = await someCalls(t)
  const env = { ...process.env, ...agent.env }
  const json = await run(PLUGIN, ['agent', 'status', '--format=json'], { env })
  t.equal(json.code, 0, json.stderr)
  const status = JSON.parse(json.stdout)
  t.match(status, { version: /^\d+\.\d+\.\d+/, protocol: 1, pid: agent.pid, inFlight: 0, refused: 0 })
  t.ok(Math.abs(Date.parse(status.started) + status.uptime * 1000 - Date.now()) < 5000, 'when it began')
  t.ok(status.rss > 20e6 && status.rss < 400e6, `${status.rss} bytes`)
  const counts = { ADD: [2, 1], CHECK: [1, 0], DEL: [2, 0], unknown: [1, 1] }
  t.same(Object.keys(status.verbs).sort(), Object.keys(counts).sort())
  for (const [verb, [count, failed]] of Object.entries(counts)) {
    const { p50, p99, sum, ...told } = status.verbs[verb]
    t.same(told, { count, failed }, verb)
    t.ok(p50 > 0 && p50 <= p99 && p99 <= sum && sum < 10e6, `${verb}: ${p50} ${p99} ${sum} µs`)
  }
  t.match(status.lastErrors, [
    { verb: 'ADD', code: 102, msg: /already attached/ },
    { verb: 'unknown', code: 4, msg: /unknown CNI_COMMAND/ },
  ])
  const text = await run(PLUGIN, ['agent', 'status'], { env })
  t.equal(text.code, 0, text.stderr)
  t.match(text.stdout, /^ADD +2 +1 +\d+\.\d\d ms +\d+\.\d\d ms$/m)
  t.match(text.stdout, /^DEL +2 +0 /m)
  t.match(text.stdout, /^last errors:\n {2}\S+ ADD 102: already attached/m)
  t.same(await agent.page('/nowhere'), 'there are /status and /metrics\n')
  await agent.stop()
  const none = await run(PLUGIN, ['agent', 'status'], { env })
  t.match([none.code, none.stdout, none.stderr], [1, '', /no agent answers at .*: .*ENOENT/])
})

t.test('metrics are Prometheus’ text, and count the calls', async (t) => {
  const agent = await someCalls(t)
  const { types, samples } = parseMetrics(await agent.page('/metrics'))
  const value = (name: string, labels: Record<string, string> = {}) =>
    samples.find((one) => one.name === name && JSON.stringify(one.labels) === JSON.stringify(labels))?.value
  t.equal(types.get('nugator_request_duration_seconds'), 'summary')
  t.equal(types.get('nugator_request_errors_total'), 'counter')
  const { verbs } = await agent.status()
  for (const [verb, { count, failed, sum, p50, p99 }] of Object.entries(verbs)) {
    const duration = 'nugator_request_duration_seconds'
    t.equal(value(`${duration}_count`, { verb }), count)
    t.equal(value(`${duration}_sum`, { verb }), sum / 1e6)
    t.equal(value(duration, { verb, quantile: '0.5' }), p50 / 1e6)
    t.equal(value(duration, { verb, quantile: '0.99' }), p99 / 1e6)
    t.equal(value('nugator_request_errors_total', { verb }), failed)
  }
  t.equal(value('nugator_requests_in_flight'), 0)
  t.equal(value('nugator_requests_refused_total'), 0)
  t.ok(Number(value('nugator_resident_memory_bytes')) > 20e6)
  t.ok(Number(value('nugator_uptime_seconds')) > 0)
  t.equal(value('nugator_info', { version: String(JSON.parse(await agent.page('/status')).version) }), 1)
})

/** What is wrong with a line about a call. */
function lineProblems({ time, verb, us, parts, ...line }: LogLine): string[] {
  const problems: string[] = []
  if (Number.isNaN(Date.parse(time))) problems.push(`time ${time}`)
  if (line.network !== 'net1' || line.containerID !== 'ctr1' || line.ifName !== 'eth0')
    problems.push('whose it is')
  const took = Object.entries(parts as Record<string, number>)
  const sum = took.reduce((sum, [, part]) => sum + part, 0)
  if (took.some(([, part]) => !(part >= 0))) problems.push(`parts ${JSON.stringify(parts)}`)
  // Each part is rounded; the last one ends a little after the whole.
  if (Math.abs(sum - Number(us)) > 300 + 0.05 * sum) problems.push(`${us} µs, and its parts ${sum}`)
  return problems.map((problem) => `${verb}: ${problem}`)
}

t.test('a line of JSON for each call, with what it took', async (t) => {
  const agent = await someCalls(t)
  const lines = await agent.says('call', 6)
  t.same(
    lines.map(({ verb, code }) => [verb, code]),
    [
      ['ADD', 0],
      ['ADD', 102],
      ['CHECK', 0],
      ['DEL', 0],
      ['DEL', 0],
      ['unknown', 4],
    ],
  )
  t.same(lines.slice(0, 5).flatMap(lineProblems), [])
  const [first, second] = lines
  t.same(Object.keys(first?.parts ?? {}), [
    ...['parse', 'lock', 'prepare', 'record', 'ipam', 'wire', 'finish', 'commit', 'answer'],
  ])
  t.match(second?.error, /already attached/)
  t.same(
    [...new Set(agent.lines().map(({ event }) => event))].sort(),
    ['call', 'ready'],
    'and nothing that was not asked for',
  )
})

t.test('long words are cut, not kept', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const long = 'y'.repeat(1_000_000)
  for (let n = 0; n < 12; n++) {
    const conf = netconf(host, { name: 'net1', ipam: { type: long } })
    refused(t, await host.cni('ADD', { ...container, env: agent.env, conf }), { code: 999 })
    refused(t, await host.cni('STATUS', { env: agent.env, conf: { ...conf, name: `${long} ` } }), { code: 7 })
  }
  await agent.says('call', 24)
  t.ok(agent.log.length < 200_000, `a log of ${agent.log.length} bytes`)
  t.ok((await agent.page('/status')).length < 50_000)
  await nothingLeft(t, host, [name])
})

t.test('what a plugin says on stderr comes to the caller', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const ipam = new FakeIpam(host)
  const conf = netconf(host, { ipam: { type: ipam.type } })
  const call = { ...container, env: agent.env, path: ipam.path, conf }
  ipam.reply('ADD', { stderr: 'a warning: ä\n', stdout: RESULT }).reply('DEL', { stderr: 'another' })
  const done = await host.cni('ADD', call)
  t.equal(added(t, done).ips?.length, 1)
  t.equal(done.stderr, 'a warning: ä\n')
  const deleted = await host.cni('DEL', call)
  silent(t, deleted)
  t.equal(deleted.stderr, 'another')
  const much = 'z'.repeat(300_000)
  ipam.reply('ADD', { stderr: much, code: 1, stdout: { code: 123, msg: 'no' } })
  const failed = await host.cni('ADD', call)
  refused(t, failed, { code: 123 })
  t.equal(failed.stderr, `${much}another`, 'all of it, in order')
  t.notMatch(agent.log, 'a warning', 'it is not the agent’s to say')
  await nothingLeft(t, host, [name])
})
