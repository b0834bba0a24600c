/** Having systemd, and network managers that run, take notice of what was installed or removed. */
import { existsSync, lstatSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { InstallError } from './install-error.ts'
import { UNIT_DIR } from './install-host.ts'
import type { Report } from './install-report.ts'

const SOCKET = 'nugator.socket'
const SERVICE = 'nugator.service'
const TIMEOUT_MS = 120_000

interface Answer {
  readonly ok: boolean
  readonly text: string
  readonly complaint: string
}

async function ask(program: string, args: readonly string[]): Promise<Answer> {
  const env = { LC_ALL: 'C', SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0' }
  const done = await execa(program, args, { env, reject: false, stdin: 'ignore', timeout: TIMEOUT_MS })
  return { ok: !done.failed, text: done.stdout, complaint: done.stderr || done.originalMessage || '' }
}

async function is(what: 'active' | 'enabled' | 'failed', unit: string): Promise<boolean> {
  return (await ask('systemctl', [`is-${what}`, '--quiet', unit])).ok
}

async function run(report: Report, dryRun: boolean, program: string, ...args: string[]): Promise<void> {
  if (!dryRun) {
    const { ok, complaint } = await ask(program, args)
    if (!ok) {
      const log = `journalctl -u ${SOCKET} -u ${SERVICE} may say more`
      throw new InstallError(`${[program, ...args].join(' ')} failed: ${complaint.trim()}`, log)
    }
  }
  report.did('run', [program, ...args].join(' '))
}

/** True if systemd runs this machine and reads that directory. */
export function systemdReads(unitDir: string): boolean {
  return existsSync('/run/systemd/system') && unitDir === UNIT_DIR
}

/** What is to be done by hand where systemd does not run, or not from that directory. */
export const BY_HAND = `systemctl daemon-reload && systemctl enable --now ${SOCKET}`

export interface Changed {
  /** Anything that the agent is made of. */
  readonly program: boolean
  /** Names of files in /etc. */
  readonly settings: readonly string[]
}

/** Enables and starts the socket; an agent that runs is replaced. What is so already is left. */
export async function activate(report: Report, dryRun: boolean, changed: Changed): Promise<void> {
  const units = changed.settings.some((name) => name === SOCKET || name === SERVICE)
  const stale = await ask('systemctl', ['show', '--property=NeedDaemonReload', SOCKET, SERVICE])
  if (units || stale.text.includes('=yes')) await run(report, dryRun, 'systemctl', 'daemon-reload')
  // Else an agent that died too often would not be tried again.
  if (await is('failed', SERVICE)) await run(report, dryRun, 'systemctl', 'reset-failed', SERVICE)
  const listens = await is('active', SOCKET)
  if (listens && (await is('enabled', SOCKET))) report.did('same', SOCKET, 'enabled and active')
  else await run(report, dryRun, 'systemctl', 'enable', '--now', SOCKET)
  const again = [
    ...(listens && changed.settings.includes(SOCKET) ? [SOCKET] : []),
    ...((changed.program || units) && (await is('active', SERVICE)) ? [SERVICE] : []),
  ]
  if (again.length > 0) await run(report, dryRun, 'systemctl', 'try-restart', ...again)
  await tellManagers(report, dryRun, changed.settings)
}

/** udev notices by itself. */
async function tellManagers(report: Report, dryRun: boolean, settings: readonly string[]): Promise<void> {
  if (
    settings.some((name) => name.endsWith('.network')) &&
    (await is('active', 'systemd-networkd.service'))
  ) {
    await run(report, dryRun, 'networkctl', 'reload')
  }
  if (settings.some((name) => name.endsWith('.conf')) && (await is('active', 'NetworkManager.service'))) {
    await run(report, dryRun, 'systemctl', 'reload', 'NetworkManager.service')
  }
}

/** Stops the agent (calls under way may end) and takes the socket out of the boot. */
export async function deactivate(report: Report, dryRun: boolean): Promise<void> {
  await run(report, dryRun, 'systemctl', 'disable', '--now', SOCKET, SERVICE)
}

/** After the units are gone. */
export async function forget(report: Report, dryRun: boolean, settings: readonly string[]): Promise<void> {
  await run(report, dryRun, 'systemctl', 'daemon-reload')
  await tellManagers(report, dryRun, settings)
}

/** The link by which a socket is enabled, for when there is no systemd to remove it. */
export function removeEnablement(report: Report, dryRun: boolean, unitDir: string): void {
  const link = join(unitDir, 'sockets.target.wants', SOCKET)
  if (!lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink()) return
  if (!dryRun) rmSync(link)
  report.did('remove', link)
}

/** True if somebody listens on the agent's usual socket. */
export function agentListens(): boolean {
  try {
    return /\s00010000\s.*\s\/run\/nugator\/agent\.sock$/m.test(readFileSync('/proc/net/unix', 'utf8'))
  } catch {
    return false
  }
}
