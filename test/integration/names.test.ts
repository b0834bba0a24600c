/** Names and namespaces a plugin accepts or refuses (conformance 1.5). */
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { added, refused, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf, peerconf, VERSIONS } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'

const LONG = `n${'0123456789'.repeat(30)}`.slice(0, 300)

t.test('names of 300 characters and an interface name of 15 bytes are fine', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const peer = host.netns('peer')
  const call = {
    ...container,
    containerID: LONG,
    ifName: 'abcdefghijklmno',
    conf: peerconf(host, peer.path, { name: LONG }),
  }
  added(t, await host.cni('ADD', call))
  t.same(await host.links(name), ['abcdefghijklmno'])
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [name, peer.name])
})

t.test('names of every permitted character are fine', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const call = {
    ...container,
    containerID: '0A_z.-',
    ifName: 'é0-_.@',
    conf: netconf(host, { name: '9_.-Z' }),
  }
  added(t, await host.cni('ADD', call))
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [name])
})

t.test('an interface name that the kernel would take for a pattern is refused', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  refused(t, await host.cni('ADD', { ...container, ifName: 'eth%d', conf: netconf(host) }), { code: [4, 7] })
  await nothingLeft(t, host, [name])
})

for (const [title, make] of [
  ['is missing', (dir: string) => join(dir, 'nothing')],
  ['is a regular file', (dir: string) => join(dir, 'file')],
  ['is a directory', (dir: string) => dir],
] as const) {
  t.test(`ADD: CNI_NETNS ${title}`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    writeFileSync(join(host.dir, 'file'), '')
    refused(t, await host.cni('ADD', { ...container, netns: make(host.dir), conf: netconf(host) }), {
      code: 8,
    })
    await nothingLeft(t, host, [name])
  })
}

for (const version of VERSIONS) {
  t.test(`same namespace at ${version}: refused before any work`, async (t) => {
    const host = newHost(t)
    const { name, ...container } = newContainer(host)
    await host.exec('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1'])
    const link = join(host.dir, 'elsewhere')
    symlinkSync(host.path, link)
    const wanted = { code: 8, msg: "plugin's netns and netns from CNI_NETNS should not be the same" }
    const conf = netconf(host, { cniVersion: version })
    for (const netns of [host.path, link]) {
      for (const ifName of ['eth0', 'net0']) {
        refused(t, await host.cni('ADD', { ...container, netns, ifName, conf }), wanted)
      }
      refused(t, await host.cni('DEL', { ...container, netns, conf }), wanted)
    }
    await nothingLeft(t, host, [name], ['eth0', 'eth1'])
    t.same((await host.links()).sort(), ['eth0', 'eth1'], 'foreign interfaces are still there')
  })
}

t.test('D13 DEL with the own namespace: code 8 unless overridden', async (t) => {
  const host = newHost(t)
  const conf = netconf(host)
  for (const value of ['1', 'true', 'TRUE', 'True']) {
    const env = { CNI_NETNS_OVERRIDE: value }
    silent(t, await host.cni('DEL', { netns: host.path, env, conf }))
  }
  for (const value of ['0', 'yes', '']) {
    const env = { CNI_NETNS_OVERRIDE: value }
    refused(t, await host.cni('DEL', { netns: host.path, env, conf }), { code: 8 })
  }
})

t.test('ADD into the own namespace works if overridden', async (t) => {
  const host = newHost(t)
  const env = { CNI_NETNS_OVERRIDE: '1' }
  const call = { ...newContainer(host), netns: host.path, env, conf: netconf(host) }
  const result = added(t, await host.cni('ADD', call))
  t.same((await host.links()).sort(), ['eth0', result.interfaces?.[0]?.name].sort())
  silent(t, await host.cni('DEL', call))
  await nothingLeft(t, host, [])
})
