/** The real host-local and static as IPAM (conformance P12 to P14). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, type Netconf, netconf, staticIpam, VERSIONS, versionsBefore } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { leases } from './rig/snapshot.ts'

for (const cniVersion of VERSIONS) {
  t.test(`P12 host-local at ${cniVersion}: a lease for the attachment, until DEL`, async (t) => {
    const host = newHost(t)
    const { later, netns } = await attach(t, host, { cniVersion })
    t.equal(readFileSync(join(host.ipamDir, 'net1', '10.1.2.2'), 'utf8'), 'ctr1\r\neth0')
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })

  t.test(`P12 static at ${cniVersion}`, async (t) => {
    const host = newHost(t)
    const ipam = {
      ...staticIpam('10.1.2.9/24', '10.1.2.1'),
      routes: [{ dst: '0.0.0.0/0' }],
      dns: { domain: 'x.test' },
    }
    const { result, later, netns } = await attach(t, host, { cniVersion, ipam })
    t.equal(result.ip4?.ip ?? result.ips?.[0]?.address, '10.1.2.9/24')
    t.same(result.dns, { domain: 'x.test' })
    t.ok(await host.ping(netns.name, '10.1.2.1'))
    silent(t, await later('DEL'))
    await nothingLeft(t, host, [netns.name])
  })
}

for (const cniVersion of versionsBefore('0.3.0')) {
  t.test(`P12 two ranges of one family at ${cniVersion}: host-local refuses ADD and DEL`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    const conf = netconf(host, { cniVersion, ipam: hostLocal(host, ['10.1.2.0/24', '10.1.3.0/24']) })
    const wanted = {
      code: 999,
      msg: `CNI version ${cniVersion} does not support more than 1 address per family`,
    }
    refused(t, await host.cni('ADD', { ...container, conf }), wanted)
    refused(t, await host.cni('DEL', { ...container, conf }), { code: 999 })
    await nothingLeft(t, host, [name])
  })
}

t.test('P12 no address left: the error of host-local, and nothing made', async (t) => {
  const host = newHost(t)
  const ipam = hostLocal(host, ['10.1.2.0/30'])
  const first = await attach(t, host, { ipam })
  const { name, ...container } = newContainer(host, 'ctr2')
  const done = await host.cni('ADD', { ...container, conf: netconf(host, { ipam }) })
  refused(t, done, { code: 999, msg: /no IP addresses available in range set/ })
  silent(t, await first.later('CHECK'))
  silent(t, await first.later('DEL'))
  await nothingLeft(t, host, [name, first.netns.name])
})

t.test('static without a gateway, in peer mode', async (t) => {
  const host = newHost(t)
  const peer = { netns: host.netns('peer').path, ifName: 'eth9', addresses: [{ address: '10.1.2.1/24' }] }
  const { result, later, netns } = await attach(t, host, { ipam: staticIpam('10.1.2.2/24'), peer })
  t.same(result.ips, [{ address: '10.1.2.2/24', interface: 0 }])
  t.ok(await host.ping(netns.name, '10.1.2.1'))
  silent(t, await later('DEL'))
})

/** Ways to ask for an address, and what each IPAM plugin makes of them (P13). */
const wishes: [string, Netconf, string | undefined, string[]][] = [
  ['runtimeConfig.ips', { runtimeConfig: { ips: ['10.1.2.50'] } }, undefined, ['10.1.2.50']],
  ['args.cni.ips', { args: { cni: { ips: ['10.1.2.51'] } } }, undefined, ['10.1.2.51']],
  ['CNI_ARGS', {}, 'IP=10.1.2.52', ['10.1.2.52']],
]

for (const [title, more, args, wanted] of wishes) {
  t.test(`P13 host-local leases what ${title} asks for`, async (t) => {
    const host = newHost(t)
    const { result, later } = await attach(t, host, more, args === undefined ? {} : { args })
    t.same(
      result.ips?.map(({ address }) => address),
      wanted.map((ip) => `${ip}/24`),
    )
    t.same(leases(host), wanted)
    silent(t, await later('CHECK'))
    silent(t, await later('DEL'))
  })
}

t.test('P13 an address outside every range', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { runtimeConfig: { ips: ['192.0.2.7'] } })
  const done = await host.cni('ADD', { ...container, conf })
  refused(t, done, { code: 999, msg: /^failed to allocate all requested IPs: 192\.0\.2\.7/ })
  await nothingLeft(t, host, [name])
})

t.test('P13 static takes runtimeConfig.ips instead of its own', async (t) => {
  const host = newHost(t)
  const peer = { netns: host.netns('peer').path, ifName: 'eth9' }
  const more = {
    ipam: staticIpam('10.1.2.2/24'),
    peer,
    capabilities: { ips: true },
    runtimeConfig: { ips: ['10.1.2.60/24'] },
  }
  const { result } = await attach(t, host, more)
  t.same(
    result.ips?.map(({ address }) => address),
    ['10.1.2.60/24'],
  )
})

t.test('P14 CNI_ARGS that nobody knows', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const call = { ...container, conf: netconf(host) }
  for (const [args, says] of [
    ['FOO=BAR', /ARGS: unknown args \["FOO=BAR"\]/],
    ['FOO', /ARGS: invalid pair "FOO"/],
    ['ip=10.1.2.9', /ARGS: unknown args \["ip=10.1.2.9"\]/],
  ] as const) {
    refused(t, await host.cni('ADD', { ...call, args }), { code: [4, 7, 999], msg: says })
    await nothingLeft(t, host, [name])
  }
  for (const args of [
    'IgnoreUnknown=1;FOO=BAR',
    'FOO=BAR;IgnoreUnknown=TRUE',
    'IgnoreUnknown=true;K8S_POD_NAME=p;K8S_POD_NAMESPACE=n',
  ]) {
    added(t, await host.cni('ADD', { ...call, args }))
    silent(t, await host.cni('DEL', { ...call, args }))
  }
  await nothingLeft(t, host, [name])
})
