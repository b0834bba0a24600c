/** `nugator install`: puts the running program, and what it needs on a host, where runtimes and systemd look. */
import { lstatSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { VERSION } from '../plugin/version.ts'
import { explained, InstallError } from './install-error.ts'
import {
  isAsWanted,
  isThere,
  makeDirectories,
  removeIfEmpty,
  stage,
  sweep,
  type WantedFile,
} from './install-files.ts'
import { BIN_DIR, exampleFile, hostFiles, UNIT_DIR } from './install-host.ts'
import { type Manifest, manifestFile, manifestPath, placesOf, readManifest } from './install-manifest.ts'
import { doubtAbout, type FoundNode, nodeOf } from './install-node.ts'
import { nodePath, type Plan, planInstall } from './install-plan.ts'
import { type Print, type Report, reportTo } from './install-report.ts'
import { programFiles, type Source, sourceOf } from './install-source.ts'
import { activate, agentListens, BY_HAND, systemdReads } from './install-systemd.ts'

const OPTIONS = {
  'bin-dir': { type: 'string' },
  'conf-dir': { type: 'string' },
  'unit-dir': { type: 'string' },
  systemd: { type: 'boolean' },
  'with-node': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
} as const

const SCRIPT =
  'nugator is a script: no C compiler was there when it was built. It works, but starts a Node.js for every call; ' +
  'with a C compiler (gcc, libc6-dev) build it again: npm run build'
const RESTART = 'an agent runs: it is of the version before until you restart it'

type Asked = NonNullable<ReturnType<typeof parsed>>

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values
  } catch {
    return undefined
  }
}

/** @returns the exit status, undefined if the words are not understood */
export async function install(argv: readonly string[], out: Print, err: Print): Promise<number | undefined> {
  const asked = parsed(argv)
  if (asked === undefined || Object.values(asked).includes('')) return undefined
  const report = reportTo(out, asked['dry-run'] === true)
  try {
    await installAs(asked, report)
    return 0
  } catch (error) {
    const told = explained(error)
    if (!(told instanceof InstallError)) throw error
    err(`nugator: ${told.message}; ${told.advice}\n`)
    return 1
  }
}

async function installAs(asked: Asked, report: Report): Promise<void> {
  const dryRun = asked['dry-run'] === true
  if (process.geteuid?.() !== 0 && !dryRun) {
    throw new InstallError(
      'a plugin that root runs has to be put there by root',
      'use sudo, or --dry-run to look',
    )
  }
  const binDir = resolve(asked['bin-dir'] ?? BIN_DIR)
  const source = sourceOf()
  const old = oldManifest(binDir, report)
  refuseLinked(binDir)
  const unitDir = unitDirFor(asked, old)
  const host = join(source.directory, 'nugator.d/host')
  const units = unitDir === undefined ? [] : hostFiles(host, binDir, unitDir)
  const example = asked['conf-dir'] === undefined ? [] : [exampleFile(host, resolve(asked['conf-dir']))]
  const program = withNode(programFiles(source, binDir), binDir, asked['with-node'] === true)
  const plan = planInstall(
    { binDir, version: VERSION, unitDir, program, settings: [...units, ...example] },
    old,
  )
  const node = await nodeFor(plan, source, binDir)
  if (!dryRun) apply(plan, binDir, old)
  for (const { verb, path, why } of plan.lines) report.did(verb, path, why)
  tellNode(report, dryRun ? node : await nodeOf(join(binDir, 'nugator.d/cold')))
  if (source.clientIsScript) report.note(SCRIPT)
  for (const file of example) tellOfOthers(report, file)
  if (unitDir !== undefined && systemdReads(unitDir)) await activate(report, dryRun, plan.changed)
  else if (unitDir !== undefined) report.note(`systemd does not run here; where it does: ${BY_HAND}`)
  else if (plan.changed.program && agentListens()) report.note(RESTART)
  if (!dryRun) complete(plan, binDir)
}

function oldManifest(binDir: string, report: Report): Manifest | undefined {
  const old = readManifest(binDir)
  if (old !== 'damaged') return old
  report.note(`${manifestPath(binDir)} is damaged: what an older version had more than this one may stay`)
  return undefined
}

/** What was linked there is somebody's build tree: it would be written into, and be removed by an uninstall. */
function refuseLinked(binDir: string): void {
  const beside = join(binDir, 'nugator.d')
  if (!lstatSync(beside, { throwIfNoEntry: false })?.isSymbolicLink()) return
  throw new InstallError(`${beside} is a link to ${realpathSync(beside)}`, 'remove the link first')
}

/** Once asked for, units are kept up to date. */
function unitDirFor(asked: Asked, old: Manifest | undefined): string | undefined {
  if (asked['unit-dir'] !== undefined) return resolve(asked['unit-dir'])
  return old?.unitDir ?? (asked.systemd ? UNIT_DIR : undefined)
}

function withNode(program: readonly WantedFile[], binDir: string, copy: boolean): WantedFile[] {
  if (!copy) return [...program]
  const path = nodePath(binDir)
  const node = { path, bytes: readFileSync(process.execPath), mode: 0o755 }
  return [node, ...program.filter((file) => file.path !== path)]
}

/** The Node that it will run on, before anything is changed. */
async function nodeFor(plan: Plan, source: Source, binDir: string): Promise<FoundNode> {
  const path = nodePath(binDir)
  if (plan.manifest.files.some((file) => file.path === path) && !isThere(path)) {
    return { path, version: process.versions.node }
  }
  // One that is there already comes first.
  return await nodeOf(join(isThere(path) ? binDir : source.directory, 'nugator.d/cold'))
}

function tellNode(report: Report, node: FoundNode): void {
  const doubt = doubtAbout(node)
  const why = doubt === undefined ? '' : `: ${doubt}; --with-node makes a copy`
  report.note(`it runs on ${node.path}, version ${node.version}${why}`)
}

/** From the first change on the manifest knows both what was and what will be, until {@link complete}. */
function apply(plan: Plan, binDir: string, old: Manifest | undefined): void {
  sweep(placesOf(plan.meanwhile, binDir))
  if (plan.puts.length + plan.removals.length === 0) return
  const put = staged(plan, binDir, old)
  put()
  for (const path of plan.removals) {
    rmSync(path)
    removeIfEmpty(dirname(path))
  }
}

/** If that fails, for want of room say, what was there is as it was. */
function staged(plan: Plan, binDir: string, old: Manifest | undefined): () => void {
  try {
    const manifest = manifestFile(binDir, plan.meanwhile)
    makeDirectories(plan.directories.filter((directory) => manifest.path.startsWith(`${directory}/`)))
    stage([manifest])()
    makeDirectories(plan.directories.filter((directory) => !isThere(directory)))
    return stage(plan.puts)
  } catch (error) {
    if (old === undefined) rmSync(manifestPath(binDir), { force: true })
    for (const directory of plan.directories.toReversed()) removeIfEmpty(directory)
    throw error
  }
}

/** The last thing: if the agent could not be restarted, another install has to try again. */
function complete(plan: Plan, binDir: string): void {
  const manifest = manifestFile(binDir, plan.manifest)
  if (!isAsWanted(manifest)) stage([manifest])()
}

/** A runtime takes the first netconf by name. */
function tellOfOthers(report: Report, example: WantedFile): void {
  const directory = dirname(example.path)
  const there = isThere(directory) ? readdirSync(directory) : []
  const names = there.filter((name) => /\.(conf|conflist|json)$/.test(name))
  const [first, ...others] = [...new Set([...names, basename(example.path)])].sort()
  if (others.length > 0)
    report.note(`${directory} has several networks; Kubernetes runtimes take the first, ${first}`)
}
