/** What a runtime asks for beside the netconf: runtimeConfig, args.cni and CNI_ARGS (conformance section 6). */
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { type Netconf, netconf, peerconf } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { addressesOf, linkNamed, look } from './rig/snapshot.ts'

const mac = (n: number) => `02:00:00:00:00:0${n}`

/** Who is heard, from the faintest to the loudest. */
const voices: [string, Netconf, string?][] = [
  ['mac', { mac: mac(1) }],
  ['CNI_ARGS', {}, `IgnoreUnknown=1;MAC=${mac(2)}`],
  ['args.cni', { args: { cni: { mac: mac(3), other: { any: 'thing' } } } }],
  ['runtimeConfig', { runtimeConfig: { mac: mac(4) }, capabilities: { mac: true } }],
]

for (const [index, [title]] of voices.entries()) {
  t.test(`MAC by ${title} beats what is fainter`, async (t) => {
    const host = newHost(t)
    const heard = voices.slice(0, index + 1)
    const conf = Object.assign({}, ...heard.map(([, more]) => more))
    const args = heard.map(([, , text]) => text).find((text) => text !== undefined)
    const { result, netns, later } = await attach(t, host, conf, args === undefined ? {} : { args })
    t.equal(result.interfaces?.[1]?.mac, mac(index + 1))
    t.equal(linkNamed(await look(netns.name), 'eth0')?.address, mac(index + 1))
    silent(t, await later('CHECK'))
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })
}

for (const bad of [
  'nonsense',
  '01:00:5e:00:00:01',
  '00:00:00:00:00:00',
  '02:00:00:00:00',
  '02:00:00:00:00:00:00:00',
]) {
  t.test(`MAC ${bad} is refused, whoever asks`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    for (const more of [{ mac: bad }, { args: { cni: { mac: bad } } }, { runtimeConfig: { mac: bad } }]) {
      refused(t, await host.cni('ADD', { ...container, conf: netconf(host, more) }), { code: [6, 7] })
    }
    const call = { ...container, args: `MAC=${bad}`, conf: netconf(host, { ipam: undefined }) }
    refused(t, await host.cni('ADD', call), { code: [4, 6, 7] })
    await nothingLeft(t, host, [name])
  })
}

t.test('DNS of the runtime', async (t) => {
  const runtimeConfig = { dns: { servers: ['192.0.2.53'], searches: ['x.test'], options: ['ndots:2'] } }
  const { result } = await attach(t, newHost(t), { runtimeConfig, capabilities: { dns: true } })
  t.same(result.dns, { nameservers: ['192.0.2.53'], search: ['x.test'], options: ['ndots:2'] })
})

t.test('addresses asked for, without IPAM', async (t) => {
  const asked = { args: { cni: { ips: ['10.7.0.3/24'] } } }
  for (const [more, wanted] of [
    [{}, '10.7.0.2/24'],
    [asked, '10.7.0.3/24'],
    [{ ...asked, runtimeConfig: { ips: ['10.7.0.4/24'] } }, '10.7.0.4/24'],
  ] as const) {
    const host = newHost(t)
    const { netns, result } = await attach(t, host, peerconf(host, host.netns('peer').path, more))
    t.same(result.ips, [{ address: wanted, interface: 0 }])
    t.same(addressesOf(linkNamed(await look(netns.name), 'eth0')), [wanted])
  }
})

t.test('what other plugins and newer runtimes send is ignored', async (t) => {
  const host = newHost(t)
  const { result } = await attach(t, host, {
    runtimeConfig: {
      portMappings: [],
      bandwidth: { ingressRate: 1 },
      deviceID: '0000:00:00.0',
      cgroupPath: '/x',
    },
    args: { cni: { labels: [{ key: 'a', value: 'b' }] }, other: 7 },
    capabilities: { portMappings: true, unknown: false },
    'cni.dev/something': [],
    deviceID: 'x',
    pciBusID: 'y',
    disableCheck: true,
  })
  t.equal(result.ips?.length, 1)
})

t.test('CNI_ARGS without IPAM', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const addresses = [{ address: '10.1.2.2/24', gateway: '10.1.2.1' }]
  const call = { ...container, conf: netconf(host, { ipam: undefined, addresses }) }
  refused(t, await host.cni('ADD', { ...call, args: 'FOO=BAR' }), { code: [4, 7, 999], msg: /FOO/ })
  refused(t, await host.cni('ADD', { ...call, args: 'FOO' }), { code: [4, 7, 999], msg: /FOO/ })
  await nothingLeft(t, host, [name])
  const kubernetes = 'K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=i;K8S_POD_UID=u'
  for (const args of ['', `IgnoreUnknown=1;${kubernetes}`, `${kubernetes};IgnoreUnknown=TRUE;FOO=BAR`]) {
    added(t, await host.cni('ADD', { ...call, args }))
    silent(t, await host.cni('DEL', { ...call, args }))
  }
  await nothingLeft(t, host, [name])
})
