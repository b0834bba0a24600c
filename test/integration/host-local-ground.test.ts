/** Our host-local on bad ground: full and read-only disks, things that are no leases, directories that are none. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { type Ask, askOurs, askReal, scratch, Twins } from './rig/host-local.ts'
import { newTmpfs, remount } from './rig/host-local-ground.ts'

type Step = Omit<Ask, 'conf'>

const ranges = [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/125' }]]
const netconf = (dataDir: string, more: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'net1',
  ipam: { type: 'host-local', dataDir, ranges, ...more },
})
const add = (containerID: string): Step => ({ verb: 'ADD', containerID })
const del = (containerID: string): Step => ({ verb: 'DEL', containerID })
const check = (containerID: string): Step => ({ verb: 'CHECK', containerID })

/** Both do each step, and answer and leave the same. */
async function alike(t: Test, twins: Twins, steps: readonly Step[], more: object = {}): Promise<string[]> {
  const said: string[] = []
  for (const step of steps) {
    const { real, ours } = await twins.ask(step, (dataDir) => netconf(dataDir, more))
    const says = real.msg ?? real.result?.ips.map(({ address }) => address).join() ?? 'fine'
    t.strictSame(ours, real, `${step.verb} ${step.containerID}: ${says}`)
    said.push(says)
  }
  for (const dataDir of [twins.real, twins.ours]) if (!existsSync(dataDir)) return said
  if (lstatSync(twins.real).isDirectory())
    t.strictSame(twins.files().ours, twins.files().real, 'the same files')
  return said
}

/** Both directories get the same. */
function furnish(twins: Twins, work: (directory: string) => void): void {
  for (const dataDir of [twins.real, twins.ours]) {
    mkdirSync(join(dataDir, 'net1'), { recursive: true })
    work(join(dataDir, 'net1'))
  }
}

t.test('a read-only file system', async (t) => {
  const twins = new Twins(scratch(t))
  for (const at of [twins.real, twins.ours]) newTmpfs(t, at, 'size=1m')
  await alike(t, twins, [add('a'), add('b'), check('a')])
  for (const at of [twins.real, twins.ours]) remount(at, 'ro')
  const said = await alike(t, twins, [
    add('c'),
    add('a'),
    check('a'),
    check('c'),
    del('a'),
    check('a'),
    del('c'),
  ])
  t.match(said[0], /open DIR\/net1\/10\.1\.0\.4: read-only file system/)
  for (const at of [twins.real, twins.ours]) remount(at, 'rw')
  await alike(t, twins, [add('c'), add('d'), add('e'), del('a')])
  for (const at of [twins.real, twins.ours]) remount(at, 'ro')
  await alike(t, twins, [add('f'), add('g')])
})

t.test('all taken on a read-only file system', async (t) => {
  const twins = new Twins(scratch(t))
  const one = { ranges: [[{ subnet: '10.1.0.0/30' }]] }
  for (const at of [twins.real, twins.ours]) newTmpfs(t, at, 'size=1m')
  await alike(t, twins, [add('a')], one)
  for (const at of [twins.real, twins.ours]) remount(at, 'ro')
  const said = await alike(t, twins, [add('b')], one)
  t.match(said[0], /no IP addresses available/)
})

t.test('a network that cannot be made', async (t) => {
  const twins = new Twins(scratch(t))
  for (const at of [twins.real, twins.ours]) newTmpfs(t, at, 'size=1m,ro')
  const said = await alike(t, twins, [add('a'), del('a'), check('a')])
  t.match(said[0], /^mkdir DIR\/net1: read-only file system$/)
})

t.test('no inode left', async (t) => {
  const twins = new Twins(scratch(t))
  for (const at of [twins.real, twins.ours]) newTmpfs(t, at, 'nr_inodes=8')
  // root, net1, lock, two cursors, two leases: one more is for the draft
  await alike(t, twins, [add('a'), check('a')])
  const said = await alike(t, twins, [add('b'), check('b'), del('b'), del('a'), add('b')])
  t.match(said[0], /open DIR\/net1\/fd00::3: no space left on device/)
})

t.test('no space left', async (t) => {
  const twins = new Twins(scratch(t))
  for (const at of [twins.real, twins.ours]) {
    newTmpfs(t, at, 'size=16k') // four pages: one for each of what an ADD writes
    mkdirSync(join(at, 'net1'))
    writeFileSync(join(at, 'net1/last_reserved_ip.0'), '10.1.0.1')
  }
  const said = await alike(t, twins, [
    add('a'),
    check('a'),
    del('a'),
    add('a'),
    add('b'),
    check('b'),
    check('a'),
  ])
  t.match(said[4], /write DIR\/net1\/10\.1\.0\.\d: no space left on device/)
  t.notOk(existsSync(join(twins.ours, 'net1/.nugator')), 'no draft is left')
})

t.test('places that are none', async (t) => {
  const dir = scratch(t)
  let places = 0
  const place = async (name: string, make: (dataDir: string) => void) => {
    places += 1
    const twins = new Twins(dir, `${places}-`)
    for (const dataDir of [twins.real, twins.ours]) make(dataDir)
    const said = await alike(t, twins, [add('a'), check('a'), del('a')])
    t.comment(`${name}: ${said[0]}`)
  }
  await place('dataDir is a file', (dataDir) => writeFileSync(dataDir, ''))
  await place('dataDir is a link to nowhere', (dataDir) => symlinkSync('/nowhere/else', dataDir))
  await place('the network is a file', (dataDir) => {
    mkdirSync(dataDir)
    writeFileSync(join(dataDir, 'net1'), '')
  })
  await place('the network is a link to itself', (dataDir) => {
    mkdirSync(dataDir)
    symlinkSync('net1', join(dataDir, 'net1'))
  })
  await place('the lock is a directory', (dataDir) =>
    mkdirSync(join(dataDir, 'net1/lock'), { recursive: true }),
  )
  await place('the lock is a link to nowhere', (dataDir) => {
    mkdirSync(join(dataDir, 'net1'), { recursive: true })
    symlinkSync('elsewhere', join(dataDir, 'net1/lock'))
  })
  await place('our draft is a directory', (dataDir) => {
    mkdirSync(join(dataDir, 'net1/.nugator/x'), { recursive: true })
  })
  await place('the network is a link to a directory', (dataDir) => {
    mkdirSync(join(dataDir, 'really'), { recursive: true })
    symlinkSync('really', join(dataDir, 'net1'))
  })
})

t.test('odd ways to say where', async (t) => {
  const dir = scratch(t)
  const spellings = [relative(process.cwd(), dir), `${dir}/`, `${dir}//down/..`, `${dir}/new/deep/er`, 'a\0b']
  for (const dataDir of spellings) {
    const conf = netconf(dataDir)
    const outcomes = []
    for (const ask of [askReal, askOurs]) {
      outcomes.push(await ask({ ...add('a'), conf }), readdirSync(dir, { recursive: true }).sort())
      for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
    }
    t.strictSame(outcomes.slice(2), outcomes.slice(0, 2), JSON.stringify(dataDir))
  }
})

t.test('the default directory', async (t) => {
  const there = existsSync('/var/lib/cni/networks')
  if (!there) mkdirSync('/var/lib/cni/networks', { recursive: true })
  const directory = mkdtempSync('/var/lib/cni/networks/ngt-')
  t.teardown(() => rmSync(directory, { recursive: true }))
  const name = directory.slice(directory.lastIndexOf('/') + 1)
  const conf = { cniVersion: '1.0.0', name, ipam: { type: 'host-local', ranges } }
  t.match(await askOurs({ ...add('a'), conf }), { result: { ips: [{ address: '10.1.0.2/29' }] } })
  t.match(await askReal({ ...add('b'), conf }), { result: { ips: [{ address: '10.1.0.3/29' }] } })
})

t.test('things that are no leases', async (t) => {
  const twins = new Twins(scratch(t))
  furnish(twins, (directory) => {
    const elsewhere = join(directory, '..', 'elsewhere')
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'file'), 'a\r\neth0')
    writeFileSync(join(elsewhere, '10.1.0.6'), 'a\r\neth0')
    symlinkSync('../elsewhere/file', join(directory, '10.1.0.5'))
    symlinkSync('../elsewhere', join(directory, 'directory'))
    symlinkSync('nowhere', join(directory, '10.1.0.2'))
    symlinkSync('loop', join(directory, 'loop'))
    mkdirSync(join(directory, 'sub/10.1.0.4'), { recursive: true })
    writeFileSync(join(directory, 'sub/10.1.0.4/10.1.0.3'), 'b\r\neth0')
    writeFileSync(join(directory, 'large'), 'x'.repeat(3_000_000))
    writeFileSync(join(directory, 'binary'), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)))
  })
  await alike(t, twins, [
    check('a'),
    add('a'),
    check('b'),
    add('b'),
    add('c'),
    add('d'),
    del('a'),
    del('b'),
    add('e'),
  ])
})

t.test('what would stop the real one for good', async (t) => {
  const dir = scratch(t)
  const directory = join(dir, 'net1')
  mkdirSync(directory)
  execFileSync('mkfifo', [
    join(directory, 'fifo'),
    join(directory, '10.1.0.2'),
    join(directory, 'last_reserved_ip.0'),
  ])
  symlinkSync('/dev/zero', join(directory, 'endless'))
  symlinkSync(join(directory, 'fifo'), join(directory, 'link'))
  const conf = netconf(dir)
  const begun = performance.now()
  const first = await askOurs({ ...add('a'), conf })
  t.match(first, { code: 999, msg: /open .*\/last_reserved_ip\.0: no such device or address/ })
  rmSync(join(directory, 'last_reserved_ip.0'))
  await askOurs({ ...del('a'), conf })
  t.match(await askOurs({ ...add('a'), conf }), { result: { ips: [{ address: '10.1.0.3/29' }, {}] } })
  t.strictSame(await askOurs({ ...check('a'), conf }), {})
  t.strictSame(await askOurs({ ...del('a'), conf }), {})
  t.match(await askOurs({ ...check('a'), conf }), { code: 999 })
  t.ok(performance.now() - begun < 5000, 'and does not stop ours')
})

t.test('a very long container ID', async (t) => {
  const twins = new Twins(scratch(t))
  const id = 'x'.repeat(100_000)
  await alike(t, twins, [
    add(id),
    add(`${id}y`),
    add('z'),
    check(id),
    del(id),
    check(id),
    check(`${id}y`),
    add(id),
  ])
})

t.test('the directory goes away between calls, and comes back', async (t) => {
  const dir = scratch(t)
  const conf = netconf(dir)
  const lives: string[] = []
  for (let turn = 0; turn < 6; turn += 1) {
    for (const id of ['a', 'b']) {
      const { result } = await askOurs({ ...add(id), conf })
      lives.push(result?.ips[0]?.address ?? 'none')
    }
    if (turn % 2 === 0) rmSync(join(dir, 'net1'), { recursive: true })
    else for (const id of ['a', 'b']) await askOurs({ ...del(id), conf })
  }
  t.equal(lives[0], '10.1.0.2/29')
  t.notOk(lives.includes('none'), lives.join(' '))
  t.strictSame(readdirSync(join(dir, 'net1')).sort(), ['last_reserved_ip.0', 'last_reserved_ip.1', 'lock'])
})

t.test('a lease that is written over in place belongs to whom it says', async (t) => {
  const dir = scratch(t)
  const conf = netconf(dir, { ranges: [[{ subnet: '10.1.0.0/29' }]] })
  for (const id of ['a', 'b', 'c']) await askOurs({ ...add(id), conf })
  const path = join(dir, 'net1/10.1.0.2')
  writeFileSync(path, 'other\r\neth0') // the directory is none the wiser
  t.strictSame(await askOurs({ ...del('a'), conf }), {}, 'a DEL of whose it was')
  t.equal(readFileSync(path, 'utf8'), 'other\r\neth0', 'takes it from nobody')
  writeFileSync(join(dir, 'net1/10.1.0.3'), 'another\r\neth0')
  t.match(await askOurs({ ...check('b'), conf }), { code: 999 }, 'nor has who had it before')
  t.strictSame(await askOurs({ ...check('another'), conf }), {}, 'but who has it now')
  t.strictSame(await askOurs({ ...del('another'), conf }), {}, 'and may release it')
  t.notOk(existsSync(join(dir, 'net1/10.1.0.3')))
})
