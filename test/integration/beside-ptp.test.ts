/** Host mode beside the real ptp: what can be seen of both in the kernel is the same (conformance T01 to T08). */
import t, { type Test } from 'tap'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf } from './rig/cni/conf.ts'
import { type Host, newHost, PLUGIN, REFERENCE_PLUGINS } from './rig/host.ts'
import { look } from './rig/snapshot.ts'

const KEPT = ['type', 'dst', 'gateway', 'dev', 'scope', 'prefsrc', 'metric']

/** Addresses, routes and links of a namespace; a random name of a host end is replaced. */
async function view(host: Host, netns: string, hostEnd: string): Promise<unknown> {
  const { links } = await look(netns)
  const routes: Record<string, unknown>[] = await host.ip(netns, 'route', 'show')
  const shown = {
    links: links.map(({ ifname, mtu, flags }) => [
      ifname,
      mtu,
      flags.includes('UP'),
      flags.includes('LOWER_UP'),
    ]),
    addresses: links.flatMap(({ ifname, addr_info }) =>
      addr_info
        .filter(({ family }) => family === 'inet')
        .map(({ local, prefixlen, scope }) => `${ifname} ${local}/${prefixlen} ${scope}`),
    ),
    routes: routes.map((route) => Object.fromEntries(KEPT.map((key) => [key, route[key]]))),
  }
  return JSON.parse(JSON.stringify(shown).replaceAll(hostEnd, 'HOSTEND'))
}

async function sysctls(host: Host, hostEnd: string): Promise<string> {
  const names = [
    'ip_forward',
    `conf/${hostEnd}/rp_filter`,
    `conf/${hostEnd}/proxy_arp`,
    `conf/${hostEnd}/arp_notify`,
  ]
  const files = names.map((name) => `/proc/sys/net/ipv4/${name}`)
  return await host.exec('cat', [...files, `/proc/sys/net/ipv6/conf/${hostEnd}/accept_ra`])
}

async function seen(t: Test, plugin: string, more: (host: Host) => Netconf) {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const call = { ...container, plugin, conf: netconf(host, more(host)) }
  const result = added(t, await host.cni('ADD', call))
  const hostEnd = result.interfaces?.[0]?.name ?? ''
  const shape = JSON.stringify(result).replaceAll(host.name, 'NETNS').replaceAll(hostEnd, 'HOSTEND')
  const { dns, ...rest }: Record<string, unknown> = JSON.parse(
    shape.replaceAll(/"mac":"[^"]+"/g, '"mac":"MAC"'),
  )
  const answer = {
    result: { ...rest, dns: dns ?? {} }, // Debian's ptp prints an empty one even at 1.0.0
    container: await view(host, name, hostEnd),
    host: await view(host, host.name, hostEnd),
    sysctls: await sysctls(host, hostEnd),
  }
  silent(t, await host.cni('DEL', call))
  return answer
}

const twoAddresses = ['10.1.2.2/24', '10.3.4.5/16'].map((address) => {
  const gateway = address.replace(/\.\d+\/.*/, '.1')
  return { address, gateway }
})

const cases: [string, (host: Host) => Netconf][] = [
  ['as it comes', () => ({})],
  ['with an MTU', () => ({ mtu: 1300 })],
  ['without routes', (host) => ({ ipam: hostLocal(host, undefined, { routes: [] }) })],
  [
    'with routes',
    (host) => ({
      ipam: hostLocal(host, undefined, {
        routes: [{ dst: '0.0.0.0/0' }, { dst: '192.168.0.0/16' }, { dst: '10.50.0.0/16', gw: '10.1.2.1' }],
      }),
    }),
  ],
  [
    'with two addresses',
    () => ({ ipam: { type: 'static', addresses: twoAddresses, routes: [{ dst: '0.0.0.0/0' }] } }),
  ],
  ['with a prefix of 30 bits', (host) => ({ ipam: hostLocal(host, ['10.1.2.0/30']) })],
  ['with masquerade', () => ({ ipMasq: true })],
  ['with DNS', () => ({ dns: { nameservers: ['192.0.2.53'] } })],
]

for (const cniVersion of ['0.4.0', '1.0.0']) {
  for (const [title, conf] of cases) {
    t.test(`beside ptp, ${title}, at ${cniVersion}`, async (t) => {
      const more = (host: Host) => ({ cniVersion, ...conf(host) })
      const ours = await seen(t, PLUGIN, more)
      t.strictSame(ours, await seen(t, `${REFERENCE_PLUGINS}/ptp`, more))
    })
  }
}

t.test('T05 T06 the routes of ptp, word for word', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const result = added(t, await host.cni('ADD', { ...container, conf: netconf(host) }))
  const routes = async (netns: string) => {
    const lines = (await host.exec('ip', ['route', 'show'], netns)).trim().split('\n')
    return lines.map((line) => line.replace(/ proto \S+/, '').trim()).sort()
  }
  t.same(await routes(name), [
    '10.1.2.0/24 via 10.1.2.1 dev eth0 src 10.1.2.2',
    '10.1.2.1 dev eth0 scope link src 10.1.2.2',
    'default via 10.1.2.1 dev eth0',
  ])
  t.same(await routes(host.name), [`10.1.2.2 dev ${result.interfaces?.[0]?.name} scope host`])
})

t.test('dual stack: every address can be used on return', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const ipam = hostLocal(host, ['10.1.2.0/24', '2001:db8:1::/64'], {
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  })
  added(t, await host.cni('ADD', { ...container, conf: netconf(host, { ipam }) }))
  const [inside, outside] = await Promise.all([look(name), look(host.name)])
  const addresses = [...inside.links, ...outside.links].flatMap(({ addr_info }) => addr_info)
  t.same(
    addresses.filter(({ tentative, dadfailed }) => tentative || dadfailed),
    [],
  )
  for (const [from, to] of [
    [name, '2001:db8:1::1'],
    [host.name, '2001:db8:1::2'],
    [name, '10.1.2.1'],
  ] as const) {
    t.ok(await host.ping(from, to), `${to} answers`)
  }
  const routes = await host.exec('ip', ['-6', 'route', 'show'], name)
  t.match(routes, /^2001:db8:1::1 dev eth0 .*src 2001:db8:1::2/m)
  t.match(routes, /^2001:db8:1::\/64 via 2001:db8:1::1 dev eth0 .*src 2001:db8:1::2/m)
  t.match(routes, /^default via 2001:db8:1::1 dev eth0/m)
  t.match(await host.exec('ip', ['-6', 'route', 'show'], host.name), /^2001:db8:1::2 dev veth/m)
  const forwarding = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding']
  t.equal(await host.exec('cat', forwarding), '1\n1\n')
})
