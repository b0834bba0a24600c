/** The netconf's own keys in host mode: each is in the kernel, CHECK agrees, DEL undoes it. */
import t, { type Test } from 'tap'
import { silent } from './rig/cni/answer.ts'
import { attach, nothingLeft } from './rig/cni/attachment.ts'
import type { Netconf } from './rig/cni/conf.ts'
import { type Host, newHost } from './rig/host.ts'
import { addressesOf, linkNamed, look } from './rig/snapshot.ts'

const GIVEN = [
  { address: '10.1.2.2/24', gateway: '10.1.2.1' },
  { address: '2001:db8:1::2/64', gateway: '2001:db8:1::1' },
]

interface Key {
  title: string
  conf: Netconf
  /** A command in the container or on the host (HOSTEND is replaced), and what it prints. */
  inside?: [string, RegExp]
  onHost?: [string, RegExp]
}

const keys: Key[] = [
  {
    title: 'addresses',
    conf: {},
    inside: ['ip addr show eth0', /inet 10\.1\.2\.2\/24 .*\n[\s\S]*inet6 2001:db8:1::2\/64/],
  },
  {
    title: 'addresses: gateways are the host’s',
    conf: {},
    onHost: ['ip addr show HOSTEND', /inet 10\.1\.2\.1\/32 [\s\S]*inet6 2001:db8:1::1\/128/],
  },
  { title: 'hostIfName', conf: { hostIfName: 'to-ctr1' }, onHost: ['ip link show to-ctr1', /UP,LOWER_UP/] },
  { title: 'mtu', conf: { mtu: 9000 }, onHost: ['ip link show HOSTEND', /mtu 9000/] },
  { title: 'mtu 0 is the default', conf: { mtu: 0 }, inside: ['ip link show eth0', /mtu 1500/] },
  { title: 'qlen', conf: { qlen: 77 }, inside: ['ip link show eth0', /qlen 77/] },
  { title: 'qlen default', conf: {}, inside: ['ip link show eth0', /qlen 1000/] },
  {
    title: 'sysctl',
    conf: { sysctl: { 'net.ipv4.conf.IFNAME.arp_notify': '1' } },
    inside: ['cat /proc/sys/net/ipv4/conf/eth0/arp_notify', /^1$/m],
  },
  {
    title: 'route with mtu',
    conf: { routes: [{ dst: '10.9.0.0/16', mtu: 1300 }] },
    inside: ['ip route', /^10\.9\.0\.0\/16 via 10\.1\.2\.1 dev eth0 .*mtu 1300/m],
  },
  {
    title: 'route with advmss',
    conf: { routes: [{ dst: '10.9.0.0/16', advmss: 1200 }] },
    inside: ['ip route', /^10\.9\.0\.0\/16 .*advmss 1200/m],
  },
  {
    title: 'route with priority',
    conf: { routes: [{ dst: '10.9.0.0/16', priority: 9 }] },
    inside: ['ip route', /^10\.9\.0\.0\/16 .*metric 9/m],
  },
  {
    title: 'route in a table',
    conf: { routes: [{ dst: '10.9.0.0/16', table: 99 }] },
    inside: ['ip route show table 99', /^10\.9\.0\.0\/16 via 10\.1\.2\.1/m],
  },
  {
    title: 'route on the link',
    conf: { routes: [{ dst: '10.9.0.0/16', scope: 253 }] },
    inside: ['ip route', /^10\.9\.0\.0\/16 dev eth0 .*scope link/m],
  },
  {
    title: 'onlink route',
    conf: { routes: [{ dst: '10.9.0.0/16', gw: '172.31.0.1', onlink: true }] },
    inside: ['ip route', /^10\.9\.0\.0\/16 via 172\.31\.0\.1 dev eth0 onlink/m],
  },
  {
    title: 'IPv6 route',
    conf: { routes: [{ dst: '2001:db8:9::/48', mtu: 1300 }] },
    inside: ['ip -6 route', /^2001:db8:9::\/48 via 2001:db8:1::1 dev eth0 .*mtu 1300/m],
  },
  {
    title: 'two ways to one network',
    conf: {
      routes: [
        { dst: '10.9.0.0/16', priority: 1 },
        { dst: '10.9.0.0/16', priority: 2 },
      ],
    },
    inside: ['ip route', /metric 1[\s\S]*metric 2/],
  },
  {
    title: 'no RA on the host end',
    conf: {},
    onHost: ['cat /proc/sys/net/ipv6/conf/HOSTEND/accept_ra', /^0$/m],
  },
  {
    title: 'forwarding of both families',
    conf: {},
    onHost: ['cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding', /^1\n1$/m],
  },
]

async function prints(t: Test, host: Host, netns: string, [command, wanted]: [string, RegExp]) {
  t.match(await host.exec('sh', ['-c', command], netns), wanted, command)
}

for (const { title, conf, inside, onHost } of keys) {
  t.test(title, async (t) => {
    const host = newHost(t)
    const { netns, hostEnd, later } = await attach(t, host, { ipam: undefined, addresses: GIVEN, ...conf })
    if (inside !== undefined) await prints(t, host, netns.name, inside)
    if (onHost !== undefined)
      await prints(t, host, host.name, [onHost[0].replaceAll('HOSTEND', hostEnd), onHost[1]])
    silent(t, await later('CHECK'))
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })
}

t.test('ifName: another interface than CNI_IFNAME', async (t) => {
  const host = newHost(t)
  const { netns, later, result } = await attach(t, host, { ifName: 'wire0' })
  t.equal(result.interfaces?.[1]?.name, 'wire0')
  t.same(await host.links(netns.name), ['wire0'])
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  await nothingLeft(t, host, [netns.name])
})

t.test('an address of its own beside those of IPAM', async (t) => {
  const host = newHost(t)
  const { netns, later } = await attach(t, host, { addresses: [{ address: '192.0.2.2/24' }] })
  t.same(addressesOf(linkNamed(await look(netns.name), 'eth0')), ['10.1.2.2/24', '192.0.2.2/24'])
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  await nothingLeft(t, host, [netns.name])
})
