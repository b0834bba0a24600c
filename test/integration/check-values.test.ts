/** CHECK compares values, not spellings: what the kernel rounds or cuts down is no difference; what changed is one. */
import t, { type Test } from 'tap'
import { type Result, refused, silent } from './rig/cni/answer.ts'
import { type Attachment, attach } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, peerconf } from './rig/cni/conf.ts'
import { type Host, newHost } from './rig/host.ts'

const DUAL = ['10.1.2.0/24', '2001:db8:1::/64']

/** A wire in host mode. */
async function hostWire(t: Test, more: (host: Host) => Netconf = () => ({})) {
  const host = newHost(t)
  const at = await attach(t, host, more(host))
  return {
    ...at,
    onHost: (command: string) => host.exec('sh', ['-c', command.replaceAll('HOSTEND', at.hostEnd)]),
    inside: (command: string) => host.exec('sh', ['-c', command], at.netns.name),
  }
}

/** A wire to eth9 in another container. */
async function peerWire(t: Test, more: Netconf = {}) {
  const host = newHost(t)
  const peer = host.netns('peer')
  const at = await attach(t, host, peerconf(host, peer.path, more))
  return {
    ...at,
    host,
    onHost: (command: string) => host.exec('sh', ['-c', command]),
    inside: (command: string) => host.exec('sh', ['-c', command], at.netns.name),
    atPeer: (command: string) => host.exec('sh', ['-c', command], peer.name),
  }
}

/** CHECK gives these sentences and no other, in any order. */
async function says(t: Test, { later }: Attachment, ...wanted: RegExp[]): Promise<void> {
  const done = await later('CHECK')
  refused(t, done, { code: 999, msg: /is not as it was made/ })
  const lines = String(done.json?.details).split('\n')
  t.equal(lines.length, wanted.length, `sentences: ${lines.join(' | ')}`)
  for (const each of wanted)
    t.ok(
      lines.some((line) => each.test(line)),
      `${each} in ${lines.join(' | ')}`,
    )
}

t.test('route metrics beyond what the kernel takes are the greatest that it takes', async (t) => {
  const wire = await hostWire(t, (host) => ({
    ipam: hostLocal(host, DUAL),
    routes: [
      { dst: '10.50.0.0/16', gw: '10.1.2.1', mtu: 70000, advmss: 65535 },
      { dst: '10.51.0.0/16', gw: '10.1.2.1', mtu: 65520, advmss: 65495 },
      { dst: '2001:db8:50::/64', gw: '2001:db8:1::1', mtu: 65535, advmss: 4294967295 },
    ],
  }))
  t.match(await wire.inside('ip route show 10.50.0.0/16'), /mtu 65520 advmss 65495/)
  silent(t, await wire.later('CHECK'))
  await wire.inside('ip route change 10.50.0.0/16 via 10.1.2.1 mtu 65519 advmss 65495')
  await says(t, wire, /route 10\.50\.0\.0\/16 .* another mtu or advmss/)
})

/** A value as a netconf may write it, one that differs, and how both read in the kernel. */
const settings: [key: string, written: string, kept: string, changed: string][] = [
  ['net/ipv4/conf/eth0/arp_notify', ' 1 ', '1', '0'],
  ['net/ipv4/conf/eth0/arp_notify', '01', '1', '0'],
  ['net/ipv4/conf/eth0/arp_announce', '0x2', '2', '1'],
  ['net/ipv4/conf/eth0/medium_id', '010', '8', '10'],
  ['net/ipv4/conf/eth0/medium_id', '-1', '-1', '1'],
  ['net/ipv4/neigh/eth0/base_reachable_time_ms', '30001', '30004', '30020'],
  ['net/ipv6/neigh/eth0/base_reachable_time_ms', '30001', '30004', '30020'],
  ['net/ipv4/neigh/eth0/locktime', '101', '100', '104'],
  ['net/ipv6/conf/eth0/mldv1_unsolicited_report_interval', '9999', '10000', '10020'],
]

for (const [key, written, kept, changed] of settings) {
  t.test(`sysctl ${key} = "${written}"`, async (t) => {
    const wire = await hostWire(t, () => ({ sysctl: { [key]: written } }))
    const found = (await wire.inside(`cat /proc/sys/${key}`)).trim()
    // How far a time is rounded depends on the kernel's HZ.
    t.ok(Math.abs(Number(found) - Number(kept)) < 10, `the kernel keeps ${found}`)
    silent(t, await wire.later('CHECK'))
    await wire.inside(`echo ${changed} >/proc/sys/${key}`)
    await says(t, wire, new RegExp(`sysctl ${key} of eth0 .* is ${changed}, expected `))
  })
}

t.test('MAC of the host end changed', async (t) => {
  const wire = await hostWire(t)
  const mac = wire.result.interfaces?.[0]?.mac
  await wire.onHost('ip link set HOSTEND address 02:00:00:00:00:77')
  await says(t, wire, new RegExp(`MAC of ${wire.hostEnd} .* is 02:00:00:00:00:77, expected ${mac}`))
})

t.test("MAC of the peer's end changed", async (t) => {
  const wire = await peerWire(t)
  await wire.atPeer('ip link set eth9 address 02:00:00:00:00:77')
  await says(t, wire, /MAC of eth9 .* is 02:00:00:00:00:77/)
})

t.test('queue length changed, at either end', async (t) => {
  const wire = await hostWire(t, () => ({ qlen: 500 }))
  silent(t, await wire.later('CHECK'))
  await wire.inside('ip link set eth0 txqueuelen 400')
  await wire.onHost('ip link set HOSTEND txqueuelen 300')
  await says(t, wire, /qlen of eth0 .* is 400, expected 500/, /qlen of veth.* is 300, expected 1000/)
})

t.test("queue length of the peer's end changed", async (t) => {
  const wire = await peerWire(t, { qlen: 0 })
  silent(t, await wire.later('CHECK'))
  await wire.atPeer('ip link set eth9 txqueuelen 300')
  await says(t, wire, /qlen of eth9 .* is 300, expected 0/)
})

t.test('forwarding switched off, with both families', async (t) => {
  const wire = await hostWire(t, (host) => ({ ipam: hostLocal(host, DUAL) }))
  silent(t, await wire.later('CHECK'))
  await wire.onHost('echo 0 >/proc/sys/net/ipv4/ip_forward')
  await says(t, wire, /net\/ipv4\/ip_forward .* is 0/)
  await wire.onHost('echo 0 >/proc/sys/net/ipv6/conf/all/forwarding')
  await says(t, wire, /net\/ipv4\/ip_forward .* is 0/, /net\/ipv6\/conf\/all\/forwarding .* is 0/)
})

t.test('forwarding of a family that the container does not have is nobody’s business', async (t) => {
  const wire = await hostWire(t)
  await wire.onHost('echo 0 >/proc/sys/net/ipv6/conf/all/forwarding')
  silent(t, await wire.later('CHECK'))
})

t.test('forwarding is the host’s part of host mode alone', async (t) => {
  const wire = await peerWire(t)
  await wire.onHost('echo 0 >/proc/sys/net/ipv4/ip_forward')
  silent(t, await wire.later('CHECK'))
})

t.test('an end that is down is said once', async (t) => {
  const wire = await hostWire(t, () => ({ ipam: undefined, addresses: [{ address: '10.1.2.2/24' }] }))
  await wire.onHost('ip link set HOSTEND down')
  const { json } = await wire.later('CHECK')
  t.equal(String(json?.details).match(/\bdown\b/g)?.length, 1, json?.details)
})

t.test('the end of the peer that is down is said once', async (t) => {
  const wire = await peerWire(t)
  await wire.atPeer('ip link set eth9 down')
  const { json } = await wire.later('CHECK')
  t.equal(String(json?.details).match(/\bdown\b/g)?.length, 1, json?.details)
})

t.test('an end renamed by its container: the sentence has the new name', async (t) => {
  const wire = await hostWire(t)
  await wire.inside('ip link set eth0 down && ip link set eth0 name other0 up')
  await says(t, wire, /interface eth0 is missing in .*: its ifindex \d+ is now called other0/)
})

t.test('an end that is gone has no new name', async (t) => {
  const wire = await hostWire(t)
  await wire.inside('ip link del eth0')
  await says(t, wire, /interface eth0 is missing in [^:]*$/)
})

t.test('the end of the peer renamed by its container', async (t) => {
  const wire = await peerWire(t)
  await wire.atPeer('ip link property add dev eth9 altname keep && ip link set eth9 name other9')
  await says(t, wire, /the other end eth9 .* is now called other9/)
})

t.test('two halves of two pairs with the ifindexes of the wire are not the wire', async (t) => {
  const wire = await peerWire(t)
  const indexOf = async (where: (command: string) => Promise<string>, name: string) =>
    (await where(`ip -o link show ${name}`)).split(':')[0]
  const [own, other] = [await indexOf(wire.inside, 'eth0'), await indexOf(wire.atPeer, 'eth9')]
  await wire.inside('ip link del eth0')
  const pair = (name: string, index: string | undefined, peer: string | undefined, far: string) =>
    `ip link add ${name} index ${index} type veth peer name far index ${peer} netns ${far} &&
     ip link set ${name} up && ip -n ${far} link set far up`
  await wire.inside(pair('eth0', own, other, wire.host.netns('far1').name))
  await wire.atPeer(pair('eth9', other, own, wire.host.netns('far2').name))
  const done = await wire.later('CHECK')
  refused(t, done, { code: 999, details: /eth9 in .* is not the peer of eth0 in / })
})

const broken: Record<string, (result: Result) => Result> = {
  'an address that is none': (all) => ({ ...all, ips: [{ address: 'rubbish', interface: 1 }] }),
  'an address without a prefix': (all) => ({ ...all, ips: [{ address: '10.1.2.2', interface: 1 }] }),
  'an address of another interface': (all) => ({
    ...all,
    ips: [...(all.ips ?? []), { address: '10.1.2.2/33', interface: 0 }],
  }),
  'a destination that is none': (all) => ({ ...all, routes: [{ dst: 'rubbish' }] }),
  'a destination with host bits': (all) => ({ ...all, routes: [{ dst: '10.50.0.1/16' }] }),
  'a gateway that is none': (all) => ({ ...all, routes: [{ dst: '10.50.0.0/16', gw: 'rubbish' }] }),
  'a gateway that is none, of a default route': (all) => ({
    ...all,
    routes: [{ dst: '0.0.0.0/0', gw: '10.1.2' }],
  }),
}

t.test('prevResult with', async (t) => {
  const wire = await hostWire(t)
  for (const [what, change] of Object.entries(broken)) {
    t.test(what, async (t) => {
      const done = await wire.later('CHECK', { prevResult: change(wire.result) })
      refused(t, done, { code: 999, msg: /^could not parse prevResult: .*(10\.|rubbish)/ })
    })
  }
  t.test('a gateway that is empty: as if there was none', async (t) => {
    const prevResult = { ...wire.result, routes: [{ dst: '0.0.0.0/0', gw: '' }] }
    silent(t, await wire.later('CHECK', { prevResult }))
  })
})

t.test('a route with host bits of an earlier plugin is passed on by ADD', async (t) => {
  const host = newHost(t)
  const netns = host.netns('ctr1')
  const prevResult = { cniVersion: '1.0.0', routes: [{ dst: '10.9.9.9/8' }] }
  const done = await host.cni('ADD', { netns: netns.path, conf: netconf(host, { prevResult }) })
  t.match(done, { code: 0, json: { routes: prevResult.routes } })
})
