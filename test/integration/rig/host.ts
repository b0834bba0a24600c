/**
 * A host of its own for one test: a fresh network namespace stands in for the machine, with its own state,
 * run, IPAM and bin directories. Everything is removed when the test ends, also when it fails.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The built plugin, as a runtime would find it. */
export const PLUGIN: string = resolve(import.meta.dirname, '../../../dist/bin/nugator')
/** Where Debian puts the reference plugins. */
export const REFERENCE_PLUGINS = '/usr/lib/cni'

/**
 * The agent that plugin calls go to, empty for none: scripts/test.ts runs everything once without and once with one.
 * A call that is to be killed at a step is always a process of its own.
 */
export function agentSocket(env: Record<string, string | undefined> = {}): string {
  const dies = 'NUGATOR_FAULT_AT' in env || 'NUGATOR_FAULT_COUNT' in env
  return process.env.NGT_WAY === 'hot' && !dies ? (process.env.NGT_AGENT ?? '') : ''
}

export interface CommandResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Call {
  command?: string
  containerID?: string
  /** Path; the empty string and undefined both leave CNI_NETNS unset. */
  netns?: string
  ifName?: string
  args?: string
  path?: string
  conf?: unknown
  /** Raw stdin instead of `conf`. */
  stdin?: string | Buffer
  env?: Record<string, string | undefined>
  plugin?: string
}

export interface CniResult extends CommandResult {
  /** stdout parsed; undefined if stdout was empty. */
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the tests ask
  json: any
}

interface Teardown {
  teardown(fn: () => unknown): void
}

/** Runs a program to its end, collecting what it prints. */
export function run(
  file: string,
  args: readonly string[],
  options: { input?: string | Buffer; env?: NodeJS.ProcessEnv; cwd?: string; timeout?: number } = {},
): Promise<CommandResult> {
  return new Promise((resolvePromise, reject) => {
    const child = spawn(file, args, {
      env: options.env ?? process.env,
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 120_000)
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin.on('error', () => {}) // the program may end without reading its input
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolvePromise({
        code,
        signal,
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      })
    })
    child.stdin.end(options.input ?? '')
  })
}

function must(file: string, args: readonly string[]): string {
  const done = spawnSync(file, args, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr || done.error}`)
  return done.stdout
}

export class Host {
  readonly id: string = randomBytes(3).toString('hex')
  readonly name: string = `ngt-${this.id}`
  readonly path: string = `/run/netns/${this.name}`
  readonly dir: string = mkdtempSync(join(tmpdir(), 'ngt-'))
  readonly stateDir: string = join(this.dir, 'state')
  readonly runDir: string = join(this.dir, 'run')
  /** For host-local's `dataDir`. */
  readonly ipamDir: string = join(this.dir, 'ipam')
  readonly #namespaces: string[] = []

  constructor() {
    must('ip', ['netns', 'add', this.name])
    this.#namespaces.push(this.name)
    must('ip', ['-n', this.name, 'link', 'set', 'lo', 'up'])
  }

  /** A namespace that stands in for a container. */
  netns(label: string): { name: string; path: string } {
    const name = `${this.name}-${label}`
    must('ip', ['netns', 'add', name])
    must('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    this.#namespaces.push(name)
    return { name, path: `/run/netns/${name}` }
  }

  deleteNetns(name: string): void {
    must('ip', ['netns', 'del', name])
    this.#namespaces.splice(this.#namespaces.indexOf(name), 1)
  }

  /** The environment in which a runtime on this host execs a plugin. */
  env(call: Call): NodeJS.ProcessEnv {
    const env: NodeJS.ProcessEnv = {
      PATH: process.env.PATH,
      NUGATOR_STATE_DIR: this.stateDir,
      NUGATOR_RUN_DIR: this.runDir,
      NUGATOR_AGENT_SOCKET: agentSocket(call.env),
      CNI_COMMAND: call.command,
      CNI_CONTAINERID: call.containerID ?? 'ctr1',
      CNI_IFNAME: call.ifName ?? 'eth0',
      CNI_PATH: call.path ?? REFERENCE_PLUGINS,
      ...(call.netns ? { CNI_NETNS: call.netns } : {}),
      ...(call.args === undefined ? {} : { CNI_ARGS: call.args }),
      ...call.env,
    }
    for (const [key, value] of Object.entries(env)) if (value === undefined) delete env[key]
    return env
  }

  /** Execs the plugin in this host's namespace exactly as a runtime does: environment and stdin. */
  async cni(command: string, call: Call = {}): Promise<CniResult> {
    const input = call.stdin ?? (call.conf === undefined ? '' : JSON.stringify(call.conf))
    const done = await run('nsenter', [`--net=${this.path}`, call.plugin ?? PLUGIN], {
      env: this.env({ ...call, command }),
      input,
    })
    return { ...done, json: done.stdout.trim() === '' ? undefined : JSON.parse(done.stdout) }
  }

  /** Runs any program inside one of the namespaces (default: the host's) and insists on success. */
  async exec(file: string, args: readonly string[], netns: string = this.name): Promise<string> {
    const done = await run('nsenter', [`--net=/run/netns/${netns}`, file, ...args])
    if (done.code !== 0) throw new Error(`in ${netns}: ${file} ${args.join(' ')}: ${done.stderr}`)
    return done.stdout
  }

  /** `ip -j …` inside a namespace, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the tests ask
  async ip(netns: string, ...args: string[]): Promise<any> {
    const text = await this.exec('ip', ['-j', ...args], netns)
    return text.trim() === '' ? [] : JSON.parse(text)
  }

  /** Names of the host's interfaces, `lo` left out. */
  async links(netns: string = this.name): Promise<string[]> {
    const links: { ifname: string }[] = await this.ip(netns, '-d', 'link', 'show')
    return links.map((link) => link.ifname).filter((name) => name !== 'lo')
  }

  /** True if `from` gets an answer to a ping of `to`. */
  async ping(from: string, to: string): Promise<boolean> {
    const args = ['ping', ...(to.includes(':') ? ['-6'] : []), '-c', '1', '-W', '2', to]
    const done = await run('nsenter', [`--net=/run/netns/${from}`, 'busybox', ...args])
    return done.code === 0
  }

  /** A bin directory with an executable of the given text: a fake IPAM or delegate. */
  fakePlugin(name: string, script: string): string {
    const dir = join(this.dir, 'bin')
    mkdirSync(dir, { recursive: true })
    writeFileSync(join(dir, name), script, { mode: 0o755 })
    return dir
  }

  copyPlugin(name: string, from: string): string {
    const dir = join(this.dir, 'bin')
    mkdirSync(dir, { recursive: true })
    copyFileSync(from, join(dir, name))
    return dir
  }

  /** Removes every trace, whatever state the test left. */
  remove(): void {
    for (const name of [...this.#namespaces].reverse()) spawnSync('ip', ['netns', 'del', name])
    if (existsSync(this.dir)) rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A {@link Host} that is removed when the test `t` ends. */
export function newHost(t: Teardown): Host {
  const host = new Host()
  t.teardown(() => host.remove())
  return host
}
