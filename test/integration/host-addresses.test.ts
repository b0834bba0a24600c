/** Host mode: whose address it is, what the host can reach, and what it does not take from a container. */
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf, staticIpam } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { addressesOf, linkNamed, look, snapshot } from './rig/snapshot.ts'

const GIVEN = [
  { address: '10.9.0.2/24', gateway: '10.9.0.1' },
  { address: 'fd00:9::2/64', gateway: 'fd00:9::1' },
]
const CONF = { cniVersion: '1.1.0', ipam: undefined, addresses: GIVEN }

for (const [title, conf] of Object.entries({
  'in the netconf': CONF,
  'in the netconf, IPv6 only': { ...CONF, addresses: GIVEN.slice(1) },
  'in the netconf, without a gateway': { ...CONF, addresses: [{ address: '10.9.0.2/24' }] },
  'from IPAM': { cniVersion: '1.0.0', ipam: staticIpam('10.9.0.2/24', '10.9.0.1') },
})) {
  t.test(`an address that another container has: ${title}`, async (t) => {
    const host = newHost(t)
    const first = await attach(t, host, conf)
    const second = newContainer(host, 'ctr2')
    const namespaces = [first.netns.name, second.name]
    const before = await snapshot(host, namespaces)
    const call = { containerID: 'ctr2', netns: second.netns, conf: first.conf }
    refused(t, await host.cni('ADD', call), { code: 7 })
    t.same(await snapshot(host, namespaces), before, 'the refused ADD has changed nothing')
    silent(t, await host.cni('DEL', call))
    t.same(await snapshot(host, namespaces), before, 'nor has its DEL')
    silent(t, await first.later('CHECK'))
    const address = first.result.ips?.[0]?.address.replace(/\/.*/, '') ?? ''
    t.match(await host.exec('ip', ['route', 'get', address]), ` dev ${first.hostEnd} `)
    silent(t, await first.later('DEL'))
    added(t, await host.cni('ADD', call))
    silent(t, await host.cni('DEL', call))
    await nothingLeft(t, host, namespaces)
  })
}

for (const ip of ['203.0.113.7/32', '10.9.1.2/24', 'fd00:8::2/64']) {
  t.test(`args.cni.ips ${ip}: outside the network`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    const conf = netconf(host, { ...CONF, args: { cni: { ips: [ip] } } })
    refused(t, await host.cni('ADD', { ...container, conf }), { code: 7, msg: /args\.cni\.ips/ })
    await nothingLeft(t, host, [name])
    silent(t, await host.cni('DEL', { ...container, conf }))
  })
}

t.test('args.cni.ips inside the networks keep their gateways', async (t) => {
  const host = newHost(t)
  const ips = ['10.9.0.77/24', 'fd00:9::77/64']
  const { netns, result, later } = await attach(t, host, { ...CONF, args: { cni: { ips } } })
  const told = result.ips?.map(({ address, gateway }) => ({ address, gateway }))
  t.same(told, [
    { address: '10.9.0.77/24', gateway: '10.9.0.1' },
    { address: 'fd00:9::77/64', gateway: 'fd00:9::1' },
  ])
  t.same(addressesOf(linkNamed(await look(netns.name), 'eth0')), ips)
  t.ok(await host.ping(netns.name, '10.9.0.1'), 'the gateway answers')
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  await nothingLeft(t, host, [netns.name])
})

t.test('the runtime may give any address', async (t) => {
  const host = newHost(t)
  const runtimeConfig = { ips: ['203.0.113.7/32'] }
  const { netns, later } = await attach(t, host, { ...CONF, runtimeConfig })
  t.same(addressesOf(linkNamed(await look(netns.name), 'eth0')), ['203.0.113.7/32'])
  silent(t, await later('DEL', { runtimeConfig }))
  await nothingLeft(t, host, [netns.name])
})

// Over IPv6 it cannot be: the kernel tells neighbours only of the addresses of the very interface they ask at.
t.test('the host reaches an IPv4 address without a gateway', async (t) => {
  const host = newHost(t)
  for (const line of [
    'link add up0 type veth peer name up1',
    'addr add 198.51.100.2/24 dev up0',
    'link set up0 up',
    'link set up1 up',
  ]) {
    await host.exec('ip', line.split(' '))
  }
  const { netns, later } = await attach(t, host, {
    ...CONF,
    addresses: GIVEN.map(({ address }) => ({ address })),
    routes: [{ dst: '198.51.100.0/24' }],
  })
  t.ok(await host.ping(host.name, '10.9.0.2'))
  t.ok(await host.ping(netns.name, '198.51.100.2'), 'and the other way')
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  await nothingLeft(t, host, [netns.name], ['up0', 'up1'])
})

for (const gw of [undefined, '10.9.0.1']) {
  t.test(`a route to its own network${gw === undefined ? '' : ' by its gateway'} says how`, async (t) => {
    const host = newHost(t)
    const route = { dst: '10.9.0.0/24', mtu: 1300, ...(gw === undefined ? {} : { gw }) }
    const { netns, later } = await attach(t, host, { ...CONF, routes: [route] })
    const shown = await host.exec('ip', ['route', 'show', '10.9.0.0/24'], netns.name)
    t.match(shown, /^10\.9\.0\.0\/24 via 10\.9\.0\.1 dev eth0 .*mtu 1300\s*$/, 'one route, with its MTU')
    silent(t, await later('CHECK'))
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })
}

t.test('the host takes no router advertisements, whatever its default is', async (t) => {
  const host = newHost(t)
  for (const which of ['all', 'default']) {
    await host.exec('sysctl', ['-qw', `net.ipv6.conf.${which}.accept_ra=2`])
  }
  for (const conf of [CONF, { ...CONF, hostIfName: 'to-ctr' }]) {
    const { netns, hostEnd, later } = await attach(t, host, conf)
    const path = `/proc/sys/net/ipv6/conf/${hostEnd}/accept_ra`
    t.equal(await host.exec('cat', [path]), '0\n', hostEnd)
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
    host.deleteNetns(netns.name)
  }
})
