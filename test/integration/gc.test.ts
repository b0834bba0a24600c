/** GC removes what is not valid any more, of its network only (conformance 3.3). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { added, refused, silent, words } from './rig/cni/answer.ts'
import { type Attachment, attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, peerconf } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { masquerade } from './rig/cni/nat.ts'
import { type CniResult, type Host, newHost, REFERENCE_PLUGINS } from './rig/host.ts'
import { leases } from './rig/snapshot.ts'

const LIST = 'cni.dev/valid-attachments'

/** GC as libcni sends it: no container, no interface; `valid` undefined leaves the list out. */
function gc(host: Host, conf: Netconf, valid: unknown, path = REFERENCE_PLUGINS): Promise<CniResult> {
  const list = valid === undefined ? {} : { [LIST]: valid, 'cni.dev/attachments': valid }
  const env = { CNI_CONTAINERID: '', CNI_IFNAME: '' }
  return host.cni('GC', { env, path, conf: { ...conf, cniVersion: '1.1.0', ...list } })
}

const valid = (...names: string[]) => names.map((containerID) => ({ containerID, ifname: 'eth0' }))

/** Two containers on net1, the second masqueraded, and one on another network. */
async function three(t: Test): Promise<{ host: Host; one: Attachment; two: Attachment; other: Attachment }> {
  const host = newHost(t)
  const one = await attach(t, host, { ipMasq: true })
  const two = await attach(t, host, { ipMasq: true }, { containerID: 'ctr2' })
  const ipam = hostLocal(host, ['10.1.9.0/24'])
  const other = await attach(t, host, { name: 'net2', ipam, ipMasq: true }, { containerID: 'ctr3' })
  return { host, one, two, other }
}

t.test('what is listed stays', async (t) => {
  const { host, one, two, other } = await three(t)
  silent(t, await gc(host, one.conf, valid('ctr1', 'ctr2', 'ctr9')))
  for (const each of [one, two, other]) silent(t, await each.later('CHECK'))
})

t.test('what is not listed goes: interface, lease, masquerade, record', async (t) => {
  const { host, one, two, other } = await three(t)
  silent(t, await gc(host, one.conf, valid('ctr1')))
  t.same(await host.links(two.netns.name), [])
  t.same(leases(host), ['10.1.2.2', '10.1.9.2'])
  t.same(
    (await masquerade(host)).filter((line) => line.includes('10.1.2.3')),
    [],
  )
  silent(t, await one.later('CHECK'))
  silent(t, await other.later('CHECK'))
  silent(t, await two.later('DEL'))
  silent(t, await one.later('DEL'))
  silent(t, await other.later('DEL'))
  await nothingLeft(t, host, [one.netns.name, two.netns.name, other.netns.name])
})

t.test('an attachment is container and interface, not one of them', async (t) => {
  const { host, one, two, other } = await three(t)
  const list = [
    { containerID: 'ctr1', ifname: 'net1' },
    { containerID: 'ctr7', ifname: 'eth0' },
  ]
  silent(t, await gc(host, one.conf, list))
  t.same([await host.links(one.netns.name), await host.links(two.netns.name)], [[], []])
  silent(t, await other.later('CHECK'))
})

for (const list of [[], null]) {
  t.test(`${JSON.stringify(list)} purges the network`, async (t) => {
    const { host, one, two, other } = await three(t)
    silent(t, await gc(host, one.conf, list))
    t.same([await host.links(one.netns.name), await host.links(two.netns.name)], [[], []])
    t.same(leases(host), ['10.1.9.2'])
    silent(t, await other.later('CHECK'))
    silent(t, await gc(host, one.conf, list))
  })
}

t.test('an absent list is refused, unless purging is allowed', async (t) => {
  const { host, one, two, other } = await three(t)
  refused(t, await gc(host, one.conf, undefined), { code: 7, msg: /valid-attachments/ })
  refused(t, await gc(host, { ...one.conf, allowPurge: false }, undefined), { code: 7 })
  for (const each of [one, two, other]) silent(t, await each.later('CHECK'))
  silent(t, await gc(host, { ...one.conf, allowPurge: true }, undefined))
  t.same([await host.links(one.netns.name), await host.links(two.netns.name)], [[], []])
  silent(t, await other.later('CHECK'))
})

for (const list of ['ctr1', {}, [7], [{ containerID: 7, ifname: 'eth0' }]]) {
  t.test(`${JSON.stringify(list)} is no list of attachments: refused, nothing goes`, async (t) => {
    const host = newHost(t)
    const one = await attach(t, host)
    refused(t, await gc(host, one.conf, list), { code: [6, 7] })
    silent(t, await one.later('CHECK'))
  })
}

t.test('the namespace of a stale attachment is gone', async (t) => {
  const { host, one, two, other } = await three(t)
  host.deleteNetns(two.netns.name)
  silent(t, await gc(host, one.conf, valid('ctr1')))
  t.same(leases(host), ['10.1.2.2', '10.1.9.2'])
  for (const each of [one, other]) silent(t, await each.later('CHECK'))
})

t.test('peer mode: both ends go', async (t) => {
  const host = newHost(t)
  const peer = host.netns('peer')
  const one = await attach(t, host, peerconf(host, peer.path))
  silent(t, await gc(host, one.conf, valid('ctr1')))
  silent(t, await one.later('CHECK'))
  silent(t, await gc(host, one.conf, []))
  await nothingLeft(t, host, [one.netns.name, peer.name])
})

t.test('IPAM: DEL for each stale attachment, then GC with the same stdin', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const conf = { ipam: { type: ipam.type } }
  await attach(t, host, conf, { path: ipam.path })
  ipam.reply('ADD', { stdout: { ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }] } })
  await attach(t, host, conf, { containerID: 'ctr2', path: ipam.path })
  silent(t, await gc(host, netconf(host, conf), valid('ctr1'), ipam.path))
  t.same(ipam.calls(), ['ADD ctr1 eth0', 'ADD ctr2 eth0', 'DEL ctr2 eth0', 'GC  '])
  t.same(JSON.parse(ipam.stdin('GC'))[LIST], valid('ctr1'))
  t.equal(JSON.parse(ipam.stdin('DEL')).name, 'net1')
})

t.test('errors do not stop it, and all of them are told', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const conf = { ipam: { type: ipam.type } }
  const one = await attach(t, host, conf, { path: ipam.path })
  ipam.reply('ADD', { stdout: { ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }] } })
  const two = await attach(t, host, conf, { containerID: 'ctr2', path: ipam.path })
  const failing = 'printf \'{"code":123,"msg":"stuck lease of %s"}\' "$CNI_CONTAINERID"; exit 1'
  ipam.reply('DEL', { script: failing })
  ipam.reply('GC', { code: 1, stdout: { code: 124, msg: 'no GC today' } })
  const done = await gc(host, one.conf, [], ipam.path)
  t.equal(done.code, 1)
  for (const said of ['stuck lease of ctr1', 'stuck lease of ctr2', 'no GC today']) t.match(words(done), said)
  t.same(
    [await host.links(), await host.links(one.netns.name), await host.links(two.netns.name)],
    [[], [], []],
  )
  ipam.reply('DEL', {}).reply('GC', {})
  silent(t, await gc(host, one.conf, [], ipam.path))
  await nothingLeft(t, host, [one.netns.name, two.netns.name])
})

t.test('leftovers of an ADD that was killed', async (t) => {
  const counting = newHost(t)
  const file = join(counting.dir, 'steps')
  await attach(t, counting, { ipMasq: true }, { env: { NUGATOR_FAULT_COUNT: file } })
  const steps = Number(readFileSync(file, 'utf8'))
  t.ok(steps > 4, `${steps} steps`)
  for (const share of [0.2, 0.4, 0.6, 0.8, 1]) {
    const fault = String(Math.max(1, Math.floor(steps * share)))
    t.test(`killed at step ${fault}: all of it goes, and ADD works again`, async (t) => {
      const host = newHost(t)
      const { name, ...container } = newContainer(host)
      const call = { ...container, conf: netconf(host, { ipMasq: true }) }
      const done = await host.cni('ADD', { ...call, env: { NUGATOR_FAULT_AT: fault } })
      t.equal(done.signal, 'SIGKILL')
      silent(t, await gc(host, call.conf, []))
      await nothingLeft(t, host, [name])
      t.same(await masquerade(host), [])
      added(t, await host.cni('ADD', call))
    })
  }
})
