/** The real host-local and ours, asked alike: what each answers, and what it leaves on disk. */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from '../../../src/cni/environment.ts'
import { CniError } from '../../../src/cni/error.ts'
import { execPlugin } from '../../../src/cni/exec.ts'
import { parseResult, type Result } from '../../../src/cni/result.ts'
import { NEWEST_VERSION } from '../../../src/cni/version.ts'
import {
  type HostLocalCall,
  hostLocalAdd,
  hostLocalCheck,
  hostLocalDel,
} from '../../../src/plugin/host-local/host-local.ts'

/** Debian's; HOST_LOCAL takes another, to see by hand where newer ones differ. */
export const REAL_HOST_LOCAL: string = process.env.HOST_LOCAL ?? '/usr/lib/cni/host-local'

export type HostLocalVerb = 'ADD' | 'DEL' | 'CHECK'

export interface Ask {
  readonly verb: HostLocalVerb
  readonly conf: unknown
  readonly containerID?: string
  readonly ifName?: string
  readonly args?: string
}

export interface Outcome {
  readonly result?: Result
  readonly code?: number
  readonly msg?: string
  readonly details?: string
}

/** A directory that goes away with the test. */
export function scratch(t: { teardown(fn: () => unknown): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'ngt-host-local-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export function environmentOf(ask: Ask): Environment {
  return {
    CNI_COMMAND: ask.verb,
    CNI_CONTAINERID: ask.containerID ?? 'ctr1',
    CNI_IFNAME: ask.ifName ?? 'eth0',
    CNI_NETNS: '/run/netns/none',
    CNI_PATH: '/usr/lib/cni',
    CNI_ARGS: ask.args ?? '',
  }
}

async function outcomeOf(work: () => Promise<Result | undefined>): Promise<Outcome> {
  try {
    const result = await work()
    return result === undefined ? {} : { result }
  } catch (error) {
    if (!(error instanceof CniError)) throw error
    return { code: error.code, msg: error.msg, details: error.details }
  }
}

/** As the plugin would run it: the answer of any version as the newest's shape. */
export function askReal(ask: Ask, binary = REAL_HOST_LOCAL): Promise<Outcome> {
  return outcomeOf(async () => {
    const stdin = Buffer.from(JSON.stringify(ask.conf))
    const here = { within: (spawn: () => void) => spawn(), warn: () => {} }
    const stdout = await execPlugin(binary, ask.verb, environmentOf(ask), stdin, here)
    return stdout === '' ? undefined : parseResult(JSON.parse(stdout), NEWEST_VERSION).result
  })
}

const OURS: Record<HostLocalVerb, (call: HostLocalCall) => Promise<Result | undefined>> = {
  ADD: hostLocalAdd,
  DEL: async (call) => {
    await hostLocalDel(call)
    return undefined
  },
  CHECK: async (call) => {
    await hostLocalCheck(call)
    return undefined
  },
}

export function askOurs(ask: Ask, more: Pick<HostLocalCall, 'proceed'> = {}): Promise<Outcome> {
  const stdin = Buffer.from(JSON.stringify(ask.conf))
  return outcomeOf(() => OURS[ask.verb]({ stdin, env: environmentOf(ask), ...more }))
}

/** Everything below a directory: path → what it is, its mode, what it says. */
export function filesBelow(dir: string): Record<string, string> {
  const files: Record<string, string> = {}
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(dir, name)
    const stat = lstatSync(path)
    const mode = (stat.mode & 0o7777).toString(8)
    if (stat.isFile()) files[name] = `${mode} ${readFileSync(path, 'utf8')}`
    else files[name] = stat.isSymbolicLink() ? `link ${readlinkSync(path)}` : `${mode} no file`
  }
  return files
}

/** Addresses leased in a network's directory → content. */
export function leasesIn(directory: string): Map<string, string> {
  const names = readdirSync(directory).filter((name) => /^[0-9a-f]*[.:][0-9a-f.:]+$/.test(name))
  return new Map(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]))
}

/** The two side by side, each on a data directory of its own. */
export class Twins {
  readonly real: string
  readonly ours: string

  constructor(dir: string, label = '') {
    this.real = join(dir, `${label}real`)
    this.ours = join(dir, `${label}ours`)
  }

  /** @param conf makes the configuration for a data directory */
  async ask(
    ask: Omit<Ask, 'conf'>,
    conf: (dataDir: string) => unknown,
  ): Promise<{ real: Outcome; ours: Outcome }> {
    const real = await askReal({ ...ask, conf: conf(this.real) })
    const ours = await askOurs({ ...ask, conf: conf(this.ours) })
    return { real: this.#nameless(real), ours: this.#nameless(ours) }
  }

  /** Texts that name a data directory say DIR instead, and list what Go lists in any order in one. */
  #nameless(outcome: Outcome): Outcome {
    if (outcome.msg === undefined) return outcome
    const msg = outcome.msg.replaceAll(this.real, 'DIR').replaceAll(this.ours, 'DIR')
    const requested = /^(failed to allocate all requested IPs:) (.*)$/.exec(msg)
    if (requested === null) return { ...outcome, msg }
    const list = requested[2]?.split(' ').sort().join(' ')
    return { ...outcome, msg: `${requested[1]} ${list}` }
  }

  files(): { real: Record<string, string>; ours: Record<string, string> } {
    return { real: filesBelow(this.real), ours: filesBelow(this.ours) }
  }
}
