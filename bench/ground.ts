/** The ground that scenes run on: namespaces and a scratch directory of their own, gone whatever happens. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Netns {
  name: string
  path: string
}

export class Ground {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'ngt-bench-'))
  readonly #namespaces: string[] = []
  readonly #name: string

  /** @param name tells two grounds of one process apart */
  constructor(name = 'ground') {
    this.#name = name
    process.once('exit', () => this.remove())
    // Without a handler a signal ends the process before the 'exit' event.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  }

  netns(label: string): Netns {
    const name = `ngt-bench-${process.pid}-${this.#name}-${label}`
    run('ip', ['netns', 'add', name])
    this.#namespaces.push(name)
    run('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    return { name, path: `/run/netns/${name}` }
  }

  remove(): void {
    for (const name of this.#namespaces.splice(0)) spawnSync('ip', ['netns', 'delete', name])
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Runs a program that has to succeed. */
export function run(file: string, args: readonly string[]): void {
  const done = spawnSync(file, args, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.error ?? done.stderr}`)
}
