/**
 * The files of a directory of leases, by what is in them. Like host-local this asks not whether a file is a lease: a
 * release takes every file, also of directories below, whose content is the attachment's.
 */
import {
  closeSync,
  constants,
  type Dirent,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
} from 'node:fs'
import { basename } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { keyOf } from '../../koko/marks.ts'
import { type Address, parseAddress } from './address.ts'
import { trimSpace } from './wording.ts'

export const CURSOR = 'last_reserved_ip.'

/** More than an environment variable can have, so more than any lease. */
const LARGEST = 132 * 1024
/** Longer contents are known by their hash. */
const LONG = 512
/** Files read in one go, some 250 µs, before others get their turn. */
const AT_ONCE = 64

/** The content's identity; a trimmed one begins with no space, so hashes are not mistaken for contents. */
function identityOf(content: string): string {
  return content.length <= LONG ? content : ` ${keyOf(content)}`
}

export class Leases {
  /** Whatever is in the directory. */
  readonly names = new Set<string>()
  readonly #files = new Map<string, string[]>()
  /**
   * False if a content may change without the directory's noticing: that of a link, of a directory below, of a
   * round robin's cursor that holds something else.
   */
  isPlain = true

  add(name: string, content: string): void {
    this.names.add(name)
    const key = identityOf(content)
    const files = this.#files.get(key)
    if (files === undefined) this.#files.set(key, [name])
    else if (!files.includes(name)) files.push(name)
  }

  remove(name: string, content: string): void {
    this.names.delete(name)
    const key = identityOf(content)
    const files = this.#files.get(key)?.filter((file) => file !== name) ?? []
    if (files.length > 0) this.#files.set(key, files)
    else this.#files.delete(key)
  }

  /** The files with this content; cursors of round robins are not among them. */
  with(content: string): readonly string[] {
    return this.#files.get(identityOf(content)) ?? []
  }

  /** The cursors: they are written over, so what they say has to be read when it is asked for. */
  cursors(): string[] {
    return [...this.names].filter((name) => name.startsWith(CURSOR))
  }
}

/** Reads all of it, a little at a time: the caller holds the lock. What cannot be read is left out. */
export async function readLeases(directory: string): Promise<Leases> {
  const leases = new Leases()
  if (isLink(directory)) {
    // The real one does not follow it here, though it does everywhere else: it never finds what it leased there.
    leases.isPlain = false
    return leases
  }
  let files = 0
  for (const [name, entry] of walk(directory, '')) {
    leases.names.add(name)
    if (!entry.isFile()) leases.isPlain = false
    const content = entry.isDirectory() ? undefined : contentOf(`${directory}/${name}`, entry.isFile())
    if (content === undefined) continue
    const isCursor = name.startsWith(CURSOR) && (content === '' || parseAddress(content) !== undefined)
    if (name.startsWith(CURSOR) && !isCursor) leases.isPlain = false
    if (!isCursor) leases.add(name, content)
    files += 1
    if (files % AT_ONCE === 0) await turn()
  }
  return leases
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}

function* walk(directory: string, below: string): Generator<[string, Dirent]> {
  let entries: Dirent[]
  try {
    entries = readdirSync(`${directory}/${below}`, { withFileTypes: true })
  } catch {
    return
  }
  for (const entry of entries) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    yield [name, entry]
    if (entry.isDirectory()) yield* walk(directory, name)
  }
}

/** What a file says, without space around it. @returns undefined for what is none, or too large to be a lease */
export function contentOf(path: string, isFile = false): string | undefined {
  try {
    // opening a device could set it going
    if (!isFile && !statSync(path).isFile()) return undefined
    const text = textOf(path)
    return text === undefined ? undefined : trimSpace(text)
  } catch {
    return undefined
  }
}

let buffer: Buffer | undefined

/** A small file as it is; it does not wait at a pipe. @returns undefined if it is large. @throws what the kernel says */
export function textOf(path: string): string | undefined {
  buffer ??= Buffer.allocUnsafeSlow(LARGEST)
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const length = readSync(fd, buffer)
    return length < LARGEST ? buffer.toString('utf8', 0, length) : undefined
  } finally {
    closeSync(fd)
  }
}

/** The addresses that files stand for by their names, in the order in which host-local comes across them. */
export function addressesOf(names: readonly string[]): Address[] {
  return [...names].sort(byPath).flatMap((name) => parseAddress(basename(name)) ?? [])
}

/** filepath.Walk's order: a directory's files come where the directory comes. */
function byPath(a: string, b: string): number {
  const [left, right] = [a.replaceAll('/', '\0'), b.replaceAll('/', '\0')]
  return left < right ? -1 : left > right ? 1 : 0
}
