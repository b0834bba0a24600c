/** The real dhcp plugin and its daemon as IPAM, against a real DHCP server at the other end (conformance P10, P11). */
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { LEASED, ROUTER, startDhcp } from './rig/cni/dhcp.ts'
import { newHost } from './rig/host.ts'
import { addressesOf, linkNamed, look } from './rig/snapshot.ts'

const HOST_END = 'vethdhcp0'
const ACK = /sending ACK/
const IPS = { address: `${LEASED}/24`, gateway: ROUTER }

t.test('host mode: the server is at the host end', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const { server, daemon, ipam, path } = await startDhcp(t, host, host.name, HOST_END)
  const call = { ...container, path }
  const conf = netconf(host, { ipam, hostIfName: HOST_END })
  const result = added(t, await host.cni('ADD', { ...call, conf }))
  t.same(result.ips, [{ ...IPS, interface: 1 }])
  t.same(addressesOf(linkNamed(await look(name), 'eth0')), [`${LEASED}/24`])
  t.ok(await host.ping(name, ROUTER), 'the gateway is the host')
  t.ok(await host.ping(host.name, LEASED))

  const later = { ...call, conf: { ...conf, prevResult: result } }
  await server.says(ACK, 2)
  t.pass('the lease is renewed')
  silent(t, await host.cni('CHECK', later))

  silent(t, await host.cni('DEL', later))
  await daemon.says(/releas/i)
  await nothingLeft(t, host, [name])
  silent(t, await host.cni('DEL', { ...later, netns: '' }))
})

t.test('peer mode: the server is in the other container', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const other = host.netns('server')
  const { daemon, ipam, path } = await startDhcp(t, host, other.name, 'eth9')
  const peer = { netns: other.path, ifName: 'eth9', addresses: [{ address: `${ROUTER}/24` }] }
  const call = { ...container, path, conf: netconf(host, { ipam, peer }) }
  const result = added(t, await host.cni('ADD', call))
  t.same(result.ips, [{ ...IPS, interface: 0 }])
  t.ok(await host.ping(name, ROUTER))
  silent(t, await host.cni('DEL', call))
  await daemon.says(/releas/i)
  await nothingLeft(t, host, [name, other.name])
})

t.test('no daemon: the error of the dhcp plugin, and nothing is left', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const ipam = { type: 'dhcp', daemonSocketPath: `${host.dir}/no.sock` }
  refused(t, await host.cni('ADD', { ...container, path: '/usr/lib/cni', conf: netconf(host, { ipam }) }), {
    code: 999,
    msg: /no\.sock/,
  })
  await nothingLeft(t, host, [name])
})
