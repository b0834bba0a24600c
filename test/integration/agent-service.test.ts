/** The agent as its service: a real systemd, the installed units, and every mode in their sandbox. */
import { appendFileSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { PLUGIN } from './rig/host.ts'
import { Place } from './rig/installed.ts'
import { type Conf, linkConf, peerConf } from './rig/modes.ts'
import { InstalledService } from './rig/service.ts'

const INSTALLED = '/opt/cni/bin/nugator'
const SERVICE = resolve(import.meta.dirname, '../../packaging/nugator.service')

/** linux/capability.h */
const BITS: Readonly<Record<string, number>> = {
  CAP_DAC_OVERRIDE: 1,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
}

/** Leases from the real host-local, which the agent execs. */
function hostConf(more: Conf = {}): Conf {
  const ipam = {
    type: 'host-local',
    exec: true,
    dataDir: '/run/leases',
    ranges: [[{ subnet: '10.88.0.0/16' }]],
  }
  return { cniVersion: '1.0.0', name: 'hostnet', type: 'nugator', ipam, ...more }
}

async function life(t: Test, service: InstalledService, label: string, conf: Conf): Promise<void> {
  for (const verb of ['ADD', 'CHECK', 'DEL']) await service.cni(t, verb, label, conf)
}

t.test('every mode works in the sandbox of the service, through the agent', async (t) => {
  const service = await InstalledService.start(t, 'a', 'b')
  const { systemd } = service
  t.equal(await service.property('ActiveState'), 'inactive', 'the agent starts with the first call')
  for (const ipMasqBackend of ['nftables', 'iptables']) {
    await life(t, service, 'a', hostConf({ ipMasq: true, ipMasqBackend }))
  }
  t.equal(await service.property('ActiveState'), 'active')

  // A container's process, with all capabilities.
  const { name, path } = service.container('b')
  const sleep = ['nsenter', `--net=${path}`, 'sleep', 'infinity']
  await systemd.ask('systemd-run', '--unit=ctr-b', ...sleep)
  const pid = await systemd.ask('systemctl', 'show', '--value', '--property=MainPID', 'ctr-b.service')
  for (const peer of [path, name, `netns:${name}`, `pid:${pid}`]) {
    await life(t, service, 'a', { ...peerConf(peer), cniVersion: '1.0.0' })
  }

  const link = { ...linkConf(), cniVersion: '1.0.0' }
  const as = (end: string) => ({ ...link, args: { cni: { end } } })
  await service.cni(t, 'ADD', 'a', as('r1'))
  await service.cni(t, 'ADD', 'b', as('r2'))
  await service.cni(t, 'CHECK', 'a', as('r1'))
  await service.cni(t, 'DEL', 'a', as('r1'))
  await service.cni(t, 'DEL', 'b', as('r2'))
  await service.cni(t, 'STATUS', 'a', { ...hostConf(), cniVersion: '1.1.0' })
  await service.cni(t, 'GC', 'a', { ...linkConf(), cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] })

  const { refused, verbs } = await service.status()
  t.equal(refused, 0, 'nothing was sent back to be done cold')
  t.match(verbs, {
    ADD: { count: 8, failed: 0 },
    CHECK: { count: 7, failed: 0 },
    DEL: { count: 8, failed: 0 },
    STATUS: { count: 1, failed: 0 },
    GC: { count: 1, failed: 0 },
  })
  t.equal(await systemd.ask('ip', '-br', 'link', 'show', 'type', 'veth'), '', 'and nothing is left')
})

t.test('the agent has what the unit gives, the mounts of all, and a socket for root', async (t) => {
  const service = await InstalledService.start(t, 'a')
  const { systemd } = service
  await life(t, service, 'a', peerConf(service.container('a').path, { cniVersion: '1.0.0' }))
  const pid = await service.property('MainPID')
  const status = await systemd.ask('cat', `/proc/${pid}/status`)
  const list = /^CapabilityBoundingSet=(.*)$/m.exec(readFileSync(SERVICE, 'utf8'))?.[1] ?? ''
  const bits = list.split(' ').reduce((sum, name) => sum | (1n << BigInt(BITS[name] ?? 63)), 0n)
  for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
    t.match(status, new RegExp(`^${set}:\\s*0*${bits.toString(16)}$`, 'm'), `${set} is the unit’s`)
  t.match(status, /^NoNewPrivs:\s*1$/m)
  t.match(status, /^Seccomp:\s*2$/m)
  t.equal(
    await systemd.ask('readlink', `/proc/${pid}/ns/mnt`),
    await systemd.ask('readlink', '/proc/1/ns/mnt'),
  )
  t.equal(
    await systemd.ask('stat', '--format=%a %U %F', '/run/nugator', '/run/nugator/agent.sock'),
    '700 root directory\n600 root socket',
  )
  const denied = await systemd.run('setpriv', '--reuid=65534', '--clear-groups', INSTALLED, 'agent', 'status')
  t.match(denied, { code: 1, stderr: /EACCES/ }, 'nobody else can talk to it')
})

t.test('it comes back when it dies, and is gone without a trace when it is stopped', async (t) => {
  const service = await InstalledService.start(t, 'a')
  const { systemd } = service
  const conf = peerConf(service.container('a').path, { cniVersion: '1.0.0' })
  await life(t, service, 'a', conf)
  const { pid } = await service.status()
  await systemd.ask('systemctl', 'kill', '--signal=KILL', 'nugator.service')
  await life(t, service, 'a', conf)
  const again = await service.status()
  t.not(again.pid, pid, 'another process')
  t.match(again.verbs, { ADD: { count: 1, failed: 0 }, DEL: { count: 1, failed: 0 } }, 'did the work')
  await systemd.ask('systemctl', 'stop', 'nugator.socket', 'nugator.service')
  t.equal((await systemd.run('test', '-e', '/run/nugator/agent.sock')).code, 1, 'the socket is gone')
  t.equal((await systemd.run('test', '-d', '/run/nugator')).code, 0, 'the locks are not')
  await life(t, service, 'a', conf)
  t.equal(await service.property('ActiveState'), 'inactive', 'that was cold')
})

for (const [what, start] of [
  ['dies', 'ExecStart=/bin/false'],
  ['hangs', 'ExecStart=/bin/sleep infinity\nTimeoutStartSec=1'],
] as const) {
  t.test(
    `an agent that ${what} at every start keeps nobody waiting for good; an install revives it`,
    async (t) => {
      const service = await InstalledService.start(t, 'a')
      const { systemd } = service
      const conf = peerConf(service.container('a').path, { cniVersion: '1.0.0' })
      const dir = '/etc/systemd/system/nugator.service.d'
      await systemd.ask('mkdir', dir)
      const write = 'printf "[Service]\nExecStart=\n%s\n" "$1" >"$0"; systemctl daemon-reload'
      await systemd.ask('sh', '-c', write, `${dir}/broken.conf`, start)
      const begun = performance.now()
      await life(t, service, 'a', conf)
      const took = performance.now() - begun
      t.ok(took < 30_000, `it was done cold after ${Math.round(took)} ms`)
      t.equal((await systemd.run('test', '-e', '/run/nugator/agent.sock')).code, 1, 'the socket is gone')
      await systemd.ask('rm', '-r', dir)
      const again = await systemd.run(PLUGIN, 'install')
      t.match(again, {
        code: 0,
        stdout: /\nran systemctl reset-failed nugator\.service\nran systemctl enable --now /,
      })
      await life(t, service, 'a', conf)
      t.match(await service.status(), { refused: 0, verbs: { ADD: { count: 1, failed: 0 } } })
    },
  )
}

t.test('an upgrade restarts the agent, a second install does not', async (t) => {
  const service = await InstalledService.start(t, 'a')
  const { systemd } = service
  const conf = peerConf(service.container('a').path, { cniVersion: '1.0.0' })
  await life(t, service, 'a', conf)
  const before = await service.status()
  const same = await systemd.run(PLUGIN, 'install')
  t.match(same, { code: 0, stdout: /\nalready there: nugator\.socket \(enabled and active\)\n$/ })
  t.notMatch(same.stdout, /^ran /m)
  t.equal((await service.status()).pid, before.pid, 'it is still the same')

  const newer = new Place(t).copyOfBuild('newer')
  appendFileSync(join(dirname(newer), 'nugator.d/LICENSES.txt'), '\n')
  const would = await systemd.run(newer, 'install', '--dry-run')
  t.match(would.stdout, /^would run systemctl try-restart nugator\.service$/m)
  t.equal((await service.status()).pid, before.pid, 'a dry run leaves it')
  t.match((await systemd.run(newer, 'install')).stdout, /^ran systemctl try-restart nugator\.service$/m)
  t.not((await service.status()).pid, before.pid, 'it was restarted')
  await life(t, service, 'a', conf)
  t.match(await service.status(), { verbs: { ADD: { count: 1, failed: 0 } }, refused: 0 })

  appendFileSync(join(dirname(newer), 'nugator.d/host/nugator.socket'), '# newer\n')
  const units = await systemd.run(newer, 'install')
  t.match(
    units.stdout,
    /\nran systemctl daemon-reload\n(.*\n)*ran systemctl try-restart nugator\.socket nugator\.service\n$/,
  )
  t.equal(await systemd.ask('systemctl', 'is-active', 'nugator.socket'), 'active')
  await life(t, service, 'a', conf)
})

t.test('uninstall stops it and takes all away, but not the records', async (t) => {
  const service = await InstalledService.start(t, 'a')
  const { systemd } = service
  const conf = peerConf(service.container('a').path, { cniVersion: '1.0.0' })
  await service.cni(t, 'ADD', 'a', conf)
  const pid = await service.property('MainPID')
  const done = await systemd.run(INSTALLED, 'uninstall')
  t.match(done, { code: 0, stderr: '' }, 'uninstall')
  t.match(done.stdout, /^ran systemctl disable --now nugator\.socket nugator\.service$/m)
  t.match(done.stdout, /^left: \/var\/lib\/cni\/nugator\/ \(records; attachments that stand: 1, .*\)$/m)
  t.equal((await systemd.run('test', '-e', `/proc/${pid}`)).code, 1, 'the agent is gone')
  t.match(await systemd.run('systemctl', 'is-active', 'nugator.socket'), { stdout: 'inactive\n' })
  t.equal(await systemd.ask('find', '/opt', '/etc/systemd', '-mindepth', '1'), '/etc/systemd/system')
  const forgotten = await systemd.run('systemctl', 'list-unit-files', '--no-legend', 'nugator*')
  t.equal(forgotten.stdout, '', 'systemd forgot it')
  t.equal((await systemd.run(PLUGIN, 'install')).code, 0)
  await service.cni(t, 'DEL', 'a', conf)
  t.match(await systemd.run(INSTALLED, 'uninstall'), {
    code: 0,
    stdout: /\nleft: \/var\/lib\/cni\/nugator\/ \(records\)\n$/,
  })
})

t.test('systemd-networkd leaves the interfaces of nugator alone', async (t) => {
  const service = await InstalledService.start(t, 'a', 'b')
  const { systemd } = service
  const greedy = '[Match]\nName=veth*\n[Link]\nMTUBytes=1300\n[Network]\nAddress=192.0.2.1/24\n'
  await systemd.ask('sh', '-c', 'printf %s "$1" >/etc/systemd/network/50-greedy.network', 'sh', greedy)
  // Where /sys cannot be written networkd does not wait for udev, which is not here.
  await systemd.ask('mount', '-o', 'remount,bind,ro', '/sys')
  await systemd.ask('systemd-run', '--unit=networkd', '/lib/systemd/systemd-networkd')
  await service.cni(t, 'ADD', 'a', hostConf())
  const link = { ...linkConf({ args: { cni: { end: 'r1' } } }), cniVersion: '1.0.0' }
  await service.cni(t, 'ADD', 'b', link)
  await systemd.ask('ip', 'link', 'add', 'vethforeign', 'type', 'veth', 'peer', 'name', 'vethother')
  const states = async () => {
    const links: { ifname: string; ifindex: number }[] = JSON.parse(await systemd.ask('ip', '-j', 'link'))
    const states = links.map(async ({ ifname, ifindex }) => {
      const { stdout } = await systemd.run('cat', `/run/systemd/netif/links/${ifindex}`)
      return [ifname, /^ADMIN_STATE=(\w+)$/m.exec(stdout)?.[1]]
    })
    return Object.fromEntries(await Promise.all(states))
  }
  const start = performance.now()
  let seen = await states()
  while (!['configured', 'configuring'].includes(seen.vethforeign) && performance.now() - start < 20_000) {
    await pause(100)
    seen = await states()
  }
  t.match(seen.vethforeign, /^configur/, 'it takes what it is told to')
  const own = Object.entries(seen).filter(([name]) => /^vethp?[0-9a-f]{8}/.test(name))
  t.equal(own.length, 2, 'the host’s end of one container, and the end that waits for another')
  for (const [name, state] of own) t.equal(state, 'unmanaged', name)
  t.notMatch(await systemd.ask('ip', '-br', 'address', 'show', 'up'), /^veth[0-9a-f]{8}@.*192\.0\.2\.1/m)
  await service.cni(t, 'DEL', 'a', hostConf())
  await service.cni(t, 'DEL', 'b', link)
})
