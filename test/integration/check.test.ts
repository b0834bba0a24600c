/** CHECK of what is as it should be, and what it needs for that (conformance 3.2). Differences: drift.test.ts. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { refused, silent, words } from './rig/cni/answer.ts'
import { attach } from './rig/cni/attachment.ts'
import { hostLocal, peerconf, versionsSince } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { newHost } from './rig/host.ts'

const SUBNETS = ['10.1.2.0/24', '2001:db8:1::/64']

for (const cniVersion of versionsSince('0.4.0')) {
  for (const ipMasqBackend of ['nftables', 'iptables']) {
    t.test(`K01 right after ADD at ${cniVersion}, masquerade by ${ipMasqBackend}`, async (t) => {
      const host = newHost(t)
      const conf = { cniVersion, ipMasq: true, ipMasqBackend, ipam: hostLocal(host, SUBNETS) }
      const { later } = await attach(t, host, conf)
      silent(t, await later('CHECK'))
      silent(t, await later('CHECK'))
    })
  }

  t.test(`K01 peer mode at ${cniVersion}`, async (t) => {
    const host = newHost(t)
    const peer = host.netns('peer')
    const { later } = await attach(t, host, peerconf(host, peer.path, { cniVersion }))
    silent(t, await later('CHECK'))
    await host.exec('ip', ['addr', 'del', '10.7.0.1/24', 'dev', 'eth9'], peer.name)
    refused(t, await later('CHECK'), { code: 999, details: /10\.7\.0\.1\/24/ })
  })

  t.test(`K02 no prevResult at ${cniVersion}`, async (t) => {
    const { later } = await attach(t, newHost(t), { cniVersion })
    for (const prevResult of [undefined, null]) {
      refused(t, await later('CHECK', { prevResult }), { code: [7, 999], msg: /prevResult/ })
    }
  })
}

t.test('K08 lease lost: the IPAM plugin says so', async (t) => {
  const host = newHost(t)
  const { later } = await attach(t, host)
  rmSync(join(host.ipamDir, 'net1', '10.1.2.2'))
  const done = await later('CHECK')
  refused(t, done, { code: 999 })
  t.match(words(done), /Failed to find address added by container ctr1/)
})

t.test('K08 the code of the IPAM plugin passes through', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const { later } = await attach(t, host, { ipam: { type: ipam.type } }, { path: ipam.path })
  silent(t, await later('CHECK'))
  t.same(ipam.calls(), ['ADD ctr1 eth0', 'CHECK ctr1 eth0'])
  ipam.reply('CHECK', { code: 1, stdout: { code: 123, msg: 'no such lease' } })
  const done = await later('CHECK')
  refused(t, done, { code: 123 })
  t.match(words(done), /no such lease/)
})

t.test('K09 the namespace is missing', async (t) => {
  const { later } = await attach(t, newHost(t))
  refused(t, await later('CHECK', {}, { netns: '/run/netns/ngt-no-such-namespace' }), { code: [8, 999] })
})

t.test('CHECK of what was never added', async (t) => {
  const host = newHost(t)
  const addresses = [{ address: '10.1.2.2/24', gateway: '10.1.2.1' }]
  const { later, netns } = await attach(t, host, { ipam: undefined, addresses })
  refused(t, await later('CHECK', {}, { ifName: 'net7' }), { code: 999, msg: /net7/ })
  t.same(await host.links(netns.name), ['eth0'])
})

t.test('CHECK changes nothing, and what others add is no difference', async (t) => {
  const host = newHost(t)
  const { later, netns } = await attach(t, host)
  const inside = (command: string) => host.exec('sh', ['-c', command], netns.name)
  await inside('ip addr add 192.0.2.2/24 dev eth0 && ip route add 198.51.100.0/24 via 10.1.2.1')
  const before = await inside('ip route show table all && ip addr')
  silent(t, await later('CHECK'))
  t.equal(await inside('ip route show table all && ip addr'), before)
})
