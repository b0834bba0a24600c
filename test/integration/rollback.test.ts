/** A failed ADD leaves the host, the container and the leases as they were (conformance P07, P08, P12). */
import t from 'tap'
import { added, type Refusal, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, staticIpam } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { masquerade } from './rig/cni/nat.ts'
import { type Host, newHost } from './rig/host.ts'
import { leases, snapshot } from './rig/snapshot.ts'

interface Failure {
  title: string
  conf: (host: Host) => Netconf
  /** Commands beforehand. */
  inside?: string
  onHost?: string
  wanted: Refusal
}

const route = (more: object) => () => ({ routes: [more] })
const sysctl = (key: string, value: string) => () => ({ sysctl: { [key]: value } })

const failures: Failure[] = [
  {
    title: 'a gateway that nothing leads to',
    conf: route({ dst: '10.9.0.0/16', gw: '172.31.0.1' }),
    wanted: { code: [7, 999] },
  },
  {
    title: 'a route of IPAM with such a gateway',
    conf: (host) => ({
      ipam: hostLocal(host, undefined, { routes: [{ dst: '10.9.0.0/16', gw: '172.31.0.1' }] }),
    }),
    wanted: { code: [7, 999] },
  },
  {
    title: 'a route with host bits',
    conf: route({ dst: '10.77.0.5/16', gw: '10.1.2.1' }),
    wanted: { code: [7, 999] },
  },
  {
    title: 'a route to itself',
    conf: route({ dst: '10.9.0.0/16', gw: '10.1.2.3' }),
    wanted: { code: [7, 999] },
  },
  {
    title: 'a table that cannot be',
    conf: route({ dst: '10.9.0.0/16', table: -1 }),
    wanted: { code: [6, 7, 999] },
  },
  {
    title: 'an unknown sysctl',
    conf: sysctl('net.ipv4.conf.IFNAME.no_such_thing', '1'),
    wanted: { code: [5, 7, 999] },
  },
  {
    title: 'a value that a sysctl does not take',
    conf: sysctl('net.ipv4.conf.IFNAME.arp_notify', 'plenty'),
    wanted: { code: [5, 7, 999] },
  },
  { title: 'an MTU too small', conf: () => ({ mtu: 10 }), wanted: { code: 7 } },
  { title: 'an MTU too large', conf: () => ({ mtu: 70000 }), wanted: { code: 7 } },
  { title: 'a multicast MAC', conf: () => ({ mac: '01:00:5e:00:00:01' }), wanted: { code: 7 } },
  {
    title: 'an unknown masquerade backend',
    conf: () => ({ ipMasq: true, ipMasqBackend: 'foo' }),
    wanted: { code: 7 },
  },
  {
    title: 'the interface name is taken',
    conf: () => ({}),
    inside: 'ip link add eth0 type bridge',
    wanted: { code: 100, msg: /eth0/ },
  },
  {
    title: 'the interface name is an altname',
    conf: () => ({}),
    inside: 'ip link add br0 type bridge && ip link property add dev br0 altname eth0',
    wanted: { code: 100, msg: /eth0/ },
  },
  {
    title: 'the host interface name is taken',
    conf: () => ({ hostIfName: 'vethmine' }),
    onHost: 'ip link add vethmine type bridge',
    wanted: { code: [100, 7], msg: /vethmine/ },
  },
  {
    title: 'a peer interface name is taken',
    conf: (host) => ({ ipam: hostLocal(host), peer: { netns: host.netns('peer').path, ifName: 'lo' } }),
    wanted: { code: [7, 100], msg: /lo/ },
  },
]

for (const { title, conf, inside, onHost, wanted } of failures) {
  t.test(`P08 host-local, ${title}: as many leases as before, and nothing else changed`, async (t) => {
    const host = newHost(t)
    const other = await attach(t, host, {}, { containerID: 'ctr9' })
    const { name, ...container } = newContainer(host)
    if (inside !== undefined) await host.exec('sh', ['-c', inside], name)
    if (onHost !== undefined) await host.exec('sh', ['-c', onHost])
    const more = conf(host)
    const before = await snapshot(host, [name, other.netns.name])
    refused(t, await host.cni('ADD', { ...container, conf: netconf(host, more) }), wanted)
    t.same(leases(host), ['10.1.2.2'])
    t.same(await snapshot(host, [name, other.netns.name]), before)
    silent(t, await other.later('CHECK'))
  })
}

t.test('P08 any other IPAM plugin gets a DEL for each failure after its ADD', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const { name, ...container } = newContainer(host)
  for (const more of [
    { routes: [{ dst: '10.9.0.0/16', gw: '172.31.0.1' }] },
    sysctl('net.ipv4.conf.IFNAME.nothing', '1')(),
  ]) {
    const conf = netconf(host, { ipMasq: true, ipam: { type: ipam.type }, ...more })
    refused(t, await host.cni('ADD', { ...container, path: ipam.path, conf }), { code: [5, 7, 999] })
    t.notMatch(ipam.calls().at(-1), /^ADD/, ipam.calls().join())
    await nothingLeft(t, host, [name])
  }
})

t.test('T07 static without a gateway, in host mode: refused before anything is made', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipam: staticIpam('10.1.2.2/24') })
  refused(t, await host.cni('ADD', { ...container, conf }), { code: [7, 999], msg: /gateway/ })
  await nothingLeft(t, host, [name])
})

t.test('P12 a second ADD of a live attachment touches nothing', async (t) => {
  const host = newHost(t)
  const { later, call, conf, netns } = await attach(t, host, { ipMasq: true })
  const before = await snapshot(host, [netns.name])
  refused(t, await host.cni('ADD', { ...call, conf }), { code: [100, 102], msg: /eth0/ })
  t.same(await snapshot(host, [netns.name]), before)
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  await nothingLeft(t, host, [netns.name])
  t.same(await masquerade(host), [])
})

t.test('a failed ADD can be repeated once its cause is gone', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const call = { ...container, conf: netconf(host) }
  await host.exec('ip', ['link', 'add', 'eth0', 'type', 'bridge'], name)
  refused(t, await host.cni('ADD', call), { code: 100 })
  await host.exec('ip', ['link', 'del', 'eth0'], name)
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [name])
})
