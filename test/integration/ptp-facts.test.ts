/** What ptp's own tests hold to be true, at every version (conformance 8.1: eight cases, seven versions). */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Result, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, since, VERSIONS } from './rig/cni/conf.ts'
import { type Host, newHost } from './rig/host.ts'
import { linkNamed, look } from './rig/snapshot.ts'

const FULL_DNS = {
  nameservers: ['10.1.2.123'],
  domain: 'some.domain.test',
  search: ['search.test'],
  options: ['option1:foo'],
}
const RESOLV_DNS = {
  nameservers: ['192.0.2.0', '192.0.2.1'],
  domain: 'example.com',
  search: ['example.com', 'svc.example.com'],
  options: ['ndots:5'],
}
const SINGLE = { '10.1.2.2': '10.1.2.1' }
const DUAL = { ...SINGLE, '2001:db8:1::2': '2001:db8:1::1' }
const DUAL_ROUTES = [{ dst: '0.0.0.0/0' }, { dst: '192.168.0.0/16' }, { dst: '1.2.3.4/32' }]

/** host-local with a resolv.conf of its own. */
function resolving(host: Host): Netconf {
  const resolvConf = join(host.dir, 'resolv.conf')
  const { nameservers, domain, search, options } = RESOLV_DNS
  const lines = [
    ...nameservers.map((each) => `nameserver ${each}`),
    `domain ${domain}`,
    `search ${search.join(' ')}`,
  ]
  writeFileSync(resolvConf, [...lines, `options ${options.join(' ')}`, ''].join('\n'))
  return { ipam: hostLocal(host, undefined, { resolvConf }) }
}

interface Fact {
  title: string
  conf: (host: Host) => Netconf
  dns?: object
  /** Address of the container and its gateway. */
  ips?: Record<string, string>
}

const masqueraded = (host: Host) => ({ ipMasq: true, mtu: 5000, dns: FULL_DNS, ipam: hostLocal(host) })
const overriding = Object.entries(FULL_DNS).map(
  ([key, value]): Fact => ({
    title: `6 overrides IPAM DNS settings: ${key}`,
    conf: (host) => ({ ...resolving(host), dns: { [key]: value } }),
    dns: { [key]: value },
  }),
)

const facts: Fact[] = [
  { title: '1 configures and deconfigures', conf: masqueraded, dns: FULL_DNS },
  {
    title: '2 ipMasqBackend iptables',
    conf: (host) => ({ ...masqueraded(host), ipMasqBackend: 'iptables' }),
    dns: FULL_DNS,
  },
  {
    title: '3 ipMasqBackend nftables',
    conf: (host) => ({ ...masqueraded(host), ipMasqBackend: 'nftables' }),
    dns: FULL_DNS,
  },
  {
    title: '4 dual stack and routes',
    conf: (host) => ({
      ipMasq: true,
      ipam: hostLocal(host, ['10.1.2.0/24', '2001:db8:1::/66'], { routes: DUAL_ROUTES }),
    }),
    ips: DUAL,
  },
  { title: '5 does not override IPAM DNS settings', conf: resolving, dns: RESOLV_DNS },
  ...overriding,
  {
    title: '7 overrides IPAM DNS settings by empty lists',
    conf: (host) => ({ ...resolving(host), dns: { nameservers: [], search: [], options: [] } }),
  },
]

/** Addresses a result gives to the container, without their prefixes. */
function given({ ips, ip4, ip6 }: Result): (string | undefined)[] {
  const listed = ips?.filter((each) => each.interface === 1).map(({ address }) => address)
  const addresses = listed ?? [ip4?.ip, ip6?.ip].filter((ip) => ip !== undefined)
  return addresses.map((address) => address.split('/')[0])
}

async function interfacesFit(t: Test, host: Host, netns: { name: string; path: string }, result: Result) {
  const [hostEnd, own, ...more] = result.interfaces ?? []
  t.match(hostEnd?.name, /^veth/)
  t.equal(hostEnd?.mac.length, 17)
  t.notOk(hostEnd?.sandbox)
  t.equal(own?.name, 'ptp0')
  t.equal(own?.sandbox, netns.path)
  t.equal(own?.mac, linkNamed(await look(netns.name), 'ptp0')?.address)
  t.equal(hostEnd?.mac, linkNamed(await look(host.name), hostEnd?.name ?? '')?.address)
  t.same(more, [])
}

for (const version of VERSIONS) {
  for (const { title, conf, dns, ips = SINGLE } of facts) {
    t.test(`${title}, at ${version}`, async (t) => {
      const host = newHost(t)
      const more: Netconf = { ...conf(host), cniVersion: version, name: 'mynet' }
      const call = { containerID: 'dummy', ifName: 'ptp0' }
      const { result, netns, later, call: made } = await attach(t, host, more, call)
      t.equal(result.cniVersion, version)
      if (since(version, '0.3.0')) await interfacesFit(t, host, netns, result)
      t.strictSame(result.dns, dns ?? (since(version, '1.0.0') ? undefined : {}))
      t.same(given(result), Object.keys(ips))
      for (const [address, gateway] of Object.entries(ips)) {
        t.ok(await host.ping(netns.name, gateway), `${address} reaches ${gateway}`)
        t.ok(await host.ping(host.name, address), `the host reaches ${address}`)
      }
      if (more.mtu !== undefined) t.equal(linkNamed(await look(netns.name), 'ptp0')?.mtu, more.mtu)
      const check = await later('CHECK')
      if (since(version, '0.4.0')) silent(t, check)
      else refused(t, check, { code: 1, msg: 'config version does not allow CHECK' })
      if (since(version, '1.1.0')) silent(t, await host.cni('STATUS', { ...made, conf: netconf(host, more) }))
      silent(t, await later('DEL'))
      await nothingLeft(t, host, [netns.name])
    })
  }

  t.test(`8 deconfigures an unconfigured link, at ${version}`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host, 'dummy')
    const conf = netconf(host, { ...masqueraded(host), cniVersion: version, name: 'mynet' })
    silent(t, await host.cni('DEL', { ...container, ifName: 'ptp0', conf }))
    await nothingLeft(t, host, [name])
  })
}
