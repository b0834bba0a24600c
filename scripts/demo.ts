/**
 * The main job, shown: nugator is exec'd as a container runtime execs it, and wires namespaces that stand in for
 * containers. Nothing here touches the machine's own network: a third namespace plays the host.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const PLUGIN = resolve(import.meta.dirname, '../dist/bin/nugator')
const HOST = 'nugator-demo-host'
const WEB = 'nugator-demo-web'
const DB = 'nugator-demo-db'
const STATE = mkdtempSync(join(tmpdir(), 'nugator-demo-'))

const colour = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code: string, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
const title = (text: string) =>
  console.log(`\n${paint('1;36', `── ${text} `)}${paint('36', '─'.repeat(Math.max(0, 74 - text.length)))}`)
const say = (text: string) => console.log(text)
const command = (text: string) => console.log(`${paint('2', '$')} ${paint('1', text)}`)
const indented = (text: string) => console.log(text.trimEnd().replace(/^/gm, '    '))

let failures = 0
function expect(what: string, ok: boolean): void {
  if (!ok) failures += 1
  console.log(`${ok ? paint('32', '  ✓') : paint('31', '  ✗')} ${what}`)
}

function run(file: string, args: readonly string[], input?: string, env?: NodeJS.ProcessEnv) {
  const done = spawnSync(file, args, { encoding: 'utf8', input, env: env ?? process.env })
  if (done.error) throw done.error
  return done
}

function must(file: string, ...args: string[]): void {
  const done = run(file, args)
  if (done.status !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr}`)
}

interface Container {
  readonly name: string
  readonly id: string
}

/** Execs the plugin as a runtime does: the call in the environment, the configuration on stdin. */
function cni(verb: string, { name, id }: Container, conf: object): string {
  command(
    `CNI_COMMAND=${verb} CNI_CONTAINERID=${id} CNI_NETNS=/run/netns/${name} CNI_IFNAME=eth0 nugator < conf`,
  )
  const env = {
    PATH: process.env.PATH,
    CNI_COMMAND: verb,
    CNI_CONTAINERID: id,
    CNI_NETNS: `/run/netns/${name}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    NUGATOR_STATE_DIR: `${STATE}/state`,
    NUGATOR_RUN_DIR: `${STATE}/run`,
  }
  const started = performance.now()
  const done = run('nsenter', [`--net=/run/netns/${HOST}`, PLUGIN], JSON.stringify(conf), env)
  const took = (performance.now() - started).toFixed(0)
  if (done.stdout !== '') indented(done.stdout)
  if (done.stderr !== '') indented(done.stderr)
  expect(`${verb} of ${id}: exit status ${done.status}, ${took} ms`, done.status === 0)
  return done.stdout
}

function ping(from: string, to: string): void {
  const family = to.includes(':') ? ['-6'] : []
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((file) => existsSync(file))
  const [file = 'ping', ...first] = [
    ...(busybox ? [busybox] : []),
    'ping',
    ...family,
    '-c',
    '1',
    '-W',
    '2',
    to,
  ]
  const done = run('nsenter', [`--net=/run/netns/${from}`, file, ...first])
  expect(`ping ${to} from ${from.replace('nugator-demo-', '')}`, done.status === 0)
}

function nothingLeft(): void {
  const links = (netns: string) =>
    run('ip', ['-n', netns, '-br', 'link'])
      .stdout.split('\n')
      .filter((line) => line !== '' && !line.startsWith('lo '))
  for (const netns of [HOST, WEB, DB]) expect(`no interface left in ${netns}`, links(netns).length === 0)
  const files = existsSync(STATE) ? readdirSync(STATE, { recursive: true, withFileTypes: true }) : []
  expect(
    'no record left',
    files.every((entry) => entry.isDirectory() || entry.name === 'lock'), // of locks there is one file, always empty
  )
}

const web: Container = { name: WEB, id: 'web' }
const db: Container = { name: DB, id: 'db' }

function hostMode(): void {
  title('1  A container in front of the host')
  const conf = {
    cniVersion: '1.1.0',
    name: 'demo-host',
    type: 'nugator',
    addresses: [
      { address: '10.88.0.2/24', gateway: '10.88.0.1' },
      { address: 'fd00:88::2/64', gateway: 'fd00:88::1' },
    ],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  }
  say('The network configuration:')
  indented(JSON.stringify(conf, null, 2))
  const result: unknown = JSON.parse(cni('ADD', web, conf))
  ping(WEB, '10.88.0.1')
  ping(HOST, '10.88.0.2')
  ping(WEB, 'fd00:88::1')
  cni('CHECK', web, { ...conf, prevResult: result })
  cni('DEL', web, conf)
  nothingLeft()
}

function linkMode(): void {
  title('2  Two containers on one wire')
  say('They meet by the name of the link, whoever comes first. No bridge: what one sends, the other gets.')
  const conf = {
    cniVersion: '1.1.0',
    name: 'demo-link',
    type: 'nugator',
    mtu: 9000,
    link: {
      name: 'web-db',
      ends: {
        web: { addresses: [{ address: '10.99.0.1/30' }, { address: 'fd00:99::1/64' }] },
        db: { addresses: [{ address: '10.99.0.2/30' }, { address: 'fd00:99::2/64' }] },
      },
    },
  }
  indented(JSON.stringify(conf, null, 2))
  const result: unknown = JSON.parse(cni('ADD', web, conf))
  cni('ADD', db, conf)
  ping(WEB, '10.99.0.2')
  ping(DB, '10.99.0.1')
  ping(WEB, 'fd00:99::2')
  cni('CHECK', web, { ...conf, prevResult: result })
  say('One goes; the other keeps its interface and address, and waits:')
  cni('DEL', db, conf)
  indented(run('ip', ['-n', WEB, '-br', 'address', 'show', 'eth0']).stdout)
  say('It comes back:')
  cni('ADD', db, conf)
  ping(WEB, '10.99.0.2')
  cni('DEL', web, conf)
  cni('DEL', db, conf)
  nothingLeft()
}

function cleanUp(): void {
  for (const netns of [WEB, DB, HOST]) run('ip', ['netns', 'del', netns])
  rmSync(STATE, { recursive: true, force: true })
}

if (process.getuid?.() !== 0) {
  console.error('nugator works on network namespaces: run the demo as root')
  process.exit(1)
}
process.once('SIGINT', () => {
  cleanUp()
  process.exit(130)
})
cleanUp()
try {
  title('nugator: plugs containers together with wires')
  say('Two network namespaces stand in for containers, a third for the host.')
  for (const netns of [HOST, WEB, DB]) {
    command(`ip netns add ${netns}`)
    must('ip', 'netns', 'add', netns)
    must('ip', '-n', netns, 'link', 'set', 'lo', 'up')
  }
  hostMode()
  linkMode()
} finally {
  cleanUp()
}
title(failures === 0 ? 'Done: everything worked, nothing is left' : `${failures} of the steps failed`)
if (failures === 0) say('Next: README.md has a netconf to try, docs/netconf.md every key.')
process.exitCode = failures === 0 ? 0 : 1
