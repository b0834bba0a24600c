/** Results in the format of each version (conformance 2.1, R01 to R06). */
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import {
  hostLocal,
  netconf,
  peerconf,
  since,
  staticIpam,
  VERSIONS,
  versionsBefore,
  versionsSince,
  withoutKey,
} from './rig/cni/conf.ts'
import { type Host, newHost, run } from './rig/host.ts'
import { linkNamed, look } from './rig/snapshot.ts'

const DNS = {
  nameservers: ['10.1.2.123'],
  domain: 'some.domain.test',
  search: ['search.test'],
  options: ['option1:foo'],
}
const ROUTES4 = [{ dst: '0.0.0.0/0' }, { dst: '192.168.0.0/16' }, { dst: '10.50.0.0/16', gw: '10.1.2.1' }]
const ROUTES6 = [{ dst: '::/0' }]
const IP4 = { address: '10.1.2.2/24', gateway: '10.1.2.1' }
const IP6 = { address: '2001:db8:1::2/64', gateway: '2001:db8:1::1' }

const dualStack = (host: Host) =>
  hostLocal(host, ['10.1.2.0/24', '2001:db8:1::/64'], { routes: [...ROUTES4, ...ROUTES6] })

const legacy = (ip: { address: string; gateway: string }, routes: unknown[]) => ({
  ip: ip.address,
  gateway: ip.gateway,
  routes,
})

/** How an interface of the kernel is listed. */
async function listed(version: string, netns: string, name: string, sandbox?: string) {
  const link = linkNamed(await look(netns), name)
  const mtu = since(version, '1.1.0') ? { mtu: link?.mtu } : {}
  return { name, mac: link?.address, ...mtu, ...(sandbox === undefined ? {} : { sandbox }) }
}

for (const version of VERSIONS) {
  t.test(`host mode at ${version}: two stacks, routes and DNS`, async (t) => {
    const host = newHost(t)
    const conf = { cniVersion: version, ipam: dualStack(host), dns: DNS, mtu: 1400 }
    const { result, netns, later } = await attach(t, host, conf)
    if (!since(version, '0.3.0')) {
      const [ip4, ip6] = [legacy(IP4, ROUTES4), legacy(IP6, ROUTES6)]
      t.strictSame(result, { cniVersion: version, ip4, ip6, dns: DNS })
    } else {
      const hostEnd = result.interfaces?.[0]?.name ?? ''
      t.match(hostEnd, /^veth/)
      const [v4, v6] = since(version, '1.0.0') ? [{}, {}] : [{ version: '4' }, { version: '6' }]
      t.strictSame(result, {
        cniVersion: version,
        interfaces: [
          await listed(version, host.name, hostEnd),
          await listed(version, netns.name, 'eth0', netns.path),
        ],
        ips: [
          { ...IP4, interface: 1, ...v4 },
          { ...IP6, interface: 1, ...v6 },
        ],
        routes: [...ROUTES4, ...ROUTES6],
        dns: DNS,
      })
    }
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })

  t.test(`peer mode at ${version}: only the own end is listed`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    const peer = host.netns('peer')
    const conf = peerconf(host, peer.path, { cniVersion: version })
    const result = added(t, await host.cni('ADD', { ...container, conf }))
    if (!since(version, '0.3.0')) {
      t.strictSame(result, { cniVersion: version, ip4: { ip: '10.7.0.2/24' }, dns: {} })
    } else {
      t.strictSame(withoutKey(result, 'dns'), {
        cniVersion: version,
        interfaces: [await listed(version, name, 'eth0', container.netns)],
        ips: [{ address: '10.7.0.2/24', interface: 0, ...(since(version, '1.0.0') ? {} : { version: '4' }) }],
      })
    }
    silent(t, await host.cni('DEL', { ...container, conf }))
    await nothingLeft(t, host, [name, peer.name])
  })

  t.test(`R02 no DNS at ${version}`, async (t) => {
    const { result } = await attach(t, newHost(t), { cniVersion: version })
    t.strictSame(result.dns, since(version, '1.0.0') ? undefined : {})
  })
}

t.test('R01 no cniVersion in the netconf is 0.1.0', async (t) => {
  for (const cniVersion of [undefined, '']) {
    const { result } = await attach(t, newHost(t), { cniVersion })
    t.strictSame(result, { cniVersion: '0.1.0', ip4: legacy(IP4, [{ dst: '0.0.0.0/0' }]), dns: {} })
  }
})

t.test('R04 sandbox is CNI_NETNS, word for word', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const file = `/proc/${process.pid}/root/run/../run/netns/${name}`
  const call = { ...container, netns: file, conf: netconf(host) }
  const result = added(t, await host.cni('ADD', call))
  t.same(
    result.interfaces?.map(({ sandbox }) => sandbox),
    [undefined, file],
  )
  silent(t, await host.cni('CHECK', { ...call, conf: { ...call.conf, prevResult: result } }))
  silent(t, await host.cni('DEL', call))
})

for (const version of versionsSince('0.3.0')) {
  t.test(`R05 R06 routes keep what they have, addresses are canonical, at ${version}`, async (t) => {
    const host = newHost(t)
    const peer = host.netns('peer')
    const routes = [
      { dst: '10.50.0.0/16', gw: '10.7.0.1', mtu: 1400, advmss: 1300, priority: 50, table: 100 },
      { dst: '10.51.0.0/16', scope: 253 },
      { dst: '10.52.0.0/16', gw: '10.7.0.1', scope: 0 },
    ]
    const addresses = [
      { address: '10.7.0.2/24' },
      { address: '2001:DB8:0:0:0::2/64', gateway: '2001:db8:0::1' },
    ]
    const conf = peerconf(host, peer.path, { cniVersion: version, addresses, routes })
    const { result, netns } = await attach(t, host, conf)
    t.strictSame(result.routes, routes)
    t.strictSame(
      result.ips?.map(({ address, gateway }) => [address, gateway]),
      [
        ['10.7.0.2/24', undefined],
        ['2001:db8::2/64', '2001:db8::1'],
      ],
    )
    const text = await run('ip', ['-n', netns.name, 'route', 'show', 'table', 'all'])
    t.match(
      text.stdout,
      /^10\.50\.0\.0\/16 via 10\.7\.0\.1 dev eth0 table 100 .*metric 50 .*mtu 1400 advmss 1300/m,
    )
    t.match(text.stdout, /^10\.51\.0\.0\/16 dev eth0 .*scope link/m)
  })
}

t.test('0 is no mtu, advmss or priority, but it is a scope', async (t) => {
  const host = newHost(t)
  const route = { dst: '10.50.0.0/16', gw: '10.7.0.1', mtu: 0, advmss: 0, priority: 0, scope: 0 }
  const conf = peerconf(host, host.netns('peer').path, { cniVersion: '1.1.0', routes: [route] })
  const { result } = await attach(t, host, conf)
  t.strictSame(result.routes, [{ dst: '10.50.0.0/16', gw: '10.7.0.1', scope: 0 }])
})

for (const version of versionsBefore('0.3.0')) {
  t.test(`two addresses per family at ${version}: the first of each, all of them configured`, async (t) => {
    const host = newHost(t)
    const addresses = ['10.1.2.2/24', '10.1.3.2/24', '2001:db8:1::2/64', '2001:db8:2::2/64']
    const conf = peerconf(host, host.netns('peer').path, {
      cniVersion: version,
      addresses: addresses.map((address) => ({ address })),
      routes: [
        { dst: '10.50.0.0/16', gw: '10.1.3.1', mtu: 1400 },
        { dst: '2001:db8:50::/48', gw: '2001:db8:1::9' },
      ],
    })
    const { result, netns } = await attach(t, host, conf)
    t.strictSame(result, {
      cniVersion: version,
      ip4: { ip: '10.1.2.2/24', routes: [{ dst: '10.50.0.0/16', gw: '10.1.3.1' }] },
      ip6: { ip: '2001:db8:1::2/64', routes: [{ dst: '2001:db8:50::/48', gw: '2001:db8:1::9' }] },
      dns: {},
    })
    const { addr_info = [] } = linkNamed(await look(netns.name), 'eth0') ?? {}
    const found = addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    t.same(found.filter((address) => !address.startsWith('fe80')).sort(), addresses)
  })

  t.test(`no address at ${version} cannot be said: refused before anything is made`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    const peer = host.netns('peer')
    const conf = peerconf(host, peer.path, { cniVersion: version, addresses: undefined })
    const wanted = { code: [7, 999], msg: /no valid IP addresses/ }
    refused(t, await host.cni('ADD', { ...container, conf }), wanted)
    await nothingLeft(t, host, [name, peer.name])
  })
}

for (const version of versionsSince('0.3.0')) {
  t.test(`no address at ${version} is a wire`, async (t) => {
    const host = newHost(t)
    const peer = host.netns('peer')
    const bare = { netns: peer.path, ifName: 'eth9' }
    const conf = peerconf(host, peer.path, { cniVersion: version, addresses: undefined, peer: bare })
    const { result, netns, later } = await attach(t, host, conf)
    t.strictSame(result.interfaces, [await listed(version, netns.name, 'eth0', netns.path)])
    t.same(result.ips ?? [], [])
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name, peer.name])
  })
}

t.test('static addresses give the same shape', async (t) => {
  const { result } = await attach(t, newHost(t), { ipam: staticIpam('10.1.2.2/24', '10.1.2.1') })
  t.strictSame(result.ips, [{ ...IP4, interface: 1 }])
})
