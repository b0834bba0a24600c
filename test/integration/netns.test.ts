/** Named namespaces, the same ones as `ip netns` has; identity; errors that say what to do. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { listLinks } from '../../src/netlink/link.ts'
import { createNetns, deleteNetns, listNetns } from '../../src/netns/named.ts'
import { isOwnNetns, Netns, openIfSame } from '../../src/netns/netns.ts'
import { withTemporaryNetns } from '../../src/netns/temporary.ts'
import { PLUGIN, run } from './rig/host.ts'

const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })

function freshName(t: { teardown(fn: () => unknown): void }): string {
  const name = `ngt-${randomBytes(3).toString('hex')}-n`
  t.teardown(() => ip('netns', 'del', name))
  return name
}

test('what we create, ip sees and deletes; and the other way round', async (t) => {
  const ours = freshName(t)
  createNetns(ours)
  t.match(ip('netns', 'list').stdout, new RegExp(`^${ours}`, 'm'))
  t.match(ip('-n', ours, '-br', 'link').stdout, /^lo\s+UNKNOWN.*UP/, 'its lo is up')
  t.equal(ip('netns', 'del', ours).status, 0)
  t.notOk(listNetns().includes(ours))

  const theirs = freshName(t)
  ip('netns', 'add', theirs)
  t.ok(listNetns().includes(theirs))
  deleteNetns(theirs)
  t.notMatch(ip('netns', 'list').stdout, theirs)
})

test('creating does not move us', async (t) => {
  const before = Netns.own()
  t.teardown(() => before.close())
  createNetns(freshName(t))
  const after = Netns.own()
  t.teardown(() => after.close())
  t.equal(after.cookie, before.cookie)
})

test('errors say which reference, what is wrong, and what to do', async (t) => {
  const name = freshName(t)
  createNetns(name)
  t.throws(() => createNetns(name), {
    name: 'NetnsError',
    problem: 'bad reference',
    message: new RegExp(name),
  })
  t.throws(() => deleteNetns('ngt-never-there'), {
    name: 'NetnsError',
    problem: 'missing',
    advice: /ip netns list/,
  })
  t.throws(() => createNetns('../x'), { name: 'NetnsError', problem: 'bad reference' })
  t.throws(() => Netns.at('/run/netns/ngt-never-there'), {
    name: 'NetnsError',
    problem: 'missing',
    advice: /running/,
  })
  const dir = mkdtempSync(join(tmpdir(), 'ngt-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'file'), '')
  t.throws(() => Netns.at(join(dir, 'file')), {
    name: 'NetnsError',
    problem: 'not a namespace',
    message: /unknown FS magic/,
  })
  t.throws(() => Netns.at(dir), { name: 'NetnsError', problem: 'not a namespace' })
  t.throws(() => Netns.at('/proc/self/status'), { name: 'NetnsError', problem: 'not a namespace' })
  t.throws(() => Netns.at('/proc/self/ns/mnt'), { name: 'NetnsError', problem: 'not a namespace' })
  spawnSync('mkfifo', [join(dir, 'fifo')])
  t.throws(
    () => Netns.at(join(dir, 'fifo')),
    { name: 'NetnsError', problem: 'not a namespace' },
    'a FIFO does not hang',
  )
})

test('a namespace is who it is, not where it lies', async (t) => {
  const name = freshName(t)
  createNetns(name)
  const path = `/run/netns/${name}`
  const first = Netns.at(path)
  const { cookie } = first
  const same = openIfSame(path, cookie)
  t.equal(same?.cookie, cookie)
  same?.close()
  first.close()
  deleteNetns(name)
  t.equal(openIfSame(path, cookie), undefined, 'gone')
  createNetns(name)
  t.equal(openIfSame(path, cookie), undefined, 'another one of the same name')
  t.notOk(isOwnNetns(path))
  t.ok(isOwnNetns('/proc/self/ns/net'))
})

test('a temporary namespace is empty, and ends', async (t) => {
  const names = withTemporaryNetns((netns) => netns.socket.dump(listLinks()).map(({ name }) => name))
  t.same(names, ['lo'])
})

test('the executable is the command-line tool when it is given arguments', async (t) => {
  const name = freshName(t)
  t.match(await run(PLUGIN, ['netns', 'add', name]), { code: 0, stdout: '' })
  t.ok((await run(PLUGIN, ['netns', 'list'])).stdout.split('\n').includes(name))
  t.match(await run(PLUGIN, ['netns', 'delete', name]), { code: 0 })
  t.match(await run(PLUGIN, ['netns', 'delete', name]), { code: 1, stdout: '', stderr: /does not exist/ })
  t.match(await run(PLUGIN, ['version']), { code: 0, stdout: /^nugator \d+\.\d+\.\d+\n$/ })
  t.match(await run(PLUGIN, ['--help']), { code: 0, stdout: /Usage/ })
  t.match(await run(PLUGIN, ['frobnicate']), { code: 2, stdout: '', stderr: /frobnicate/ })
  t.match(await run(PLUGIN, []), { code: 0, stdout: '', stderr: /^CNI nugator plugin version/ })
})
