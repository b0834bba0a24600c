/** STATUS says whether an ADD can work, the IPAM plugin's word included (conformance 3.4, C24 to C27). */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, peerconf } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { type Host, newHost } from './rig/host.ts'

const env = { CNI_CONTAINERID: '', CNI_IFNAME: '' }
const ADDRESSES = { addresses: [{ address: '10.1.2.2/24', gateway: '10.1.2.1' }] }
const conf = (host: Host, more: Netconf = {}) => netconf(host, { cniVersion: '1.1.0', ...more })

for (const [title, more] of [
  ['host-local', (host: Host) => ({ ipam: hostLocal(host) })],
  ['static addresses of its own', () => ({ ipam: undefined, ...ADDRESSES })],
  ['a masquerade', () => ({ ipMasq: true })],
  ['iptables', () => ({ ipMasq: true, ipMasqBackend: 'iptables' })],
  ['a peer', (host: Host) => peerconf(host, host.netns('peer').path, { cniVersion: '1.1.0' })],
  ['a link', () => ({ ipam: undefined, link: { name: 'a-b', ends: { a: ADDRESSES, b: {} } } })],
] as const) {
  t.test(`C24 healthy, with ${title}`, async (t) => {
    const host = newHost(t)
    silent(t, await host.cni('STATUS', { env, conf: conf(host, more(host)) }))
    await nothingLeft(t, host, [])
  })
}

t.test('C25 no CNI_PATH', async (t) => {
  const host = newHost(t)
  const done = await host.cni('STATUS', { env: { ...env, CNI_PATH: undefined }, conf: conf(host) })
  refused(t, done, { code: 4, msg: 'required env variables [CNI_PATH] missing' })
})

t.test('C26 no IPAM binary', async (t) => {
  const host = newHost(t)
  const ipam = hostLocal(host, undefined, { type: 'nonexist' })
  const done = await host.cni('STATUS', { env, path: '/nowhere:/neither', conf: conf(host, { ipam }) })
  refused(t, done, { code: 50, msg: /failed to find plugin "nonexist" in path \[\/nowhere \/neither\]/ })
})

for (const code of [50, 51, 123]) {
  t.test(`C27 IPAM says ${code}: passed through, and ADD works all the same`, async (t) => {
    const host = newHost(t)
    const ipam = new FakeIpam(host)
    const call = { ...newContainer(host), path: ipam.path, conf: conf(host, { ipam: { type: ipam.type } }) }
    silent(t, await host.cni('STATUS', { env, path: ipam.path, conf: call.conf }))
    t.same(ipam.calls(), ['STATUS  '])
    t.equal(ipam.stdin('STATUS'), JSON.stringify(call.conf))
    ipam.reply('STATUS', { code: 1, stdout: { code, msg: 'pool is empty', details: 'come back later' } })
    const done = await host.cni('STATUS', { env, path: ipam.path, conf: call.conf })
    refused(t, done, { code, msg: 'pool is empty', details: 'come back later' })
    added(t, await host.cni('ADD', call))
    silent(t, await host.cni('DEL', call))
  })
}

t.test('the state directory cannot be made', async (t) => {
  const host = newHost(t)
  writeFileSync(join(host.dir, 'file'), '')
  for (const name of ['NUGATOR_STATE_DIR', 'NUGATOR_RUN_DIR']) {
    const dirs = { ...env, [name]: join(host.dir, 'file', 'below') }
    refused(t, await host.cni('STATUS', { env: dirs, conf: conf(host) }), {
      code: 50,
      msg: /./,
    })
  }
})

t.test('a netconf that no ADD would take', async (t) => {
  const host = newHost(t)
  for (const more of [
    { mtu: 'big' },
    { mtu: 10 },
    { ipMasqBackend: 'foo', ipMasq: true },
    { mac: 'nonsense' },
  ]) {
    refused(t, await host.cni('STATUS', { env, conf: conf(host, more) }), { code: [6, 7, 50] })
  }
})

t.test('STATUS leaves no file behind', async (t) => {
  const host = newHost(t)
  silent(t, await host.cni('STATUS', { env, conf: conf(host) }))
  const files = readdirSync(host.dir, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  )
  t.same(files.map(({ name }) => name).sort(), [])
})
