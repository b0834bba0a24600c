/** What the kernel holds, as `ip` and `nft` tell it, and what our directories hold: the tests' own pair of eyes. */
import { type Dirent, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Host, run } from './host.ts'

export interface Address {
  family: 'inet' | 'inet6'
  local: string
  prefixlen: number
  scope: string
  tentative?: boolean
  dadfailed?: boolean
}

export interface Link {
  ifindex: number
  ifname: string
  flags: string[]
  mtu: number
  txqlen?: number
  address: string
  operstate: string
  group: string
  ifalias?: string
  altnames?: string[]
  /** Index of the other end of a veth, in the namespace where that is. */
  link_index?: number
  linkinfo?: { info_kind?: string }
  addr_info: Address[]
}

export interface Route {
  type: string
  dst: string
  dev?: string
  gateway?: string
  table?: string
  scope?: string
  metric?: number
  flags: string[]
}

export interface Holding {
  links: Link[]
  routes: Route[]
}

function parseLines(text: string): unknown[][] {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line) => JSON.parse(line))
}

/** Links with their addresses, and the routes of every table and family, of one namespace. */
export async function look(netns: string): Promise<Holding> {
  const done = await run('ip', ['-n', netns, '-j', '-d', '-batch', '-'], {
    input: 'addr show\nroute show table all\n',
  })
  if (done.code !== 0) throw new Error(`looking into ${netns}: ${done.stderr}`)
  const [links = [], routes = []] = parseLines(done.stdout)
  return { links: links as Link[], routes: routes as Route[] }
}

/** The link of this very name (an altname is not a name). */
export function linkNamed(holding: Holding, ifname: string): Link | undefined {
  return holding.links.find((link) => link.ifname === ifname)
}

/** Addresses somebody configured, sorted: the kernel's own link-local ones are left out. */
export function addressesOf(link: Link | undefined): string[] {
  const set = (link?.addr_info ?? []).filter((address) => address.scope !== 'link')
  return set.map((address) => `${address.local}/${address.prefixlen}`).sort()
}

/** Every file below a directory with its content; a directory that is not there holds none. */
export function filesIn(dir: string): Record<string, string> {
  const files: Record<string, string> = {}
  let entries: Dirent[]
  try {
    entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  } catch {
    return files
  }
  for (const entry of entries.filter((each) => !each.isDirectory())) {
    const path = join(entry.parentPath, entry.name)
    files[relative(dir, path)] = entry.isFile() ? readFileSync(path, 'latin1') : 'not a regular file'
  }
  return files
}

/** The addresses that host-local has leased: its other files are bookkeeping. */
export function leases(host: Host): string[] {
  const names = Object.keys(filesIn(host.ipamDir)).map((path) => path.slice(path.lastIndexOf('/') + 1))
  return names.filter((name) => /^[0-9a-f.:]+$/.test(name)).sort()
}

interface NftObject {
  rule?: { family: string; table: string; expr: object[] }
  chain?: { family: string; table: string; name: string; hook?: string }
  map?: { family: string; table: string; name: string; elem?: unknown[] }
}

/**
 * What nugator's table holds for attachments, as JSON texts: masquerade rules, chains that a hook does not call by
 * itself, map elements. The frame around them may stay.
 */
export async function masquerade(host: Host): Promise<string[]> {
  const text = await host.exec('nft', ['-j', 'list', 'ruleset'])
  const objects: NftObject[] = JSON.parse(text).nftables
  const ours = objects.filter(({ rule, chain, map }) => {
    const at = rule ?? chain ?? map
    return at?.family === 'inet' && at.table === 'nugator'
  })
  return ours.flatMap(({ rule, chain, map }) => {
    if (rule?.expr.some((part) => 'masquerade' in part)) return [JSON.stringify(rule)]
    if (chain !== undefined && chain.hook === undefined) return [`chain ${chain.name}`]
    return (map?.elem ?? []).map((element) => `element of ${map?.name}: ${JSON.stringify(element)}`)
  })
}

/** What the kernel tells of a carrier arrives up to a second after the carrier. */
const LATE_NEWS: ReadonlySet<unknown> = new Set(['NO-CARRIER', 'linkdown'])

/** For JSON: leaves out values that change by themselves, such as bridge timers. */
export function lasting(key: string, value: unknown): unknown {
  if (key === 'flags' && Array.isArray(value)) return value.filter((flag) => !LATE_NEWS.has(flag))
  return key.endsWith('_timer') || key === 'operstate' || key === 'expires' ? undefined : value
}

/** What is in the run directory besides the file of locks, which is always empty and stays. */
function runFiles(host: Host): Record<string, string> {
  const { lock, ...files } = filesIn(host.runDir)
  return lock ? { lock, ...files } : files
}

/** Everything a refused call must leave as it was: compare two of these. */
export async function snapshot(host: Host, namespaces: readonly string[]): Promise<unknown> {
  const [nft, ...holdings] = await Promise.all([
    host.exec('nft', ['list', 'ruleset']),
    ...[host.name, ...namespaces].map(look),
  ])
  const files = {
    state: filesIn(host.stateDir),
    run: runFiles(host),
    leases: leases(host),
  }
  return JSON.parse(JSON.stringify({ nft, holdings, files }, lasting))
}

/** Where two snapshots part, as text; undefined if they are the same. */
export function difference(before: unknown, after: unknown): string | undefined {
  const [old, now] = [JSON.stringify(before), JSON.stringify(after)]
  if (old === now) return undefined
  let at = 0
  while (old[at] === now[at]) at++
  const around = (text: string) => text.slice(Math.max(0, at - 100), at + 200)
  return `…${around(old)}… became …${around(now)}…`
}

/** What is left of attachments on a host where none should be, in words; interfaces in `spared` are not ours. */
export async function residue(
  host: Host,
  namespaces: readonly string[],
  spared: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const left: string[] = []
  for (const netns of [host.name, ...namespaces]) {
    const { links } = await look(netns)
    for (const { ifname } of links) {
      if (ifname !== 'lo' && !spared.has(ifname)) left.push(`interface ${ifname} in ${netns}`)
    }
  }
  left.push(...leases(host).map((address) => `lease of ${address}`))
  left.push(...(await masquerade(host)).map((part) => `masquerade: ${part}`))
  left.push(...Object.keys(filesIn(host.stateDir)).map((file) => `file ${file} in the state directory`))
  left.push(...Object.keys(runFiles(host)).map((file) => `file ${file} in the run directory`))
  return left
}
