/** nugator first in a chain with the real tuning, portmap and bandwidth (conformance section 6). */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { Chain } from './rig/cni/chain.ts'
import { type Netconf, netconf, versionsSince } from './rig/cni/conf.ts'
import { connect, HOST4, outside, UPLINK } from './rig/cni/outside.ts'
import { type Host, newHost } from './rig/host.ts'
import { linkNamed, look } from './rig/snapshot.ts'

const MAC = 'c2:11:22:33:44:55'
const tuning = (host: Host): Netconf => ({
  type: 'tuning',
  mac: MAC,
  sysctl: { 'net.ipv4.conf.eth0.arp_notify': '1' },
  dataDir: join(host.dir, 'tuning'),
})
const portmap: Netconf = {
  type: 'portmap',
  snat: true,
  capabilities: { portMappings: true },
  runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
}
const bandwidth: Netconf = {
  type: 'bandwidth',
  ingressRate: 1e8,
  ingressBurst: 1e7,
  egressRate: 1e8,
  egressBurst: 1e7,
}

interface Scene {
  host: Host
  container: string
  chain: Chain
}

function scene(t: Test, plugins: (host: Host) => Netconf[], common: Netconf = {}): Scene {
  const host = newHost(t)
  const { name, ...call } = newContainer(host)
  const own = netconf(host, { ipMasq: true, ...common })
  return { host, container: name, chain: new Chain(host, call, [own, ...plugins(host)], common) }
}

/** DEL in reverse succeeds, and again; nothing stays but what `spared` names. */
async function ends(t: Test, { host, container, chain }: Scene, spared: string[] = []): Promise<void> {
  for (const done of [...(await chain.del()), ...(await chain.del())]) silent(t, done)
  await nothingLeft(t, host, [container], spared)
}

/** CHECK of each. Debian's portmap cannot: it misses IPv6 rules that an IPv4 container does not need. */
async function checked(t: Test, { chain }: Scene): Promise<void> {
  for (const done of await chain.check((type) => type !== 'portmap')) silent(t, done)
}

/** tuning is of every version, bandwidth since 0.3.0; CHECK exists since 0.4.0. */
for (const cniVersion of versionsSince('0.4.0').filter((version) => version !== '1.1.0')) {
  t.test(`tuning at ${cniVersion} changes the MAC, and CHECK holds to the final result`, async (t) => {
    const there = scene(t, (host) => [tuning(host)], { cniVersion })
    const result = await there.chain.add(t)
    t.equal(result.interfaces?.find(({ name }) => name === 'eth0')?.mac, MAC)
    t.equal(linkNamed(await look(there.container), 'eth0')?.address, MAC)
    await checked(t, there)
    await ends(t, there)
  })

  t.test(`bandwidth at ${cniVersion} finds the host end`, async (t) => {
    const there = scene(t, () => [bandwidth], { cniVersion })
    const { interfaces = [] } = await there.chain.add(t)
    const hostEnd = interfaces[0]?.name ?? ''
    t.match(await there.host.exec('tc', ['qdisc', 'show', 'dev', hostEnd]), /^qdisc tbf .*rate 100Mbit/m)
    t.equal((await there.host.links()).length, 2, 'the host end, and one interface of bandwidth')
    t.ok(await there.host.ping(there.container, '10.1.2.1'))
    await checked(t, there)
    await ends(t, there)
  })

  t.test(`portmap at ${cniVersion} leads from the world to the container`, async (t) => {
    const there = scene(t, () => [portmap], { cniVersion })
    const world = await outside(there.host)
    await there.chain.add(t)
    t.equal((await connect(there.container, world, HOST4, 8080, 80)).answer, 'hello')
    await checked(t, there)
    for (const done of await there.chain.del()) silent(t, done)
    const rules = await there.host.exec('iptables', ['-w', '-t', 'nat', '-S'])
    t.notMatch(rules, /10\.1\.2\.2|CNI-DN-[0-9a-f]/)
    await nothingLeft(t, there.host, [there.container], [UPLINK])
  })
}

t.test('all of them in one chain', async (t) => {
  const there = scene(t, (host) => [tuning(host), portmap, bandwidth])
  const world = await outside(there.host)
  const { interfaces, ips } = await there.chain.add(t)
  t.equal(interfaces?.[1]?.mac, MAC)
  t.same(ips, [{ address: '10.1.2.2/24', gateway: '10.1.2.1', interface: 1 }])
  t.equal((await connect(there.container, world, HOST4, 8080, 80)).answer, 'hello')
  await checked(t, there)
  await ends(t, there, [UPLINK])
})

t.test('a tuned interface that lost its address is still found out', async (t) => {
  const there = scene(t, (host) => [tuning(host)])
  await there.chain.add(t)
  await there.host.exec('ip', ['addr', 'del', '10.1.2.2/24', 'dev', 'eth0'], there.container)
  const [own] = await there.chain.check((type) => type === 'nugator')
  t.equal(own?.code, 1)
  t.match(own?.json?.details, /10\.1\.2\.2\/24/)
  t.notMatch(own?.json?.details, MAC, 'what tuning did is no difference')
  await ends(t, there)
})

t.test('portmap and our masquerade by iptables do not get in each other’s way', async (t) => {
  const there = scene(t, () => [portmap], { ipMasqBackend: 'iptables' })
  const world = await outside(there.host)
  await there.chain.add(t)
  t.equal((await connect(world, there.container, '192.0.2.2')).source, HOST4)
  t.equal((await connect(there.container, world, HOST4, 8080, 80)).answer, 'hello')
  for (const done of await there.chain.del()) silent(t, done)
  t.notMatch(await there.host.exec('nft', ['list', 'ruleset']), /10\.1\.2\.2|jump CNI-[0-9a-f]/)
})
