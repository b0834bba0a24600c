/** The units and what keeps network managers away: what must be in them, what must not, and that systemd takes them. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, matchesGlob, resolve } from 'node:path'
import { test } from 'tap'
import { socketPath } from '../../src/agent/agent.ts'
import { newLinkRecord } from '../../src/koko/link-record.ts'
import { hostIfNameOf, keyOf } from '../../src/koko/marks.ts'
import { Netns } from '../../src/netns/netns.ts'

const PACKAGING = resolve(import.meta.dirname, '../../packaging')

interface Setting {
  readonly section: string
  readonly key: string
  readonly value: string
}

function settingsOf(name: string): Setting[] {
  let section = ''
  return readFileSync(join(PACKAGING, name), 'utf8')
    .split('\n')
    .flatMap((line) => {
      section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section
      const [, key, value] = /^([\w-]+)\+?=(.*)$/.exec(line) ?? []
      return line.startsWith('#') || key === undefined || value === undefined ? [] : [{ section, key, value }]
    })
}

function settingOf(name: string, key: string): string | undefined {
  return settingsOf(name).find((setting) => setting.key === key)?.value
}

/** What gives a service mounts of its own, by systemd.exec(5) and needs_mount_namespace of systemd's execute.c. */
const MOUNT_NAMESPACE =
  /^(Root(Directory|Image|Ephemeral|Hash|Verity).*|MountImages|Extension(Images|Directories)|Bind(ReadOnly)?Paths|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)Paths|TemporaryFileSystem|Mount(Flags|APIVFS)|Private(Tmp|Devices|Mounts|IPC|Network|Users|PIDs)|(IPC|Network)NamespacePath|Protect(System|Home|Proc|ControlGroups|Kernel\w+|Hostname)|ProcSubset|DynamicUser|LogNamespace|(Load|Set|Import)Credential.*|BindLogSockets|JoinsNamespaceOf)$/

test('the service keeps the mounts that its callers see, and may do what it has to', async (t) => {
  const settings = settingsOf('nugator.service')
  t.ok(settings.length > 20, 'it was read')
  t.same(
    settings.filter(({ key }) => MOUNT_NAMESPACE.test(key)),
    [],
    'nothing gives it mounts of its own',
  )
  for (const key of [
    'ProtectSystem',
    'PrivateTmp',
    'ProtectHome',
    'ReadWritePaths',
    'ProtectKernelModules',
    'PrivateDevices',
  ])
    t.match(key, MOUNT_NAMESPACE, `${key} would have been seen`)
  const keys = settings.map(({ key }) => key)
  t.notOk(keys.includes('MemoryDenyWriteExecute'), 'V8 compiles')
  t.notOk(keys.includes('RestrictNamespaces'), 'it enters namespaces')
  for (const key of ['User', 'Group', 'UMask']) t.notOk(keys.includes(key), `${key} is as in the cold path`)
})

test('the service is hardened as far as it can be', async (t) => {
  const service = Object.fromEntries(settingsOf('nugator.service').map(({ key, value }) => [key, value]))
  t.match(service, {
    Type: 'notify',
    NotifyAccess: 'main',
    ExecStart: '/opt/cni/bin/nugator.d/cold agent',
    Restart: 'on-failure',
    KillMode: 'mixed',
    RuntimeDirectory: 'nugator',
    RuntimeDirectoryMode: '0700',
    RuntimeDirectoryPreserve: 'yes',
    NoNewPrivileges: 'yes',
    LockPersonality: 'yes',
    RestrictRealtime: 'yes',
    RestrictSUIDSGID: 'yes',
    SystemCallArchitectures: 'native',
  })
  const capabilities = (service.CapabilityBoundingSet ?? '').split(' ')
  t.notMatch(capabilities.join(' '), /[~\n]/, 'a list of what it has')
  for (const capability of ['CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_BOOT', 'CAP_SETUID', 'CAP_MKNOD'])
    t.notOk(capabilities.includes(capability), `not ${capability}`)
  t.match(service.SystemCallFilter, /^@system-service @mount\b/)
  t.notMatch(service.SystemCallFilter, /@(module|reboot|raw-io|swap|debug|privileged)/)
})

test('the socket is where clients look, and root’s alone', async (t) => {
  t.match(Object.fromEntries(settingsOf('nugator.socket').map(({ key, value }) => [key, value])), {
    ListenStream: socketPath({}),
    SocketMode: '0600',
    DirectoryMode: '0700',
    RemoveOnStop: 'yes',
    WantedBy: 'sockets.target',
  })
})

test('systemd takes the units without a complaint', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const name of ['nugator.service', 'nugator.socket']) {
    const text = readFileSync(join(PACKAGING, name), 'utf8')
    writeFileSync(join(dir, name), text.replace('/opt/cni/bin/nugator.d/cold', process.execPath))
  }
  const analyze = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', args, {
      cwd: dir,
      encoding: 'utf8',
      env: { ...process.env, SYSTEMD_UNIT_PATH: `${dir}:` },
    })
    return { status, text: stdout + stderr }
  }
  t.same(analyze('verify', '--man=no', './nugator.socket', './nugator.service'), { status: 0, text: '' })
  // Of 10.0; all but the first points are for what a service of this kind has to have.
  const { status, text } = analyze(
    'security',
    '--offline=true',
    '--no-pager',
    '--threshold=60',
    './nugator.service',
  )
  t.equal(status, 0, text)
})

const IF_NAME_MAX = 15

/** Separated by `;` for NetworkManager, by a space for systemd. */
function patternsOf(name: string, key: string): string[] {
  return (settingOf(name, key) ?? '').split(/[ ;]/).map((pattern) => pattern.replace('interface-name:', ''))
}

test('network managers know the interfaces that nugator makes on a host', async (t) => {
  const host = Netns.own()
  t.teardown(() => host.close())
  const link = newLinkRecord(host, { network: 'net', name: 'r1-r2' }, null, [undefined, undefined], 1500)
  const own = [
    hostIfNameOf(keyOf('attachment', 'net', 'ctr1', 'eth0'), 0),
    hostIfNameOf(keyOf('attachment', 'net', 'ctr1', 'eth0'), 3),
    ...link.ends.map(({ parkedName }) => parkedName),
  ]
  const foreign = ['eth0', 'lo', 'veth0', 'vethernet', 'veth-uplink', 've-machine', 'docker0']
  for (const [file, key] of [
    ['10-nugator.link', 'OriginalName'],
    ['10-nugator.network', 'Name'],
    ['10-nugator.conf', 'unmanaged-devices'],
  ] as const) {
    const patterns = patternsOf(file, key)
    t.same(
      patterns.filter((pattern) => pattern.length > IF_NAME_MAX || /[^\w?*]/.test(pattern)),
      [],
      `${file}: udev ignores what is longer, NetworkManager knows no [0-9]`,
    )
    const known = (name: string) => patterns.some((pattern) => matchesGlob(name, pattern))
    for (const name of own) t.ok(known(name), `${file} knows ${name}`)
    for (const name of foreign) t.notOk(known(name), `${file} leaves ${name} alone`)
  }
  t.equal(settingOf('10-nugator.link', 'MACAddressPolicy'), 'none')
  t.equal(settingOf('10-nugator.network', 'Unmanaged'), 'yes')
})
