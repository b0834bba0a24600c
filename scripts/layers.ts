/**
 * The layer check: who may import whom in src/, as DESIGN.md orders the rooms. Fails the build, and
 * test/unit/layers.test.ts runs it too. By itself: `node scripts/layers.ts`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative, resolve } from 'node:path'

/** Path below src/ (with `/`) → text. */
export type Sources = ReadonlyMap<string, string>

/** Each room, and the rooms that it may import. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  netlink: [],
  netns: ['netlink'],
  koko: ['netlink', 'netns'],
  cni: [],
  plugin: ['netlink', 'netns', 'koko', 'cni'],
  lab: ['netlink', 'netns', 'koko'], // it does not know CNI
  agent: ['netlink', 'netns', 'koko', 'cni', 'plugin', 'lab'],
  cli: ['netns', 'koko', 'cni', 'plugin', 'lab', 'agent'], // it does not know the kernel
}

/** Modules that only some rooms may import, and why. */
const RESERVED: readonly { module: RegExp; rooms: readonly string[]; why: string }[] = [
  {
    module: /^(node:)?child_process$/,
    rooms: ['cni', 'plugin'],
    why: 'only src/cni and src/plugin start programs',
  },
  {
    module: /^execa$/,
    rooms: ['cni', 'plugin', 'lab', 'agent', 'cli'],
    why: 'the engine speaks netlink and starts no programs',
  },
]

/** A file named after no idea collects all of them. */
const NAMELESS = /^(utils?|helpers?|common|managers?)$/

const IMPORTS: readonly RegExp[] = [
  /^\s*(?:import|export)\b[^'"`;()]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\b(?:import|require)\s*\(\s*['"`]([^'"`]+)['"`]/g,
]

/** What a file imports, types and dynamic imports included. */
export function importsOf(text: string): string[] {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  const found = new Set<string>()
  for (const pattern of IMPORTS) for (const match of code.matchAll(pattern)) found.add(match[1] ?? '')
  return [...found]
}

function roomOf(file: string): string {
  return file.split('/')[0] ?? ''
}

function checkName(file: string): string[] {
  const problems: string[] = []
  const room = roomOf(file)
  if (!file.includes('/')) problems.push(`src/${file}: is in no room; a file belongs to one of ${rooms()}`)
  else if (!(room in ROOMS)) problems.push(`src/${file}: ${room} is not a room of DESIGN.md (${rooms()})`)
  for (const part of file.replace(/\.[^/]*$/, '').split('/'))
    if (NAMELESS.test(part)) problems.push(`src/${file}: "${part}" says nothing; name it after its idea`)
  return problems
}

function rooms(): string {
  return Object.keys(ROOMS).join(', ')
}

function checkImport(file: string, specifier: string, target: string | undefined): string[] {
  const room = roomOf(file)
  const where = `src/${file}: imports ${specifier}`
  if (target === undefined) {
    return RESERVED.filter((rule) => rule.module.test(specifier) && !rule.rooms.includes(room)).map(
      (rule) => `${where}, but ${rule.why}`,
    )
  }
  if (target.startsWith('..')) return [`${where}, which is outside src`]
  const other = roomOf(target)
  if (other === room || !(room in ROOMS)) return []
  if (ROOMS[room]?.includes(other)) return []
  const allowed = ROOMS[room]?.join(', ') || 'no other room'
  return [`${where}, but ${room} may import only: ${allowed}`]
}

/** Every circle among the files once, each as the list of files on it. */
export function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found = new Map<string, string[]>()
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at >= 0) {
      const circle = path.slice(at)
      found.set([...circle].sort().join('\n'), circle)
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const next of graph.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  return [...found.values()]
}

/** One sentence for each violation; empty if all is well. */
export function checkLayers(sources: Sources): string[] {
  const problems: string[] = []
  const graph = new Map<string, string[]>()
  for (const [file, text] of sources) {
    const targets: string[] = []
    problems.push(...checkName(file))
    for (const specifier of importsOf(text)) {
      const target = specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : undefined
      if (target !== undefined) targets.push(target)
      problems.push(...checkImport(file, specifier, target))
    }
    graph.set(file, targets)
  }
  for (const circle of circles(graph))
    problems.push(`circle: ${[...circle, circle[0]].map((file) => `src/${file}`).join(' → ')}`)
  return problems
}

/** All TypeScript files below a directory. */
export function readSources(dir: string): Sources {
  const sources = new Map<string, string>()
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.[cm]?[jt]s$/.test(entry.name)) continue
    const path = join(entry.parentPath, entry.name)
    sources.set(relative(dir, path).replaceAll('\\', '/'), readFileSync(path, 'utf8'))
  }
  return sources
}

if (import.meta.main) {
  const problems = checkLayers(readSources(resolve(import.meta.dirname, '../src')))
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
