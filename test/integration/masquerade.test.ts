/** ipMasq as packets see it, by either backend, for both families. */
import t from 'tap'
import { refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { masquerade } from './rig/cni/nat.ts'
import { connect, HOST4, HOST6, OUTSIDE4, OUTSIDE6, outside, UPLINK } from './rig/cni/outside.ts'
import { type Host, newHost } from './rig/host.ts'

const dual = (host: Host) =>
  hostLocal(host, ['10.1.2.0/24', '2001:db8:1::/64'], { routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] })

for (const ipMasqBackend of [undefined, 'nftables', 'iptables']) {
  t.test(`ipMasq by ${ipMasqBackend ?? 'default'}`, async (t) => {
    const host = newHost(t)
    const world = await outside(host)
    const conf = { ipMasq: true, ipMasqBackend, ipam: dual(host) }
    const one = await attach(t, host, conf)
    const two = await attach(t, host, conf, { containerID: 'ctr2' })
    const seen = async (server: string, address: string) =>
      (await connect(server, one.netns.name, address)).source
    t.equal(await seen(world, OUTSIDE4), HOST4, 'the world sees the host')
    t.equal(await seen(world, OUTSIDE6), HOST6, 'by IPv6 too')
    t.equal(await seen(two.netns.name, '10.1.2.3'), '10.1.2.2', 'its own subnet sees the container')
    t.equal(await seen(two.netns.name, '2001:db8:1::3'), '2001:db8:1::2', 'by IPv6 too')
    silent(t, await two.later('DEL'))
    t.equal(await seen(world, OUTSIDE4), HOST4, 'the other one still has its masquerade')
    silent(t, await one.later('DEL'))
    t.same(await masquerade(host), [])
    await nothingLeft(t, host, [one.netns.name, two.netns.name], [UPLINK])
  })
}

t.test('without ipMasq the world sees the container, and cannot answer', async (t) => {
  const host = newHost(t)
  const world = await outside(host)
  const { netns } = await attach(t, host)
  t.notOk(await host.ping(netns.name, OUTSIDE4))
  await host.exec('ip', ['route', 'add', '10.1.2.0/24', 'via', HOST4], world)
  t.equal((await connect(world, netns.name, OUTSIDE4)).source, '10.1.2.2')
  t.same(await masquerade(host), [])
})

t.test('an unknown backend is refused before anything is made', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipMasq: true, ipMasqBackend: 'foo' })
  refused(t, await host.cni('ADD', { ...container, conf }), { code: 7, msg: /foo/ })
  await nothingLeft(t, host, [name])
})
