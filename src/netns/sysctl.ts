/**
 * sysctls under /proc/sys/net, of the namespace the calling thread is in (use inside `Netns.inside`).
 * Slash form throughout, for interface names may hold dots.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { errorCode } from '../netlink/socket.ts'
import { step } from '../netlink/steps.ts'

/** The parts below /proc/sys, for example `['net', 'ipv4', 'conf', 'eth0.5', 'arp_notify']`. */
export type SysctlPath = readonly string[]

function fileOf(path: SysctlPath): string {
  for (const part of path) {
    if (part === '' || part === '.' || part === '..' || part.includes('/') || part.includes('\0')) {
      throw new RangeError(`not a sysctl name: ${path.join('/')}`)
    }
  }
  return `/proc/sys/${path.join('/')}`
}

/** @returns the value without its newline, undefined if the kernel has no such sysctl. */
export function readSysctl(path: SysctlPath): string | undefined {
  try {
    return readFileSync(fileOf(path), 'utf8').trim()
  } catch (error) {
    // EIO: a secret that was never set
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'EIO') return undefined
    throw error
  }
}

/** Writes only if the value differs: /proc/sys may be read-only and already right. */
export function writeSysctl(path: SysctlPath, value: string): void {
  if (readSysctl(path)?.replace(/\s+/g, ' ') === value.replace(/\s+/g, ' ')) return
  step()
  writeFileSync(fileOf(path), value)
}
