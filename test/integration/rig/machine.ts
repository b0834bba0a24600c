/**
 * A machine for a container runtime: the namespace of a {@link Host}, with process and mount namespaces of its
 * own, so that the runtime's fixed paths (/run, /var/lib, /etc/cni/net.d, /usr/lib/cni) are private too.
 * It lives as long as the pipe to its init is open. When that closes, even because the test was killed, the
 * kernel ends every process in it, and with the last one go its mounts and namespaces.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CallLog } from './call-log.ts'
import type { Host } from './host.ts'
import { type CommandResult, newHost, REFERENCE_PLUGINS, run } from './host.ts'
import { MachineAgent, OF_THE_AGENT } from './machine-agent.ts'

/** Where a runtime that cannot be told otherwise (`ctr`) looks for configurations and plugins. */
const SYSTEM_CONF_DIR = '/etc/cni/net.d'
const SYSTEM_BIN_DIRS = ['/usr/lib/cni', '/opt/cni/bin']
const CGROUPS = '/sys/fs/cgroup'

export interface ContainerAddress {
  ifindex: number
  mac: string
  addresses: string[]
}

/** What `ip -j addr` tells of an interface, as far as it is read here. */
interface IpLink {
  ifname: string
  ifindex: number
  address: string
  addr_info: { local: string; prefixlen: number; scope: string }[]
}

export class Machine {
  readonly host: Host
  readonly binDir: string
  readonly confDir: string
  /** What the plugin was asked, in order. */
  readonly calls: CallLog
  /** The parent of every container's cgroup, so that none is left unseen. */
  readonly cgroup: string
  #init: ChildProcess | undefined
  #agent: MachineAgent | undefined
  #initPid = 0
  #mountsAtStart: string[] = []

  constructor(host: Host) {
    this.host = host
    this.confDir = join(host.dir, 'net.d')
    this.cgroup = `/${host.name}`
    mkdirSync(this.confDir)
    for (const name of ['loopback', 'host-local']) host.copyPlugin(name, join(REFERENCE_PLUGINS, name))
    this.calls = new CallLog(host)
    this.binDir = this.calls.binDir
  }

  async start(): Promise<void> {
    const binds = SYSTEM_BIN_DIRS.filter((dir) => existsSync(dir)).map((dir) => `mount --bind "$BIN" ${dir}`)
    const script = [
      'set -e',
      'for dir in /run /var/lib /dev/shm; do mount -t tmpfs tmpfs $dir; done',
      // as a booted machine has it; a runtime that finds it otherwise mounts it over itself
      'mkdir /run/netns && mount -t tmpfs tmpfs /run/netns && mount --make-rshared /run/netns',
      `mount --bind "$CONF" ${SYSTEM_CONF_DIR}`,
      ...binds,
      'echo ready',
      'cat >/dev/null',
    ].join('\n')
    const enter = [`--net=${this.host.path}`, 'unshare', '--mount', '--pid', '--fork', '--mount-proc']
    this.#init = spawn('nsenter', [...enter, 'sh', '-c', script], {
      env: { ...process.env, BIN: this.binDir, CONF: this.confDir },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const pid = this.#init.pid
    const { stdout } = this.#init
    if (pid === undefined || stdout === null) throw new Error('cannot start a machine')
    // without the second event a machine that cannot start would be awaited forever
    const first = await Promise.race([once(stdout, 'data'), once(this.#init, 'close')])
    if (String(first[0]).trim() !== 'ready') throw new Error('the machine could not set up its mounts')
    this.#initPid = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
    this.#mountsAtStart = this.#mounts()
    const socket = this.path('/run/nugator/agent.sock')
    this.#agent = await MachineAgent.start((file, args) => this.entering(file, args), socket)
  }

  /** The machine's file system, seen from outside. */
  path(inside: string): string {
    return `/proc/${this.#initPid}/root${inside}`
  }

  /** The command line that runs a program in the machine. */
  entering(file: string, args: readonly string[]): [string, string[]] {
    return ['nsenter', ['-t', String(this.#initPid), '--mount', '--net', '--pid', file, ...args]]
  }

  run(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandResult> {
    return run(...this.entering(file, args), { env: { ...process.env, ...env } })
  }

  /** Runs a program in the machine and insists on success. */
  async exec(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const done = await this.run(file, args, env)
    if (done.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr}${done.stdout}`)
    return done.stdout
  }

  /** Writes a configuration of one nugator network. */
  network(name: string, conf: Record<string, unknown>): void {
    const { stateDir, runDir } = this.host
    const plugin = { type: 'nugator', stateDir, runDir, ...conf }
    const list = { cniVersion: '1.0.0', name, plugins: [plugin] }
    writeFileSync(join(this.confDir, `${name}.conflist`), JSON.stringify(list))
  }

  /** host-local with its leases where {@link Machine.leftovers} looks for them. */
  ipam(subnet: string): Record<string, unknown> {
    return { type: 'host-local', dataDir: this.host.ipamDir, ranges: [[{ subnet }]] }
  }

  /** An interface in the namespace of a process (its pid as the machine counts); undefined if it has none. */
  async iface(pid: number, name = 'eth0'): Promise<ContainerAddress | undefined> {
    const text = await this.exec('nsenter', ['-t', `${pid}`, '--net', 'ip', '-j', 'addr'])
    const all: IpLink[] = JSON.parse(text)
    const link = all.find((one) => one.ifname === name)
    if (link === undefined) return undefined
    const global = link.addr_info.filter((info) => info.scope === 'global')
    const addresses = global.map((info) => `${info.local}/${info.prefixlen}`)
    return { ifindex: link.ifindex, mac: link.address, addresses }
  }

  /** True if the namespace of a process gets an answer to a ping. */
  async ping(pid: number, to: string): Promise<boolean> {
    const ping = ['busybox', 'ping', '-c', '1', '-W', '2', to]
    return (await this.run('nsenter', ['-t', `${pid}`, '--net', ...ping])).code === 0
  }

  /** Everything that is not as before the first container, once it had time to go away. */
  async leftovers(): Promise<string[]> {
    for (let tries = 0; tries < 50; tries++) {
      if ((await this.#leftovers()).length === 0) return []
      await sleep(200)
    }
    return this.#leftovers()
  }

  async #leftovers(): Promise<string[]> {
    const { stateDir, runDir, ipamDir } = this.host
    const isLease = (path: string) => !/\/(lock|last_reserved_ip\.\d+)$/.test(path)
    const files = [stateDir, runDir, this.path('/var/lib/cni'), this.path('/run/nugator')].flatMap(filesIn)
    return [
      ...(await this.#coldCalls()),
      ...(await this.host.links()).map((name) => `interface ${name}`),
      ...files.filter((file) => !OF_THE_AGENT.test(file) && file !== `${runDir}/lock`),
      ...filesIn(ipamDir).filter(isLease),
      ...filesIn(this.path('/run/netns')).map((path) => `namespace ${path}`),
      ...this.#mounts().filter((mount) => !this.#mountsAtStart.includes(mount)),
      ...this.#processes().filter((process) => !OF_THE_AGENT.test(process)),
      ...this.#busyCgroups(),
    ]
  }

  /** In a hot run, calls that did not go through the agent. */
  async #coldCalls(): Promise<string[]> {
    if (this.#agent === undefined) return []
    const made = this.calls.all().filter(({ command }) => command !== 'VERSION').length
    const hot = await this.#agent.calls()
    return hot === made ? [] : [`${hot} of ${made} calls were answered by the agent`]
  }

  #mounts(): string[] {
    const lines = readFileSync(`/proc/${this.#initPid}/mountinfo`, 'utf8').trim().split('\n')
    return lines.map((line) => `mount ${line.split(' ')[4]}`)
  }

  /** Cgroups of containers that still have processes in them, each named once for all hierarchies. */
  #busyCgroups(): Set<string> {
    const busy = cgroupsUnder(this.cgroup).filter(
      (dir) => readFileSync(join(dir, 'cgroup.procs'), 'utf8') !== '',
    )
    return new Set(busy.map((dir) => `processes in cgroup ${dir.slice(dir.indexOf(this.cgroup))}`))
  }

  /** Processes other than init and its `cat`. */
  #processes(): string[] {
    const pids = readdirSync(this.path('/proc')).filter((name) => /^\d+$/.test(name) && name !== '1')
    return pids.flatMap((pid) => {
      try {
        const command = readFileSync(this.path(`/proc/${pid}/cmdline`), 'utf8')
          .replaceAll('\0', ' ')
          .trim()
        return command === 'cat' || command === '' ? [] : [`process ${command}`]
      } catch {
        return [] // it ended while being looked at
      }
    })
  }

  /** Ends every process in the machine; with them go its mounts and the containers' namespaces. */
  async stop(): Promise<void> {
    if (this.#init !== undefined && this.#init.exitCode === null) {
      const closed = once(this.#init, 'close')
      this.#init.stdin?.end()
      await closed
    }
    for (const dir of cgroupsUnder(this.cgroup)) rmdirSync(dir)
  }
}

function filesIn(dir: string): string[] {
  if (!existsSync(dir)) return []
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name))
}

/** The directories of a cgroup in every hierarchy, children before their parents. */
function cgroupsUnder(parent: string): string[] {
  return readdirSync(CGROUPS).flatMap((hierarchy) => {
    const top = join(CGROUPS, hierarchy, parent)
    if (!existsSync(top)) return []
    const entries = readdirSync(top, { recursive: true, withFileTypes: true })
    const dirs = entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name))
    return [top, ...dirs].sort((a, b) => b.length - a.length)
  })
}

/** A {@link Machine} that is ended when the test `t` ends. */
export async function newMachine(t: { teardown(fn: () => unknown): void }): Promise<Machine> {
  const machine = new Machine(newHost(t))
  t.teardown(() => machine.stop())
  await machine.start()
  return machine
}
