/** A named namespace is deleted and another takes its name, with interfaces of the same names as ours. */
import { writeFileSync } from 'node:fs'
import type { Host } from './host.ts'
import { run } from './host.ts'
import type { Link } from './snapshot.ts'

async function must(file: string, args: readonly string[]): Promise<void> {
  const done = await run(file, args)
  if (done.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr}`)
}

/** Puts a foreign veth pair, its first end `ifname`, into a namespace. */
export async function placeVeth(netns: string, ifname: string): Promise<void> {
  await must('ip', ['-n', netns, 'link', 'add', ifname, 'type', 'veth', 'peer', 'name', 'foreign'])
}

/**
 * Puts a veth into a namespace that looks in every respect like one of ours: name, index, MAC, group, alias. Only
 * the namespace's own identity tells that it is another.
 */
export async function placeTwin(netns: string, link: Link | undefined): Promise<void> {
  if (link === undefined) throw new Error('there is nothing to copy')
  const { ifname, ifindex, address, group, ifalias = '' } = link
  const like = ['name', ifname, 'index', String(ifindex), 'address', address, 'group', group]
  const peer = ['type', 'veth', 'peer', 'name', 'foreign', 'index', '100']
  await must('ip', ['-n', netns, 'link', 'add', ...like, ...peer])
  if (ifalias !== '') await must('ip', ['-n', netns, 'link', 'set', ifname, 'alias', ifalias])
}

/**
 * Replaces the namespace `name` by an empty one. The old one lives on under another name, which is returned,
 * as it does when a process still runs in it.
 */
export async function replaceNetns(
  t: { teardown(fn: () => unknown): void },
  host: Host,
  name: string,
): Promise<string> {
  const old = `${name}-old`
  writeFileSync(`/run/netns/${old}`, '')
  await must('mount', ['--bind', `/run/netns/${name}`, `/run/netns/${old}`])
  t.teardown(() => must('ip', ['netns', 'del', old]))
  host.deleteNetns(name)
  host.netns(name.slice(host.name.length + 1))
  return old
}
