/** `nugator uninstall`: removes what `nugator install` put there, and nothing else. */
import { readdirSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { openState } from '../plugin/attachment.ts'
import { explained, InstallError } from './install-error.ts'
import { hashAt, isThere, removeIfEmpty, sweep } from './install-files.ts'
import { BIN_DIR } from './install-host.ts'
import { isPart, type Manifest, manifestPath, placesOf, readManifest } from './install-manifest.ts'
import { type Print, type Report, reportTo } from './install-report.ts'
import { agentListens, deactivate, forget, removeEnablement, systemdReads } from './install-systemd.ts'

const OPTIONS = {
  'bin-dir': { type: 'string' },
  // Units that were installed are removed in any case: without the program they are of no use.
  systemd: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
} as const

/** @returns the exit status, undefined if the words are not understood */
export async function uninstall(
  argv: readonly string[],
  out: Print,
  err: Print,
): Promise<number | undefined> {
  let asked: { 'bin-dir'?: string; 'dry-run'?: boolean }
  try {
    asked = parseArgs({ args: [...argv], options: OPTIONS }).values
  } catch {
    return undefined
  }
  if (asked['bin-dir'] === '') return undefined
  const dryRun = asked['dry-run'] === true
  try {
    await uninstallFrom(resolve(asked['bin-dir'] ?? BIN_DIR), dryRun, reportTo(out, dryRun))
    return 0
  } catch (error) {
    const told = explained(error)
    if (!(told instanceof InstallError)) throw error
    err(`nugator: ${told.message}; ${told.advice}\n`)
    return 1
  }
}

async function uninstallFrom(binDir: string, dryRun: boolean, report: Report): Promise<void> {
  if (process.geteuid?.() !== 0 && !dryRun) {
    throw new InstallError('only root can remove it', 'use sudo, or --dry-run to look')
  }
  const manifest = readManifest(binDir)
  if (!dryRun && manifest !== 'damaged') sweep(placesOf(manifest, binDir))
  if (manifest === undefined) {
    removeDirectories([join(binDir, 'nugator.d')], new Set(), dryRun, report)
    report.note(`nothing to do: ${manifestPath(binDir)} is not there, so nothing was installed there`)
    return
  }
  if (manifest === 'damaged') {
    const advice = 'install once more, which writes it anew, then uninstall'
    throw new InstallError(`${manifestPath(binDir)} is damaged`, advice)
  }
  const { unitDir } = manifest
  const settings = manifest.files.map(({ path }) => path).filter((path) => !isPart(path, binDir))
  const live = unitDir !== undefined && systemdReads(unitDir)
  if (unitDir !== undefined) {
    if (!live) removeEnablement(report, dryRun, unitDir)
    else if (settings.some((path) => path.endsWith('.socket') && isThere(path)))
      await deactivate(report, dryRun)
  }
  const gone = removeFiles(manifest, dryRun, report)
  if (live) {
    await forget(
      report,
      dryRun,
      settings.map((path) => basename(path)),
    )
  } else if (agentListens()) report.note('an agent still runs: stop it')
  // The last thing: until then another uninstall can go on where this one was interrupted.
  if (!dryRun) rmSync(manifestPath(binDir))
  report.did('remove', manifestPath(binDir))
  gone.add(manifestPath(binDir))
  const own = [...placesOf(manifest, binDir)].filter((path) => path.startsWith(join(binDir, 'nugator.d')))
  removeDirectories([...manifest.directories, ...own], gone, dryRun, report)
  tellOfState(report)
}

/** The netconf and the client first, for they need the rest. @returns what is gone */
function removeFiles({ files }: Manifest, dryRun: boolean, report: Report): Set<string> {
  const gone = new Set<string>()
  for (const { path, hashes } of files.toReversed()) {
    if (!isThere(path)) continue
    if (!hashes.includes(hashAt(path) ?? '')) {
      report.did('keep', path, 'it was changed since')
      continue
    }
    if (!dryRun) rmSync(path)
    report.did('remove', path)
    gone.add(path)
  }
  return gone
}

/** As far as nothing of anybody's is in them. */
function removeDirectories(
  directories: readonly string[],
  gone: Set<string>,
  dryRun: boolean,
  report: Report,
): void {
  for (const directory of [...new Set(directories)].sort((a, b) => b.length - a.length)) {
    if (!isThere(directory) || !readdirSync(directory).every((name) => gone.has(join(directory, name))))
      continue
    if (!dryRun && !removeIfEmpty(directory)) continue
    report.did('remove', `${directory}/`)
    gone.add(directory)
  }
}

function tellOfState(report: Report): void {
  const { attachments } = openState({}, process.env)
  const state = dirname(attachments.directory)
  if (!isThere(state)) return
  const { length } = attachments.keys()
  const warning = length === 0 ? '' : `; attachments that stand: ${length}, which only nugator can remove`
  report.did('keep', `${state}/`, `records${warning}`)
}
