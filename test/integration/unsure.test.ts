/** What cannot be told is not taken for gone; what is not understood is refused before anything is done. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Netns, openIfSame } from '../../src/netns/netns.ts'
import { added, refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { FakeIpam } from './rig/cni/ipam.ts'
import { type CniResult, type Host, newHost, PLUGIN, REFERENCE_PLUGINS } from './rig/host.ts'
import { complaint, ends, linkProblems, linkStage } from './rig/link-stage.ts'
import { linkConf } from './rig/modes.ts'
import { addressesOf, leases, linkNamed, look, residue } from './rig/snapshot.ts'
import type { Stage } from './rig/stage.ts'

t.test('openIfSame: only what is surely gone counts as gone', async (t) => {
  const host = newHost(t)
  const box = host.netns('box')
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const netns = Netns.at(box.path)
  const { cookie } = netns
  netns.close()
  const same = openIfSame(box.path, cookie)
  t.equal(same?.cookie, cookie, 'the same')
  same?.close()
  t.equal(openIfSame(box.path, '1'), undefined, 'another namespace at the path')
  t.equal(openIfSame(`${box.path}-not`, cookie), undefined, 'ENOENT')
  t.equal(openIfSame(`${box.path}/not`, cookie), undefined, 'ENOTDIR')
  writeFileSync(join(dir, 'file'), '')
  t.equal(openIfSame(join(dir, 'file'), cookie), undefined, 'an ordinary file')
  t.equal(openIfSame('', cookie), undefined, 'no path')
  symlinkSync('loop', join(dir, 'loop'))
  t.throws(() => openIfSame(join(dir, 'loop'), cookie), { name: 'NetnsError' }, 'ELOOP')
  t.throws(() => openIfSame(`/run/netns/${'x'.repeat(300)}`, cookie), { name: 'NetnsError' }, 'ENAMETOOLONG')
})

/** Calls the plugin with a limit on the number of descriptors: its own, so that no agent can help. */
function limited(stage: Stage, command: string, descriptors: number): Promise<CniResult> {
  const { host } = stage
  const { conf, containerID, args = '' } = stage.attachment('r2')
  const script = `#!/bin/sh\nulimit -c 0; ulimit -n ${descriptors}\nexec ${PLUGIN}\n`
  const plugin = join(host.fakePlugin('limited', script), 'limited')
  const env = { NUGATOR_AGENT_SOCKET: '' }
  const call = { conf, containerID, args, netns: stage.pathOf('r2'), plugin, env }
  return host.cni(command, call)
}

for (const command of ['ADD', 'DEL']) {
  t.test(`${command} short of descriptors: the other container keeps its interface`, async (t) => {
    const stage = linkStage(t)
    t.same(complaint('ADD', await stage.add('r1')), [])
    const { name } = stage.netns('r1')
    let [failed, done] = [0, 0]
    // From what Node can hardly start with to what is enough.
    for (let descriptors = 14; done < 3; descriptors++) {
      if (descriptors > 100) throw new Error('it never succeeds')
      const before = (await ends(stage)).get('r1')?.ifindex
      await stage.host.exec('ip', ['route', 'replace', '10.77.0.0/16', 'dev', 'eth0'], name)
      if (command === 'DEL') t.same(complaint('ADD', await stage.add('r2')), [])
      const { code, stdout, stderr } = await limited(stage, command, descriptors)
      if (code === 0) done++
      else failed++
      const said = `${stdout}${stderr}`.slice(0, 300)
      const now = (await ends(stage)).get('r1')?.ifindex
      t.equal(now, before, `${descriptors} descriptors: the same interface (${code}: ${said})`)
      const routes = now === undefined ? '' : await stage.host.exec('ip', ['route'], name)
      t.match(routes, '10.77.0.0/16 dev eth0', 'what others added to it is there')
      t.same(complaint('DEL', await stage.del('r2')), [])
      t.same(await linkProblems(stage, ['r1']), [])
    }
    t.ok(failed > 0, `${failed} calls failed`)
    t.same(complaint('DEL', await stage.del('r1')), [])
    t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
  })
}

/** An ADD that is refused and leaves nothing. */
async function refusedWhole(
  t: Test,
  host: Host,
  call: { stdin: string } | { conf: unknown; args?: string },
  wanted: Parameters<typeof refused>[2],
): Promise<CniResult> {
  const { name, ...container } = newContainer(host)
  const done = await host.cni('ADD', { ...container, ...call })
  refused(t, done, wanted)
  await nothingLeft(t, host, [name])
  return done
}

t.test('link mode at 0.2.0: an end without addresses could not be told', async (t) => {
  const ends = { r1: {}, r2: { addresses: [{ address: '10.1.0.2/30' }] } }
  const conf = linkConf({ cniVersion: '0.2.0', link: { name: 'wire', ends } })
  await refusedWhole(t, newHost(t), { conf, args: 'END=r1' }, { code: 999, details: /0\.2\.0/ })
})

t.test('a byte order mark is no JSON', async (t) => {
  const host = newHost(t)
  await refusedWhole(t, host, { stdin: `\ufeff${JSON.stringify(netconf(host))}` }, { code: 6 })
})

t.test('an IPAM type that no file can be called', async (t) => {
  const host = newHost(t)
  const conf = netconf(host, { ipam: { type: 'x'.repeat(300) } })
  await refusedWhole(t, host, { conf }, { code: 999, msg: /failed to find plugin/ })
})

t.test('CNI_ARGS MAC= that is none', async (t) => {
  const host = newHost(t)
  const wanted = { code: 4, msg: /MAC/ }
  await refusedWhole(t, host, { conf: netconf(host), args: 'IgnoreUnknown=1;MAC=zz' }, wanted)
})

t.test('texts of errors are cut', async (t) => {
  const host = newHost(t)
  const long = 'y'.repeat(100_000)
  const ipam = new FakeIpam(host).reply('ADD', { stdout: { code: 77, msg: long, details: long }, code: 1 })
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipam: { type: ipam.type } })
  const done = await host.cni('ADD', { ...container, conf, path: ipam.path })
  refused(t, done, { code: 77 })
  t.equal(done.json.msg.length, 4096)
  t.equal(done.json.details.length, 4096)
  silent(t, await host.cni('DEL', { ...container, conf, path: ipam.path }))
  await nothingLeft(t, host, [name])
  host.deleteNetns(name)
  const unfound = netconf(host, { ipam: { type: long } })
  const { json } = await refusedWhole(t, host, { conf: unfound }, { code: 999 })
  t.equal(json.msg.length, 4096)
})

t.test('ifName: a chain of two gets two leases', async (t) => {
  const host = newHost(t)
  const ipam = hostLocal(host, ['10.1.2.0/24'], { routes: [] })
  const first = await attach(t, host, { ipam })
  const second = { ...first.conf, ifName: 'net1', ipam: hostLocal(host, ['10.1.2.0/24'], { routes: [] }) }
  const withGateway = { ...second, name: 'net1', prevResult: first.result }
  added(t, await host.cni('ADD', { ...first.call, conf: withGateway }))
  const { links } = await look(first.netns.name)
  const addresses = links.filter(({ ifname }) => ifname !== 'lo').flatMap(addressesOf)
  t.same(addresses.sort(), ['10.1.2.2/24', '10.1.2.3/24'])
  t.same(leases(host), ['10.1.2.2', '10.1.2.3'])
  silent(t, await host.cni('DEL', { ...first.call, conf: withGateway }))
  t.same(leases(host), ['10.1.2.2'], 'the second lease is given back')
  silent(t, await first.later('DEL'))
  await nothingLeft(t, host, [first.netns.name])
})

t.test('IPAM hears the name that the interface has', async (t) => {
  const host = newHost(t)
  const ipam = new FakeIpam(host)
  const over = { path: ipam.path, ifName: 'eth0' }
  const { netns, later } = await attach(t, host, { ifName: 'net7', ipam: { type: ipam.type } }, over)
  t.ok(linkNamed(await look(netns.name), 'net7'))
  silent(t, await later('CHECK'))
  silent(t, await later('DEL'))
  t.same(ipam.calls(), ['ADD ctr1 net7', 'CHECK ctr1 net7', 'DEL ctr1 net7'])
  await nothingLeft(t, host, [netns.name])
})

t.test('stdin is a pipe that does not block and is empty at first', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host)
  const file = join(host.dir, 'netconf.json')
  writeFileSync(file, JSON.stringify(conf))
  // dd leaves its stdin, which is the plugin's as well, as it was told to set it.
  const script = `#!/bin/sh
{ sleep 0.5; cat ${file}; } | { dd iflag=nonblock count=0 2>/dev/null; exec ${PLUGIN}; }
`
  const plugin = join(host.fakePlugin('late', script), 'late')
  added(t, await host.cni('ADD', { ...container, plugin, path: REFERENCE_PLUGINS }))
  silent(t, await host.cni('DEL', { ...container, plugin, path: REFERENCE_PLUGINS }))
  await nothingLeft(t, host, [name])
})
