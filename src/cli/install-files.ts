/**
 * Files brought to what they shall be, each in one step: a runtime that opens one meanwhile has the old one or the
 * new one, and a process that is killed leaves nothing but files beside, which the next one sweeps away.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { explained, InstallError } from './install-error.ts'

export interface WantedFile {
  readonly path: string
  readonly bytes: Uint8Array
  readonly mode: number
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** True also for a link that leads nowhere. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** @returns undefined if there is no regular file */
export function hashAt(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ? hashOf(readFileSync(path)) : undefined
}

/** True if nothing about it has to be changed. */
export function isAsWanted({ path, bytes, mode }: WantedFile): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found?.isFile() || found.size !== bytes.length) return false
  if ((found.mode & 0o7777) !== mode || found.uid !== 0 || found.gid !== 0) return false
  return readFileSync(path).equals(bytes)
}

const BESIDE = /^\.(.+)\.(\d+)\.nugator-new$/

function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.nugator-new`)
}

/**
 * Writes files beside where they are to be, so that what can fail has failed before the first one changes.
 *
 * @returns what puts them in place, in the order given: the moment in which old and new stand side by side is short
 */
export function stage(files: readonly WantedFile[]): () => void {
  for (const [at, file] of files.entries()) {
    try {
      writeBeside(file)
    } catch (error) {
      for (const { path } of files.slice(0, at + 1)) rmSync(besideOf(path), { force: true })
      throw explained(error, file.path)
    }
  }
  return () => {
    for (const { path } of files) renameSync(besideOf(path), path)
  }
}

function writeBeside({ path, bytes, mode }: WantedFile): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new InstallError(`${path} is a directory`, 'a file is to be there: remove it')
  }
  const beside = besideOf(path)
  rmSync(beside, { force: true })
  writeFileSync(beside, bytes, { flag: 'wx', flush: true })
  chownSync(beside, 0, 0) // a directory with the setgid bit gives another group
  chmodSync(beside, mode)
}

/** Removes from directories what killed processes were writing there. */
export function sweep(directories: Iterable<string>): void {
  for (const directory of directories) {
    for (const name of namesIn(directory)) {
      const pid = BESIDE.exec(name)?.[2]
      if (pid !== undefined && !isThere(`/proc/${pid}`)) rmSync(join(directory, name), { force: true })
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** The directories that would have to be made for these files, outermost first. */
export function missingDirectories(paths: Iterable<string>): string[] {
  const missing = new Set<string>()
  for (const path of paths) {
    for (let dir = dirname(path); !isThere(dir); dir = dirname(dir)) missing.add(dir)
  }
  return [...missing].sort((a, b) => a.length - b.length)
}

/** Makes them, outermost first, for everyone to read, whatever the umask. */
export function makeDirectories(directories: readonly string[]): void {
  for (const directory of directories) {
    mkdirSync(directory)
    chmodSync(directory, 0o755)
  }
}

/** @returns false if there is something in it, or it is not there */
export function removeIfEmpty(directory: string): boolean {
  try {
    rmdirSync(directory)
    return true
  } catch {
    return false
  }
}
