/** prevResult: reading it (conformance 2.3), and adding to it in a chain. */
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf, VERSIONS, versionsSince } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'

/** Families of versions whose results look alike. */
const FAMILIES = [
  ['0.1.0', '0.2.0'],
  ['0.3.0', '0.3.1', '0.4.0'],
  ['1.0.0', '1.1.0'],
]
const inFamily = (one: string, other: string) =>
  FAMILIES.some((each) => each.includes(one) && each.includes(other))

for (const version of versionsSince('0.4.0')) {
  for (const written of VERSIONS) {
    const fits = inFamily(version, written)
    t.test(`CHECK at ${version}, prevResult of ${written}: ${fits ? 'read' : 'refused'}`, async (t) => {
      const { result, later } = await attach(t, newHost(t), { cniVersion: version })
      const done = await later('CHECK', { prevResult: { ...result, cniVersion: written } })
      if (fits) silent(t, done)
      else refused(t, done, { code: [6, 7, 999], msg: /^could not parse prevResult: ./ })
    })
  }

  t.test(`CHECK at ${version}, prevResult without a version has that of the netconf`, async (t) => {
    const { result, later } = await attach(t, newHost(t), { cniVersion: version })
    silent(t, await later('CHECK', { prevResult: { ...result, cniVersion: undefined } }))
  })
}

for (const version of VERSIONS) {
  t.test(
    `ADD at ${version}, prevResult of an unknown version: refused before anything is made`,
    async (t) => {
      const host = newHost(t)
      const { name, ...container } = newContainer(host)
      const conf = netconf(host, { cniVersion: version, prevResult: { cniVersion: '9.9.9' } })
      refused(t, await host.cni('ADD', { ...container, conf }), { code: [6, 7, 999], msg: /prevResult/ })
      await nothingLeft(t, host, [name])
    },
  )
}

for (const version of versionsSince('0.3.0')) {
  t.test(`ADD in a chain at ${version} keeps what was there`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    const family = version.startsWith('0') ? { version: '4' } : {}
    const before = {
      cniVersion: version,
      interfaces: [
        { name: 'br0', mac: '02:00:00:00:00:01' },
        { name: 'net0', mac: '02:00:00:00:00:02', sandbox: container.netns },
      ],
      ips: [
        { address: '192.0.2.2/24', interface: 1, ...family },
        { address: '198.51.100.2/24', ...family },
      ],
      routes: [{ dst: '203.0.113.0/24', gw: '192.0.2.1' }],
      dns: { nameservers: ['192.0.2.53'] },
    }
    const conf = netconf(host, { cniVersion: version, prevResult: before })
    const result = added(t, await host.cni('ADD', { ...container, conf }))
    const [first, second, hostEnd, own, ...more] = result.interfaces ?? []
    t.strictSame([first, second], before.interfaces)
    t.match(hostEnd?.name, /^veth/)
    t.match(own, { name: 'eth0', sandbox: container.netns })
    t.same(more, [])
    const ownIp = { address: '10.1.2.2/24', gateway: '10.1.2.1', interface: 3, ...family }
    t.strictSame(result.ips, [...before.ips, ownIp])
    t.strictSame(result.routes, [...before.routes, { dst: '0.0.0.0/0' }])
    t.strictSame(result.dns, before.dns)
    silent(t, await host.cni('DEL', { ...container, conf: { ...conf, prevResult: result } }))
    await nothingLeft(t, host, [name])
  })
}

t.test('ADD with prevResult null is the first of its chain', async (t) => {
  const { result } = await attach(t, newHost(t), { prevResult: null })
  t.equal(result.interfaces?.length, 2)
})
