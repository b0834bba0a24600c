/** DEL always cleans up, whatever is missing or wrong (conformance 3.1). D13 is in names.test.ts. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { type Attachment, attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf, VERSIONS } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { masquerade } from './rig/cni/nat.ts'
import { type Host, newHost } from './rig/host.ts'
import { leases } from './rig/snapshot.ts'

/** An attachment with a masquerade, so that there is one more thing to forget. */
async function attached(t: Test, more: object = {}): Promise<{ host: Host } & Attachment> {
  const host = newHost(t)
  const attachment = await attach(t, host, { ipMasq: true, ...more })
  t.same(leases(host), ['10.1.2.2'])
  t.not((await masquerade(host)).length, 0, 'there is a masquerade')
  return { host, ...attachment }
}

async function allGone(t: Test, host: Host, netns: string[], spared: string[] = []): Promise<void> {
  await nothingLeft(t, host, netns, spared)
  t.same(await masquerade(host), [], 'no masquerade is left')
}

for (const version of VERSIONS) {
  t.test(`D01 never added, at ${version}`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    silent(
      t,
      await host.cni('DEL', { ...container, conf: netconf(host, { cniVersion: version, ipMasq: true }) }),
    )
    await allGone(t, host, [name])
  })

  t.test(`D02 DEL, and again, at ${version}`, async (t) => {
    const { host, netns, later } = await attached(t, { cniVersion: version })
    for (const more of [{}, {}, { prevResult: undefined }]) {
      silent(t, await later('DEL', more))
      await allGone(t, host, [netns.name])
    }
  })
}

for (const [title, more] of [
  ['with prevResult', {}],
  ['without prevResult', { prevResult: undefined }],
] as const) {
  t.test(`D03 no CNI_NETNS, ${title}: the host end goes, and the pair with it`, async (t) => {
    const { host, netns, later } = await attached(t)
    silent(t, await later('DEL', more, { netns: '' }))
    await allGone(t, host, [netns.name])
  })

  t.test(`D04 CNI_NETNS is missing, ${title}`, async (t) => {
    const { host, netns, later } = await attached(t)
    silent(t, await later('DEL', more, { netns: '/run/netns/ngt-no-such-namespace' }))
    await allGone(t, host, [netns.name])
  })

  t.test(`D05 the namespace is gone, ${title}`, async (t) => {
    const { host, netns, later } = await attached(t)
    host.deleteNetns(netns.name)
    silent(t, await later('DEL', more))
    silent(t, await later('DEL', more, { netns: '' }))
    await allGone(t, host, [])
  })

  t.test(`D06 CNI_NETNS is a regular file, ${title}`, async (t) => {
    const { host, netns, later } = await attached(t)
    const file = join(host.dir, 'file')
    writeFileSync(file, '')
    silent(t, await later('DEL', more, { netns: file }))
    await allGone(t, host, [netns.name])
  })
}

const FOREIGN = [
  ['a bridge of that name', ['eth0'], 'link add eth0 type bridge'],
  ['a bridge with that altname', ['br0'], 'link add br0 type bridge\nlink property add dev br0 altname eth0'],
  ['a foreign veth of that name', ['eth0', 'far'], 'link add eth0 type veth peer name far'],
  [
    'a foreign veth with that altname',
    ['near', 'far'],
    'link add near type veth peer name far\nlink property add dev near altname eth0',
  ],
] as const

for (const [title, names, commands] of FOREIGN) {
  const place = async (host: Host, netns: string) => {
    for (const command of commands.split('\n')) await host.exec('ip', command.split(' '), netns)
  }

  t.test(`D07 never added, ${title} is untouched`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    await place(host, name)
    silent(t, await host.cni('DEL', { ...container, conf: netconf(host) }))
    t.same((await host.links(name)).sort(), [...names].sort())
  })

  t.test(`D07 own interface gone, ${title} is untouched`, async (t) => {
    const { host, netns, later } = await attached(t)
    await host.exec('ip', ['link', 'del', 'eth0'], netns.name)
    await place(host, netns.name)
    silent(t, await later('DEL'))
    t.same((await host.links(netns.name)).sort(), [...names].sort())
    await allGone(t, host, [netns.name], [...names])
  })
}

t.test('D07 own interface renamed, a foreign one has its name', async (t) => {
  const { host, netns, later } = await attached(t)
  await host.exec('ip', ['link', 'set', 'eth0', 'down'], netns.name)
  await host.exec('ip', ['link', 'set', 'eth0', 'name', 'other0'], netns.name)
  await host.exec('ip', ['link', 'add', 'eth0', 'type', 'bridge'], netns.name)
  silent(t, await later('DEL'))
  t.same(await host.links(netns.name), ['eth0'])
  await allGone(t, host, [netns.name], ['eth0'])
})

t.test('D07 a foreign device on the host that prevResult names is untouched', async (t) => {
  const { host, netns, later, result } = await attached(t)
  await host.exec('ip', ['link', 'add', 'br0', 'type', 'bridge'])
  await host.exec('ip', ['link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1'])
  const forged = ['br0', 'veth0'].map((name) => ({ name, mac: '02:00:00:00:00:01' }))
  const prevResult = { ...result, interfaces: [...forged, ...(result.interfaces ?? [])] }
  silent(t, await later('DEL', { prevResult }))
  silent(t, await later('DEL', { prevResult }))
  await allGone(t, host, [netns.name], ['br0', 'veth0', 'veth1'])
  t.same((await host.links()).sort(), ['br0', 'veth0', 'veth1'])
})

for (const [id, prevResult] of [
  ['D08', null],
  ['D08', {}],
  ['D08', { cniVersion: '0.4.0', interfaces: [] }],
  ['D08', { cniVersion: '9.9.9' }],
  ['D09', []],
  ['D09', 'text'],
  ['D09', 7],
  ['D09', { cniVersion: 7, interfaces: 'eth0', ips: {} }],
] as const) {
  t.test(`${id} prevResult ${JSON.stringify(prevResult)} does not matter`, async (t) => {
    const { host, netns, later } = await attached(t)
    silent(t, await later('DEL', { prevResult }))
    await allGone(t, host, [netns.name])
  })
}

t.test('D10 no IPAM type: an error, but the interface and the masquerade go', async (t) => {
  const { host, netns, later, conf } = await attached(t)
  refused(t, await later('DEL', { ipam: {} }), { code: [7, 999], msg: /no plugin name provided/ })
  t.same([await host.links(), await host.links(netns.name)], [[], []])
  t.same(await masquerade(host), [])
  silent(t, await later('DEL', { ipam: conf.ipam }))
  await allGone(t, host, [netns.name])
})

t.test('D11 no IPAM binary: an error, but the interface and the masquerade go', async (t) => {
  const { host, netns, later } = await attached(t)
  const ipam = hostLocal(host, undefined, { type: 'nonexist' })
  const wanted = { code: 999, msg: `failed to find plugin "nonexist" in path [/nowhere /${host.id}]` }
  refused(t, await later('DEL', { ipam }, { path: `/nowhere:/${host.id}` }), wanted)
  t.same([await host.links(), await host.links(netns.name)], [[], []])
  t.same(await masquerade(host), [])
  silent(t, await later('DEL'))
  await allGone(t, host, [netns.name])
})

t.test('D12 IPAM fails: everything else goes, then its code; DEL again finishes', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const conf = { ipMasq: true, ipam: { type: ipam.type } }
  const { netns, later } = await attach(t, host, conf, { path: ipam.path })
  ipam.reply('DEL', { code: 123, stdout: { code: 123, msg: 'the lease is stuck', details: 'truly' } })
  const wanted = { code: 123, msg: /the lease is stuck/, details: /truly/ }
  refused(t, await later('DEL'), wanted)
  t.same([await host.links(), await host.links(netns.name)], [[], []])
  t.same(await masquerade(host), [])
  refused(t, await later('DEL', {}, { netns: '' }), wanted)
  ipam.reply('DEL', {})
  silent(t, await later('DEL'))
  await allGone(t, host, [netns.name])
  t.same(ipam.calls(), ['ADD ctr1 eth0', 'DEL ctr1 eth0', 'DEL ctr1 eth0', 'DEL ctr1 eth0'])
})

for (const ipMasqBackend of ['nftables', 'iptables']) {
  t.test(`D14 addresses flushed, masquerade by ${ipMasqBackend} goes`, async (t) => {
    const { host, netns, later } = await attached(t, { ipMasqBackend })
    await host.exec('ip', ['addr', 'flush', 'dev', 'eth0'], netns.name)
    silent(t, await later('DEL', { prevResult: undefined }))
    await allGone(t, host, [netns.name])
  })
}

t.test('DEL takes one of two interfaces, and one of two containers', async (t) => {
  const host = newHost(t)
  const first = await attach(t, host, { ipMasq: true })
  const second = await attach(t, host, { ipMasq: true }, { containerID: 'ctr2' })
  const conf = { ...first.conf, ipam: hostLocal(host, ['10.1.9.0/24'], { routes: [] }) }
  const net1 = { ...first.call, ifName: 'net1', conf }
  added(t, await host.cni('ADD', net1))
  silent(t, await first.later('DEL'))
  t.same(await host.links(first.netns.name), ['net1'])
  silent(t, await second.later('CHECK'))
  t.same(leases(host), ['10.1.2.3', '10.1.9.2'])
  silent(t, await second.later('DEL'))
  silent(t, await host.cni('DEL', net1))
  await allGone(t, host, [first.netns.name, second.netns.name])
})
