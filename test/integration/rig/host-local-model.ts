/** What a directory of leases must hold, and whoever changes it: us, the real host-local, people. */
import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Ask, Outcome } from './host-local.ts'

/** 10.1.0.0/17, of which .0.1 is the gateway. */
const SUBNET = '10.1.0.0/17'
const LAST = 0x7ffe

const ipOf = (host: number) => `10.1.${host >> 8}.${host & 255}`
const ownerOf = (containerID: string) => `${containerID}\r\neth0`

export class ModelDirectory {
  readonly conf: unknown
  readonly directory: string
  /** Host part → content. */
  readonly leases = new Map<number, string>()
  readonly #links = new Set<number>()
  #cursor = 0

  constructor(dataDir: string) {
    this.directory = join(dataDir, 'net1')
    const ipam = { type: 'host-local', dataDir, ranges: [[{ subnet: SUBNET }]] }
    this.conf = { cniVersion: '1.0.0', name: 'net1', ipam }
    mkdirSync(this.directory, { recursive: true })
  }

  #hostsOf(containerID: string): number[] {
    const hosts = [...this.leases].filter(([, content]) => content === ownerOf(containerID))
    return hosts.map(([host]) => host)
  }

  /** The answer that the call must give; the model goes on as if it had been given. */
  expect(verb: Ask['verb'], containerID: string): Outcome {
    const has = this.#hostsOf(containerID)
    if (verb === 'DEL') {
      for (const host of has) this.leases.delete(host)
      return {}
    }
    if (verb === 'CHECK') {
      const msg = `host-local: Failed to find address added by container ${containerID}`
      return has.length > 0 ? {} : { code: 999, msg, details: '' }
    }
    if (has.length > 0) {
      const [first] = has.map(ipOf).sort()
      const why = `${first} has been allocated to ${containerID}, duplicate allocation is not allowed`
      return { code: 999, msg: `failed to allocate for range 0: ${why}`, details: '' }
    }
    let host = this.#cursor
    do {
      host = host >= LAST ? 1 : host + 1
    } while (host === 1 || this.leases.has(host))
    this.leases.set(host, ownerOf(containerID))
    this.#cursor = host
    const ips = [{ address: `${ipOf(host)}/17`, gateway: '10.1.0.1' }]
    return { result: { interfaces: [], ips, routes: [], dns: {} } }
  }

  #path(host: number): string {
    return join(this.directory, ipOf(host))
  }

  /** Somebody else takes an address. */
  take(host: number, containerID: string): void {
    if (this.leases.has(host)) return
    this.leases.set(host, ownerOf(containerID))
    writeFileSync(this.#path(host), ownerOf(containerID), { flag: 'wx' })
  }

  free(host: number): void {
    if (this.leases.delete(host)) rmSync(this.#path(host))
  }

  freeAll(): void {
    for (const host of [...this.leases.keys()]) this.free(host)
  }

  /** The name stays, at once: first the old file goes, or the new one comes in its place. */
  give(host: number, containerID: string, how: 'again' | 'over'): void {
    if (!this.leases.has(host)) return
    if (how === 'again') {
      this.free(host)
      this.take(host, containerID)
      return
    }
    const beside = join(this.directory, 'beside')
    writeFileSync(beside, ownerOf(containerID))
    renameSync(beside, this.#path(host))
    this.leases.set(host, ownerOf(containerID))
  }

  /** A change by somebody who puts the directory's times back to the nanosecond, as archivers do. */
  unseen(change: () => void): void {
    const times = `${this.directory}-times`
    writeFileSync(times, '')
    execFileSync('touch', ['-r', this.directory, times])
    change()
    execFileSync('touch', ['-r', times, this.directory])
  }

  /** A lease that is a link to a file elsewhere. */
  link(host: number, containerID: string): void {
    if (this.leases.has(host)) return
    this.#links.add(host)
    this.leases.set(host, ownerOf(containerID))
    writeFileSync(this.#elsewhere(host), ownerOf(containerID))
    symlinkSync(this.#elsewhere(host), this.#path(host))
  }

  /** What the links lead to changes without the directory's noticing. */
  relink(containerID: string): void {
    for (const host of this.#links) {
      if (!lstatSync(this.#path(host), { throwIfNoEntry: false })?.isSymbolicLink()) continue
      this.leases.set(host, ownerOf(containerID))
      writeFileSync(this.#path(host), ownerOf(containerID))
    }
  }

  #elsewhere(host: number): string {
    return `${this.directory}-${host}`
  }

  /** What is on disk instead of what should be: empty if all is well. */
  deviations(): string[] {
    const names = readdirSync(this.directory).filter((name) => /^\d+\.\d+\.\d+\.\d+$/.test(name))
    const there = new Map(names.map((name) => [name, readFileSync(join(this.directory, name), 'utf8')]))
    const wanted = new Map([...this.leases].map(([host, content]) => [ipOf(host), content]))
    return [
      ...[...there].filter(([ip, content]) => wanted.get(ip) !== content).map(([ip]) => `${ip} is there`),
      ...[...wanted].filter(([ip, content]) => there.get(ip) !== content).map(([ip]) => `${ip} is missing`),
    ].slice(0, 5)
  }
}
