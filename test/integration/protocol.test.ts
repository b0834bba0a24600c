/** The CNI protocol's stdin, verbs and versions, as the reference's skeleton answers them (C01 to C03, C11 to C23). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { type Refusal, refused, silent } from './rig/cni/answer.ts'
import { netconf, VERSIONS, versionsBefore, withoutKey } from './rig/cni/conf.ts'
import { type Golden, refuseAll, VERBS } from './rig/cni/golden.ts'
import { newHost, PLUGIN, REFERENCE_PLUGINS, run } from './rig/host.ts'

const host = newHost(t)
const conf = (cniVersion: unknown = '1.1.0') => netconf(host, { cniVersion })
const withName = (name: unknown, version?: string) => ({ ...conf(version), name })

/** The same stdin for several verbs. */
function golden(
  id: string,
  title: string,
  verbs: readonly string[],
  stdin: unknown,
  wanted: Refusal,
): Golden {
  const text = typeof stdin === 'string' ? stdin : JSON.stringify(stdin)
  return { id, title, verbs, call: { stdin: text }, ...wanted }
}

const undecodable = { code: 6, msg: /^error unmarshall network config: ./ }
const endOfInput = { code: 6, msg: 'error unmarshall network config: unexpected end of JSON input' }
const noName = { code: 7, msg: 'missing network name' }
const badName = { code: 7, msg: 'invalid characters found in network name' }
const KNOWN = VERSIONS.map((version) => `"${version}"`).join(' ')

function incompatible(version: string): Refusal {
  const details = `config is "${version}", plugin supports [${KNOWN}]`
  return { code: 1, msg: 'incompatible CNI versions', details }
}

/** Verbs that a version does not have; no version at all counts as 0.1.0. */
function tooOld(id: string, verb: string, versions: readonly string[]): Golden[] {
  return [...versions, undefined].map((version) => {
    const wanted = { code: 1, msg: `config version does not allow ${verb}` }
    return golden(id, `config is ${version}`, [verb], netconf(host, { cniVersion: version }), wanted)
  })
}

const atEachVersion = (make: (version: string) => Golden): Golden[] => VERSIONS.map(make)

refuseAll(t, host, [
  ...atEachVersion((version) => {
    const wanted = { code: 4, msg: 'unknown CNI_COMMAND: NOPE' }
    return golden('C11', `no such verb at ${version}`, ['NOPE'], conf(version), wanted)
  }),
  golden('C11', 'lower case', ['add'], conf(), { code: 4, msg: 'unknown CNI_COMMAND: add' }),
  golden('C12', 'no such verb, empty stdin', ['NOPE'], '', endOfInput),
  golden('C13', 'empty stdin', VERBS, '', endOfInput),
  ...['{{{', '[]', '"text"', '7', '{"name":"net1"}{}', '{"name":"net1"', '\u0000'].map((text) =>
    golden('C13', `stdin ${JSON.stringify(text)}`, ['ADD', 'DEL', 'STATUS'], text, undecodable),
  ),
  golden('C13', 'name is a number', VERBS, withName(7), undecodable),
  golden('C14', 'stdin null', VERBS, 'null', noName),
  golden('C14', 'empty name', VERBS, withName(''), noName),
  golden('C14', 'no name', ['CHECK', 'GC', 'STATUS', 'NOPE'], withoutKey(conf(), 'name'), noName),
  ...atEachVersion((version) =>
    golden('C14', `no name at ${version}`, ['ADD', 'DEL'], withoutKey(conf(version), 'name'), noName),
  ),
  ...atEachVersion((version) => {
    const wanted = { ...badName, details: 'te%%st' }
    return golden('C15', `te%%st at ${version}`, ['ADD', 'DEL'], withName('te%%st', version), wanted)
  }),
  ...['te%%st', '../up', '.hidden', '-dash', 'a/b', 'a b', 'é', 'nul\u0000', 'line\n'].map((name) => {
    const verbs = ['DEL', 'CHECK', 'GC', 'STATUS', 'NOPE']
    return golden('C15', `name ${JSON.stringify(name)}`, verbs, withName(name), { ...badName, details: name })
  }),
  ...['2.0.0', 'adsf', '1.1', '1.2.0', '1.1.0 '].map((version) =>
    golden('C16', `cniVersion ${version}`, ['ADD', 'DEL'], conf(version), incompatible(version)),
  ),
  golden('C17', 'cniVersion adsf', ['CHECK', 'GC', 'STATUS'], conf('adsf'), {
    code: 6,
    msg: /^failed to convert major version part "adsf": ./,
  }),
  golden('C18', 'cniVersion is a number', VERBS, conf(7), {
    code: 6,
    msg: /^decoding version from network config: ./,
  }),
  ...tooOld('C19', 'CHECK', versionsBefore('0.4.0')),
  ...tooOld('C20', 'GC', versionsBefore('1.1.0')),
  ...tooOld('C20', 'STATUS', versionsBefore('1.1.0')),
  ...['CHECK', 'GC'].map((verb) => {
    const wanted = { code: 1, msg: `plugin version does not allow ${verb}` }
    return golden('C21', 'config is 1.2.0', [verb], conf('1.2.0'), wanted)
  }),
])

const noEnv = { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined, CNI_PATH: undefined }
const dummies = { CNI_CONTAINERID: 'dummy', CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' }

t.test('C01 without a command the plugin says what it is', async (t) => {
  for (const value of [undefined, '']) {
    const done = await host.cni('', { env: { ...noEnv, CNI_COMMAND: value } })
    silent(t, done)
    const [about = '', versions, ...rest] = done.stderr.split('\n')
    t.match(about, /^CNI nugator plugin ./)
    t.equal(versions, `CNI protocol versions supported: ${VERSIONS.join(', ')}`)
    t.same(rest, [''])
  }
})

const SUPPORTED = { cniVersion: '1.1.0', supportedVersions: [...VERSIONS] }

for (const text of ['', '{{{', '{"cniVersion":"0.3.1"}']) {
  t.test(`C03 VERSION with stdin ${JSON.stringify(text)}`, async (t) => {
    for (const env of [noEnv, dummies, { ...dummies, CNI_CONTAINERID: '%', CNI_IFNAME: 'a/b' }]) {
      const done = await host.cni('VERSION', { stdin: text, env })
      t.equal(done.code, 0)
      t.same(done.json, SUPPORTED)
      t.match(done.stdout, /^[^\n]+\n$/, 'a single line')
    }
  })
}

t.test('C03 VERSION does not wait for stdin', async (t) => {
  const child = spawn(PLUGIN, [], { env: { PATH: process.env.PATH, CNI_COMMAND: 'VERSION' } })
  t.teardown(() => child.kill('SIGKILL'))
  const [code] = await once(child, 'exit') // stdin is still open
  t.equal(code, 0)
})

t.test('C22 stdin cannot be read', async (t) => {
  const call = { containerID: 'ctr1', netns: host.path, path: REFERENCE_PLUGINS, command: 'ADD' }
  const done = await run('sh', ['-c', `exec ${PLUGIN} </`], { env: host.env(call) })
  refused(t, { ...done, json: JSON.parse(done.stdout) }, { code: 5, msg: /^error reading from stdin: ./ })
})

t.test('C23 GC and STATUS do not look at what only attachments have', async (t) => {
  const env = { CNI_CONTAINERID: 'a%b', CNI_NETNS: '/nowhere', CNI_IFNAME: 'a/b' }
  const lone = netconf(host, { cniVersion: '1.1.0', ipam: undefined })
  silent(t, await host.cni('GC', { env, conf: { ...lone, 'cni.dev/valid-attachments': [] } }))
  silent(t, await host.cni('STATUS', { env, conf: lone }))
})
