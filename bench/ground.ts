/** The ground that scenes run on: named namespaces and a scratch directory of their own, gone whatever happens. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Netns {
  name: string
  path: string
}

const NAMESPACES = '/run/netns'
const MARK = 'ngt-bench-'

/** Those that are not removed yet. */
const grounds = new Set<Ground>()
let made = 0

process.once('exit', () => {
  for (const ground of grounds) ground.remove()
})
// Without a handler a signal ends the process before the 'exit' event.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

/**
 * Where records, leases and sockets of all contestants are: in BENCH_DIR, else in memory, a tmpfs of our own. None of
 * them syncs, so that a disk would show little but how its file system creates a file: without a journal ext4 takes up
 * to a millisecond for that if many were deleted in the last minute.
 */
const DISK = process.env.BENCH_DIR
const SCRATCH = DISK || tmpdir()

export class Ground {
  readonly dir: string
  readonly #namespaces: string[] = []
  readonly #name: string

  /** @param name part of its namespaces' names */
  constructor(name = 'ground') {
    if (made === 0) sweep()
    made += 1
    this.#name = `${MARK}${process.pid}-${name}${made}`
    this.dir = mkdtempSync(join(SCRATCH, `${MARK}${process.pid}-`))
    grounds.add(this)
    if (!DISK) run('mount', ['-t', 'tmpfs', 'bench', this.dir])
  }

  netns(label: string): Netns {
    const name = `${this.#name}-${label}`
    run('ip', ['netns', 'add', name])
    this.#namespaces.push(name)
    run('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    return { name, path: join(NAMESPACES, name) }
  }

  remove(): void {
    for (const name of this.#namespaces.splice(0)) spawnSync('ip', ['netns', 'delete', name])
    removeDirectory(this.dir)
    grounds.delete(this)
  }
}

/** Removes what a bench that was killed could not. */
function sweep(): void {
  const isLeft = (name: string) =>
    name.startsWith(MARK) && !existsSync(`/proc/${name.slice(MARK.length).split('-')[0]}`)
  for (const name of readdirSync(SCRATCH).filter(isLeft)) removeDirectory(join(SCRATCH, name))
  if (!existsSync(NAMESPACES)) return
  for (const name of readdirSync(NAMESPACES).filter(isLeft)) spawnSync('ip', ['netns', 'delete', name])
}

function removeDirectory(path: string): void {
  if (!DISK) spawnSync('umount', ['--lazy', path])
  rmSync(path, { recursive: true, force: true })
}

/** Runs a program that has to succeed. */
export function run(file: string, args: readonly string[]): void {
  const done = spawnSync(file, args, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.error ?? done.stderr}`)
}
