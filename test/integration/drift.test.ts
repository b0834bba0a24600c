/** CHECK finds every difference between what is and what was wanted, at both ends (conformance 3.2, K03 to K11). */
import t from 'tap'
import { type Result, refused, silent } from './rig/cni/answer.ts'
import { attach } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf } from './rig/cni/conf.ts'
import { type Host, newHost } from './rig/host.ts'

/** Changes something behind the plugin's back: by shell commands (HOSTEND is replaced), or in prevResult. */
interface Drift {
  id: string
  title: string
  inside?: string
  onHost?: string
  prevResult?: (result: Result) => Result
  conf?: (host: Host) => Netconf
  /** What the sentence about it says. */
  says: RegExp
}

const standard = (host: Host): Netconf => ({
  mtu: 1400,
  ipam: hostLocal(host, ['10.1.2.0/24', '2001:db8:1::/64'], {
    routes: [{ dst: '0.0.0.0/0' }, { dst: '10.50.0.0/16', gw: '10.1.2.1', mtu: 1350, priority: 50 }],
  }),
})
const tabled = (host: Host): Netconf => ({
  ipam: hostLocal(host, undefined, { routes: [{ dst: '10.60.0.0/16', gw: '10.1.2.1', table: 100 }] }),
  routes: [{ dst: '10.61.0.0/16', gw: '10.1.2.1', table: 100 }],
})
const masquerade = (ipMasqBackend: string) => (host: Host) => ({
  ...standard(host),
  ipMasq: true,
  ipMasqBackend,
})

type Interface = { name: string; mac: string }

/** The container's interface in prevResult, changed. */
const own = (change: object) => (result: Result) => {
  const [hostEnd, inside] = result.interfaces as [Interface, Interface]
  return { ...result, interfaces: [hostEnd, { ...inside, ...change }] }
}

const drifts: Drift[] = [
  {
    id: 'K03',
    title: 'MAC changed',
    inside: 'ip link set eth0 address 02:00:00:00:00:77',
    says: /02:00:00:00:00:77/,
  },
  {
    id: 'K03',
    title: 'MAC in prevResult differs',
    prevResult: own({ mac: '02:00:00:00:00:66' }),
    says: /02:00:00:00:00:66/,
  },
  {
    id: 'K04',
    title: 'sandbox in prevResult differs',
    prevResult: own({ sandbox: '/run/netns/x' }),
    says: /eth0|sandbox/,
  },
  {
    id: 'K04',
    title: 'no interfaces in prevResult',
    prevResult: (all) => ({ ...all, interfaces: [] }),
    says: /eth0|interface/,
  },
  {
    id: 'K05',
    title: 'address removed',
    inside: 'ip addr del 10.1.2.2/24 dev eth0',
    says: /10\.1\.2\.2\/24/,
  },
  {
    id: 'K05',
    title: 'IPv6 address removed',
    inside: 'ip addr del 2001:db8:1::2/64 dev eth0',
    says: /2001:db8:1::2\/64/,
  },
  {
    id: 'K05',
    title: 'address has another prefix',
    inside: 'ip addr add 10.1.2.2/25 dev eth0 && ip addr del 10.1.2.2/24 dev eth0',
    says: /10\.1\.2\.2\/24/,
  },
  {
    id: 'K05',
    title: 'one more address in prevResult',
    prevResult: (all) => ({ ...all, ips: [...(all.ips ?? []), { address: '10.1.2.77/24', interface: 1 }] }),
    says: /10\.1\.2\.77\/24/,
  },
  { id: 'K06', title: 'route removed', inside: 'ip route del 10.50.0.0/16', says: /10\.50\.0\.0\/16/ },
  {
    id: 'K06',
    title: 'default route removed',
    inside: 'ip route del default',
    says: /0\.0\.0\.0\/0|default/,
  },
  {
    id: 'K06',
    title: 'subnet route removed',
    inside: 'ip route del 10.1.2.0/24',
    says: /10\.1\.2\.0\/24/,
  },
  {
    id: 'K06',
    title: 'route goes elsewhere',
    inside: 'ip route del 10.50.0.0/16 && ip route add 10.50.0.0/16 dev eth0 metric 50 mtu 1350',
    says: /10\.50\.0\.0\/16/,
  },
  {
    id: 'K06',
    title: 'one more route in prevResult',
    prevResult: (all) => ({ ...all, routes: [...(all.routes ?? []), { dst: '10.77.0.0/16' }] }),
    says: /10\.77\.0\.0\/16/,
  },
  {
    id: 'K07',
    title: 'interface renamed',
    inside: 'ip link set eth0 down && ip link set eth0 name other0',
    says: /eth0/,
  },
  { id: 'K07', title: 'interface removed', inside: 'ip link del eth0', says: /eth0/ },
  {
    id: 'K07',
    title: 'a bridge instead',
    inside: 'ip link del eth0 && ip link add eth0 type bridge',
    says: /eth0/,
  },
  {
    id: 'K07',
    title: 'another veth instead',
    inside:
      'ip link del eth0 && ip link add eth0 type veth peer name far && ip link set eth0 up && ip link set far up',
    says: /eth0|peer/,
  },
  { id: 'K07', title: 'interface is down', inside: 'ip link set eth0 down', says: /eth0|down/ },
  { id: 'K07', title: 'MTU changed', inside: 'ip link set eth0 mtu 1300', says: /1300/ },
  { id: 'K10', title: 'MTU of the host end changed', onHost: 'ip link set HOSTEND mtu 1300', says: /1300/ },
  { id: 'K10', title: 'host end is down', onHost: 'ip link set HOSTEND down', says: /down|carrier/i },
  {
    id: 'K10',
    title: 'host end renamed',
    onHost: 'ip link set HOSTEND down && ip link set HOSTEND name x0',
    says: /veth/,
  },
  {
    id: 'K10',
    title: 'host end not in prevResult, and its route removed',
    onHost: 'ip route del 10.1.2.2/32',
    prevResult: (all) => ({
      ...all,
      interfaces: (all.interfaces ?? []).slice(1),
      ips: (all.ips ?? []).map((ip) => ({ ...ip, interface: 0 })),
    }),
    says: /10\.1\.2\.2/,
  },
  { id: 'K10', title: 'host route removed', onHost: 'ip route del 10.1.2.2/32', says: /10\.1\.2\.2/ },
  {
    id: 'K10',
    title: 'IPv6 host route removed',
    onHost: 'ip -6 route del 2001:db8:1::2/128',
    says: /2001:db8:1::2/,
  },
  {
    id: 'K10',
    title: 'gateway address removed',
    onHost: 'ip addr del 10.1.2.1/32 dev HOSTEND',
    says: /10\.1\.2\.1/,
  },
  {
    id: 'K10',
    title: 'masquerade gone',
    conf: masquerade('nftables'),
    onHost: 'nft flush ruleset',
    says: /masquerade/i,
  },
  {
    id: 'K10',
    title: 'iptables masquerade gone',
    conf: masquerade('iptables'),
    onHost: 'iptables -w -t nat -F',
    says: /masquerade/i,
  },
  {
    id: 'K11',
    title: 'route in a table removed',
    conf: tabled,
    inside: 'ip route flush table 100',
    says: /10\.6[01]\.0\.0\/16/,
  },
]

for (const { id, title, inside, onHost, prevResult, conf = standard, says } of drifts) {
  t.test(`${id} ${title}: found`, async (t) => {
    const host = newHost(t)
    const { later, netns, hostEnd, result } = await attach(t, host, conf(host))
    silent(t, await later('CHECK'))
    if (inside !== undefined) await host.exec('sh', ['-c', inside], netns.name)
    if (onHost !== undefined) await host.exec('sh', ['-c', onHost.replaceAll('HOSTEND', hostEnd)])
    const done = await later('CHECK', prevResult === undefined ? {} : { prevResult: prevResult(result) })
    refused(t, done, { code: 999, details: says })
    for (const name of ['net1', 'ctr1', 'eth0']) t.match(done.json?.msg, name, 'msg names the attachment')
  })
}

t.test('K11 a route in another table is looked for there', async (t) => {
  const host = newHost(t)
  const { later, netns } = await attach(t, host, tabled(host))
  t.match(
    await host.exec('ip', ['route', 'show', 'table', '100'], netns.name),
    /^10\.61\.0\.0\/16 via 10\.1\.2\.1/m,
  )
  silent(t, await later('CHECK'))
})

t.test('each difference has its sentence, and one that was repaired has none', async (t) => {
  const host = newHost(t)
  const { later, netns } = await attach(t, host, standard(host))
  const inside = (command: string) => host.exec('sh', ['-c', command], netns.name)
  await inside('ip route del 10.50.0.0/16 && ip link set eth0 mtu 1360')
  await host.exec('ip', ['route', 'del', '10.1.2.2/32'])
  const done = await later('CHECK')
  for (const says of [/10\.50\.0\.0\/16/, /10\.1\.2\.2/, /1360/])
    refused(t, done, { code: 999, details: says })
  await inside('ip link set eth0 mtu 1400 && ip route add 10.50.0.0/16 via 10.1.2.1 metric 50 mtu 1350')
  const less = await later('CHECK')
  refused(t, less, { code: 999, details: /10\.1\.2\.2/ })
  t.notMatch(less.json?.details, /10\.50\.0\.0\/16|1360/)
  await host.exec('ip', [
    'route',
    'add',
    '10.1.2.2/32',
    'dev',
    (await host.links())[0] ?? '',
    'scope',
    'host',
  ])
  silent(t, await later('CHECK'))
})
