/** File systems of a test's own, for a directory of leases that is full, read-only, or keeps only whole seconds. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'

interface Teardown {
  teardown(fn: () => unknown): void
}

function mount(t: Teardown, at: string, args: readonly string[]): string {
  mkdirSync(at, { recursive: true })
  execFileSync('mount', [...args, at])
  t.teardown(() => execFileSync('umount', ['-l', at]))
  return at
}

/** @param options of mount(8), such as `size=64k` or `nr_inodes=10` */
export function newTmpfs(t: Teardown, at: string, options: string): string {
  return mount(t, at, ['-t', 'tmpfs', '-o', options, 'ngt-host-local'])
}

export function remount(at: string, how: 'ro' | 'rw'): void {
  execFileSync('mount', ['-o', `remount,${how}`, at])
}

/** ext2 with the small inodes of old: its times are whole seconds. */
export function newCoarse(t: Teardown, at: string): string {
  const image = `${at}.image`
  execFileSync('truncate', ['-s', '16M', image])
  execFileSync('mkfs.ext2', ['-q', '-I', '128', image], { stdio: 'ignore' })
  return mount(t, at, ['-o', 'loop', image])
}
