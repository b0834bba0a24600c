/** `nugator install` into directories of one test, and what is then in them. */
import { createHash } from 'node:crypto'
import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { type CommandResult, PLUGIN, run } from './host.ts'

/** Path below a directory → what is there, content and all. */
export type Tree = Readonly<Record<string, string>>

export function treeOf(directory: string): Tree {
  const tree: Record<string, string> = {}
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) return tree
  for (const path of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const file = join(directory, path)
    const { mode, uid, gid, ino, mtimeMs } = lstatSync(file)
    const kind = lstatSync(file)
    const content = kind.isSymbolicLink()
      ? readlinkSync(file)
      : kind.isFile()
        ? createHash('sha256').update(readFileSync(file)).digest('hex')
        : 'directory'
    // A directory's times change with what is beside the files in it.
    const when = kind.isDirectory() ? '' : ` ${ino} ${mtimeMs}`
    tree[path] = `${(mode & 0o7777).toString(8)} ${uid}:${gid} ${content}${when}`
  }
  return tree
}

/** The same without what tells one writing from another. */
export function contentOf(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).map(([path, said]) => [path, said.split(' ').slice(0, 3).join(' ')]),
  )
}

export class Place {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'ngt-'))
  /** None of these exists yet. */
  readonly root: string = join(this.dir, 'root')
  readonly binDir: string = join(this.root, 'opt/cni/bin')
  readonly confDir: string = join(this.root, 'etc/cni/net.d')
  readonly unitDir: string = join(this.root, 'etc/systemd/system')

  constructor(t: Test) {
    t.teardown(() => rmSync(this.dir, { recursive: true, force: true }))
  }

  get plugin(): string {
    return join(this.binDir, 'nugator')
  }

  tree(): Tree {
    return treeOf(this.root)
  }

  install(...options: string[]): Promise<CommandResult> {
    return this.installFrom(PLUGIN, ...options)
  }

  installFrom(program: string, ...options: string[]): Promise<CommandResult> {
    return person(program, 'install', '--bin-dir', this.binDir, ...options)
  }

  /** By the build, for the installed one may be in pieces. */
  uninstall(...options: string[]): Promise<CommandResult> {
    return this.uninstallBy(PLUGIN, ...options)
  }

  uninstallBy(program: string, ...options: string[]): Promise<CommandResult> {
    return person(program, 'uninstall', '--bin-dir', this.binDir, ...options)
  }

  /** A build of one's own, to be changed: what another version would be. @returns its nugator */
  copyOfBuild(name = 'other'): string {
    const to = join(this.dir, name)
    for (const part of ['nugator', 'nugator.d']) {
      cpSync(join(dirname(PLUGIN), part), join(to, part), { recursive: true })
    }
    return join(to, 'nugator')
  }
}

/** What the program consists of, besides its loader. */
export function bundlesOf(program: string): string[] {
  const parts = join(dirname(program), 'nugator.d')
  const names = readdirSync(parts).filter((name) => name.endsWith('.js'))
  return names.map((name) => join(parts, name))
}

/** What a person has in the environment. */
export function personEnv(): NodeJS.ProcessEnv {
  const { CNI_COMMAND: _, ...env } = process.env
  return env
}

/** A command as a person types it. */
export function person(program: string, ...words: string[]): Promise<CommandResult> {
  return run(program, words, { env: personEnv() })
}

export function linesOf({ stdout }: CommandResult): string[] {
  return stdout.split('\n').filter((line) => line !== '')
}

export function succeeded(t: Test, done: CommandResult, what: string): void {
  t.match(done, { code: 0, stderr: '' }, what)
}
