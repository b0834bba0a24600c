/** What an install would change: everything is decided before the first file is touched. */
import { basename, join } from 'node:path'
import { hashAt, hashOf, isAsWanted, isThere, missingDirectories, type WantedFile } from './install-files.ts'
import { isPart, type Manifest, manifestPath } from './install-manifest.ts'
import type { Verb } from './install-report.ts'
import type { Changed } from './install-systemd.ts'

export interface Wanted {
  readonly binDir: string
  readonly version: string
  readonly unitDir: string | undefined
  /** These are replaced, whoever changed them, for old and new parts do not go together. */
  readonly program: readonly WantedFile[]
  /** Whoever changed one of these wanted it so. */
  readonly settings: readonly WantedFile[]
}

export interface Line {
  readonly verb: Verb
  readonly path: string
  readonly why?: string
}

export interface Plan {
  readonly directories: readonly string[]
  readonly puts: readonly WantedFile[]
  /** Files of an older version that this one does not have. */
  readonly removals: readonly string[]
  readonly lines: readonly Line[]
  /** While it is done: both what was and what will be is ours. */
  readonly meanwhile: Manifest
  readonly manifest: Manifest
  readonly changed: Changed
}

type Entry = Manifest['files'][number]

interface Decision {
  readonly line: Line
  /** What the manifest is to know about it; undefined if it is not ours. */
  readonly entry: Entry | undefined
}

/** @param old the manifest of the last install here */
export function planInstall(wanted: Wanted, old: Manifest | undefined): Plan {
  const files = [...wanted.program, ...wanted.settings].sort(byNeed(wanted.binDir))
  const known = new Map(old?.files.map((entry) => [entry.path, entry]) ?? [])
  const now = files.map((file) => decide(file, wanted.binDir, known.get(file.path)))
  const former = (old?.files ?? [])
    .filter(({ path }) => !files.some((file) => file.path === path) && isThere(path))
    .map((entry) => decideFormer(entry, wanted.binDir))
  const decisions = [...former, ...now]

  const puts = files.filter((_, at) => ['install', 'replace'].includes(now[at]?.line.verb ?? ''))
  const removals = former.filter(({ line }) => line.verb === 'remove').map(({ line }) => line.path)
  const directories = missingDirectories([manifestPath(wanted.binDir), ...puts.map(({ path }) => path)])
  const manifest: Manifest = {
    version: wanted.version,
    complete: true,
    ...(wanted.unitDir === undefined ? {} : { unitDir: wanted.unitDir }),
    files: decisions.flatMap(({ entry }) => entry ?? []).sort(byNeed(wanted.binDir)),
    directories: [...new Set([...(old?.directories ?? []), ...directories])].sort(),
  }
  return {
    directories,
    puts,
    removals,
    lines: [
      ...directories.map((path): Line => ({ verb: 'make', path: `${path}/` })),
      ...decisions.map(({ line }) => line),
    ],
    meanwhile: { ...manifest, complete: false, files: merged([...manifest.files, ...(old?.files ?? [])]) },
    manifest,
    changed: changedBy(wanted, [...puts.map(({ path }) => path), ...removals], old?.complete === false),
  }
}

/** Whatever needs another comes after it: a netconf makes runtimes call the client, which needs all the rest. */
function byNeed(binDir: string): (a: { path: string }, b: { path: string }) => number {
  const rank = (path: string) => (isNetconf(path, binDir) ? 2 : path === join(binDir, 'nugator') ? 1 : 0)
  return (a, b) => rank(a.path) - rank(b.path) || (a.path < b.path ? -1 : 1)
}

function decide(file: WantedFile, binDir: string, known: Entry | undefined): Decision {
  const { path } = file
  const isProgram = isPart(path, binDir)
  const ours: Entry = { path, hashes: [hashOf(file.bytes)] }
  if (isAsWanted(file)) {
    return { line: { verb: 'same', path }, entry: isProgram || known !== undefined ? ours : undefined }
  }
  if (!isThere(path)) return { line: { verb: 'install', path }, entry: ours }
  const unchanged = known?.hashes.includes(hashAt(path) ?? '') === true
  if (isProgram || (unchanged && !isNetconf(path, binDir)))
    return { line: { verb: 'replace', path }, entry: ours }
  const why = isNetconf(path, binDir)
    ? 'an example does not replace what is there'
    : 'not as nugator put it there'
  return { line: { verb: 'keep', path, why }, entry: known }
}

/** What an earlier install put there and this one does not. */
function decideFormer(entry: Entry, binDir: string): Decision {
  const { path, hashes } = entry
  // These were asked for once: that holds until they are removed.
  if (isNetconf(path, binDir) || path === nodePath(binDir)) return { line: { verb: 'same', path }, entry }
  if (hashes.includes(hashAt(path) ?? '')) {
    return { line: { verb: 'remove', path, why: 'no longer part of nugator' }, entry: undefined }
  }
  const why = 'no longer part of nugator, but changed by somebody'
  return { line: { verb: 'keep', path, why }, entry: undefined }
}

/** Where a runtime reads it; nugator.d has a copy for later installs. */
function isNetconf(path: string, binDir: string): boolean {
  return path.endsWith('.conflist') && !isPart(path, binDir)
}

/** Where --with-node puts one, and where the launcher looks first. */
export function nodePath(binDir: string): string {
  return join(binDir, 'nugator.d/node')
}

/** @param unsure an install was interrupted: nobody knows what it came to, or whom it told */
function changedBy(wanted: Wanted, touched: readonly string[], unsure: boolean): Changed {
  const settings = touched.filter((path) => !isPart(path, wanted.binDir))
  if (unsure) settings.push(...wanted.settings.map(({ path }) => path))
  return {
    program: unsure || touched.some((path) => isPart(path, wanted.binDir)),
    settings: settings.map((path) => basename(path)),
  }
}

function merged(entries: readonly Entry[]): Entry[] {
  const hashes = new Map<string, Set<string>>()
  for (const { path, hashes: more } of entries)
    hashes.set(path, new Set([...(hashes.get(path) ?? []), ...more]))
  return [...hashes].map(([path, known]) => ({ path, hashes: [...known] }))
}
