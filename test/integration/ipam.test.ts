/** How IPAM plugins are found, called and believed (conformance section 4, P01 to P06, P09, P10). */
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { added, type Refusal, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { type Netconf, netconf, VERSIONS } from './rig/cni/conf.ts'
import { FakeIpam, RESULT, type Reply } from './rig/cni/ipam.ts'
import { type Call, type CniResult, type Host, newHost } from './rig/host.ts'

interface Stage {
  host: Host
  ipam: FakeIpam
  container: string
  add(more?: Netconf, call?: Call): Promise<CniResult>
  del(more?: Netconf): Promise<CniResult>
}

function stage(t: Test): Stage {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const { name, ...container } = newContainer(host)
  const conf = (more: Netconf = {}) => netconf(host, { ipam: { type: ipam.type }, ...more })
  const call = { ...container, path: ipam.path }
  return {
    host,
    ipam,
    container: name,
    add: (more, over = {}) => host.cni('ADD', { ...call, conf: conf(more), ...over }),
    del: (more) => host.cni('DEL', { ...call, conf: conf(more) }),
  }
}

/** A directory with an entry for the fake's name in it. */
function directory(host: Host, name: string, entry?: { text: string; mode: number } | 'directory'): string {
  const dir = join(host.dir, name)
  mkdirSync(dir)
  const path = join(dir, 'fake-ipam')
  if (entry === 'directory') mkdirSync(path)
  else if (entry !== undefined) {
    writeFileSync(path, entry.text)
    chmodSync(path, entry.mode)
  }
  return dir
}

t.test('P01 the first of its name in CNI_PATH', async (t) => {
  const { host, ipam, add, del } = stage(t)
  const other = directory(host, 'other', { text: '#!/bin/sh\nexit 9\n', mode: 0o755 })
  const empty = directory(host, 'empty')
  const nested = directory(host, 'nested', 'directory')
  added(t, await add({}, { path: `/nowhere:${empty}:${nested}:${ipam.path}:${other}` }))
  t.same(ipam.calls(), ['ADD ctr1 eth0'])
  silent(t, await del())
})

t.test('P01 the first of its name cannot be executed: no other is tried', async (t) => {
  const { host, ipam, add, container } = stage(t)
  const plain = directory(host, 'plain', { text: '#!/bin/sh\n', mode: 0o644 })
  refused(t, await add({}, { path: `${plain}:${ipam.path}` }), { code: [0, 999], msg: /permission denied/i })
  t.same(ipam.calls(), [])
  await nothingLeft(t, host, [container])
})

for (const [title, ipam, msg] of [
  ['a path', { type: '../bin/fake-ipam' }, 'invalid plugin name: ../bin/fake-ipam'],
  ['a path', { type: 'a/b' }, 'invalid plugin name: a/b'],
  ['empty', { type: '' }, 'no plugin name provided'],
  ['absent', {}, 'no plugin name provided'],
  ['nowhere', { type: 'nonexist' }, 'failed to find plugin "nonexist" in path [/a /b]'],
] as const) {
  t.test(`P01 IPAM type ${title}: ${msg}`, async (t) => {
    const { host, add, del, container } = stage(t)
    refused(t, await add({ ipam }, { path: '/a:/b' }), { code: title === 'nowhere' ? 999 : [7, 999], msg })
    await nothingLeft(t, host, [container])
    if (title === 'nowhere')
      refused(t, await del({ ipam }), { code: 999, msg: /failed to find plugin "nonexist"/ })
  })
}

t.test('P02 the environment is handed on, and stdin byte by byte', async (t) => {
  const { host, ipam, add, container } = stage(t)
  const conf = netconf(host, {
    ipam: { type: ipam.type, own: { key: 'é' } },
    runtimeConfig: { aliases: ['a'] },
    args: { cni: { labels: [] } },
    capabilities: { ips: true },
    'cni.dev/odd': null,
  })
  const stdin = `  ${JSON.stringify(conf, null, '\t ')}\r\n\n`
  const env = {
    FOO: 'bar=baz',
    TRACEPARENT: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    TRACESTATE: 'a=b',
  }
  const call = { stdin, env, args: 'IgnoreUnknown=1;K8S_POD_NAME=pod' }
  added(t, await add({}, call))
  silent(t, await host.cni('DEL', { ...call, path: ipam.path, netns: `/run/netns/${container}` }))
  for (const command of ['ADD', 'DEL']) {
    t.equal(ipam.stdin(command), stdin, `stdin of ${command}`)
    const seen = ipam.env(command)
    const { CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS, CNI_ARGS, CNI_PATH, FOO } = seen
    t.same([CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME], [command, 'ctr1', 'eth0'])
    t.same([CNI_NETNS, CNI_ARGS, CNI_PATH], [`/run/netns/${container}`, call.args, ipam.path])
    t.same([FOO, seen.TRACEPARENT, seen.TRACESTATE], Object.values(env))
  }
})

t.test('P03 a binary that is just being written is waited for', async (t) => {
  const { ipam, add, del } = stage(t)
  const writer = openSync(join(ipam.path, ipam.type), 'r+')
  const adding = add()
  await pause(1500)
  closeSync(writer)
  added(t, await adding)
  silent(t, await del())
})

/** Answers to ADD that must fail; what was made and leased is given back (P07). */
const failures: [string, Reply, Refusal][] = [
  [
    'P04 a typed error passes through',
    { code: 3, stdout: { cniVersion: '1.0.0', code: 123, msg: 'pool is empty', details: '10.1.2.0/24' } },
    { code: 123, msg: 'pool is empty', details: '10.1.2.0/24' },
  ],
  [
    'P04 a code of the specification passes through',
    { code: 1, stdout: { code: 11, msg: 'try again' } },
    { code: 11, msg: 'try again' },
  ],
  [
    'P04 no JSON',
    { code: 1, stdout: 'oh no' },
    { code: 0, msg: /^netplugin failed but error parsing its diagnostic message "oh no": ./ },
  ],
  ['P04 only stderr', { code: 3, stderr: 'oh no' }, { code: 0, msg: /^netplugin failed: "oh no"/ }],
  [
    'P04 nothing said',
    { code: 3 },
    { code: 0, msg: /^netplugin failed with no error message: exit status 3/ },
  ],
  ['P05 success without a result', { stdout: '' }, { code: 999, msg: /^failed to unmarshal raw result: ./ }],
  ['P05 success and no JSON', { stdout: 'fine' }, { code: 999, msg: /^failed to unmarshal raw result: ./ }],
  ['P05 success and null', { stdout: 'null' }, { code: 999, msg: 'IPAM plugin returned missing IP config' }],
  ['P05 success and {}', { stdout: {} }, { code: 999, msg: 'IPAM plugin returned missing IP config' }],
  [
    'P05 success and no IPs',
    { stdout: { cniVersion: '1.0.0', ips: [] } },
    { code: 999, msg: 'IPAM plugin returned missing IP config' },
  ],
  [
    'P06 a version nobody knows',
    { stdout: { ...RESULT, cniVersion: '9.9.9' } },
    { code: 999, msg: /unsupported CNI result version "9\.9\.9"/ },
  ],
]

for (const [title, reply, wanted] of failures) {
  t.test(title, async (t) => {
    const { host, ipam, add, container } = stage(t)
    ipam.reply('ADD', reply).reply('DEL', { code: 1, stdout: { code: 77, msg: 'DEL fails too' } })
    refused(t, await add({ ipMasq: true }), wanted)
    t.same(ipam.calls(), ['ADD ctr1 eth0', 'DEL ctr1 eth0'], 'P07 DEL after a failed ADD, its error ignored')
    t.equal(ipam.stdin('DEL'), ipam.stdin('ADD'))
    await nothingLeft(t, host, [container])
  })
}

t.test('P05 success and an address that is none', async (t) => {
  const { host, ipam, add, container } = stage(t)
  ipam.reply('ADD', { stdout: { ips: [{ address: '10.1.2.300/24', gateway: '10.1.2.1' }] } })
  refused(t, await add(), { code: 999, msg: /10\.1\.2\.300/ })
  t.equal(ipam.calls().at(-1), 'DEL ctr1 eth0')
  await nothingLeft(t, host, [container])
})

const legacy = {
  ip4: { ip: '10.1.2.2/24', gateway: '10.1.2.1', routes: [{ dst: '0.0.0.0/0' }] },
  dns: { domain: 'x.test' },
}
const modern = {
  ips: [{ address: '10.1.2.2/24', gateway: '10.1.2.1' }],
  routes: [{ dst: '0.0.0.0/0' }],
  dns: legacy.dns,
}
const asked: [string, object][] = VERSIONS.map((version) => {
  const old = version === '0.1.0' || version === '0.2.0'
  return [`a result of ${version}`, { cniVersion: version, ...(old ? legacy : modern) }]
})

for (const [title, stdout] of [...asked, ['a result without a version', modern] as const]) {
  t.test(`P06 ${title} is understood`, async (t) => {
    const { ipam, add, del } = stage(t)
    ipam.reply('ADD', { stdout })
    const result = added(t, await add({ cniVersion: '1.1.0' }))
    t.same(result.ips, [{ address: '10.1.2.2/24', gateway: '10.1.2.1', interface: 1 }])
    t.same([result.routes, result.dns], [modern.routes, modern.dns])
    silent(t, await del())
  })
}

for (const code of [0, 1]) {
  t.test(`P09 what the IPAM plugin writes to stderr is ours to write, exit code ${code}`, async (t) => {
    const { ipam, add } = stage(t)
    ipam.reply('ADD', {
      stderr: 'a word of warning\n',
      code,
      stdout: code === 0 ? RESULT : { code: 5, msg: 'no' },
    })
    const done = await add()
    t.equal(done.code, code)
    t.match(done.stderr, /^a word of warning$/m)
  })
}

t.test('P10 the link is there for the IPAM plugin, and gone before its DEL', async (t) => {
  const { ipam, add, del, container, host } = stage(t)
  const script = 'nsenter --net="$CNI_NETNS" ip -o link show >"$CNI_COMMAND.links"'
  ipam.reply('ADD', { script, stdout: RESULT }).reply('DEL', { script })
  added(t, await add())
  silent(t, await del())
  t.match(ipam.note('ADD.links'), /: eth0@/)
  t.notMatch(ipam.note('DEL.links'), /eth0/)
  await nothingLeft(t, host, [container])
})

t.test('two containers of any IPAM plugin share a gateway', async (t) => {
  const { ipam, add, del, host } = stage(t)
  added(t, await add())
  ipam.reply('ADD', { stdout: { ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }] } })
  const { name, netns } = newContainer(host, 'ctr2')
  const second = { containerID: 'ctr2', netns }
  added(t, await add({}, second))
  t.ok(await host.ping(name, '10.1.2.1'))
  silent(t, await del())
  t.ok(await host.ping(name, '10.1.2.1'))
})
