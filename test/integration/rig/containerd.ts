/** containerd on a {@link Machine}, spoken to with `ctr` and through its CRI. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BUSYBOX_IMAGE, makeBusyboxImage } from './busybox.ts'
import type { CommandResult } from './host.ts'
import type { Machine } from './machine.ts'

const STAY = ['sleep', '100000']

/** A container that `ctr run` keeps in the foreground. */
export interface CtrContainer {
  pid: number
  /** Kills the container and resolves when `ctr` has deleted it, network included. */
  kill(): Promise<CommandResult>
}

export class Containerd {
  readonly socket: string
  readonly #machine: Machine
  readonly #config: string
  readonly #log: string
  /** As the machine counts. */
  readonly #pidFile: string
  #daemon: ChildProcess | undefined

  constructor(machine: Machine) {
    this.#machine = machine
    const dir = join(machine.host.dir, 'containerd')
    mkdirSync(dir)
    this.socket = join(dir, 'c.sock')
    this.#config = join(dir, 'config.toml')
    this.#log = join(dir, 'log')
    this.#pidFile = join(dir, 'pid')
    writeFileSync(
      this.#config,
      `version = 2
root = "${join(dir, 'root')}"
state = "${join(dir, 'state')}"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "${this.socket}"
[ttrpc]
address = "${this.socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${BUSYBOX_IMAGE}"
disable_tcp_service = true
# the machine's root may lack CAP_SYS_RESOURCE
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${machine.binDir}"
conf_dir = "${machine.confDir}"
max_conf_num = 1
`,
    )
  }

  /** The containerd namespace of ctr's containers; containerd puts their cgroups under a directory of its name. */
  get namespace(): string {
    return this.#machine.host.name
  }

  /** The container ID that `ctr run --cni` tells a plugin. */
  cniID(name: string): string {
    return `${this.namespace}-${name}`
  }

  async start(): Promise<void> {
    const log = openSync(this.#log, 'a')
    const command = `echo $$ >${this.#pidFile}; exec containerd --config ${this.#config}`
    const [file, args] = this.#machine.entering('sh', ['-c', command])
    this.#daemon = spawn(file, args, { stdio: ['ignore', log, log] })
    closeSync(log)
    for (let tries = 0; (await this.#ctr(this.namespace, ['version'])).code !== 0; tries++) {
      if (tries === 100 || this.#daemon.exitCode !== null) throw new Error(`containerd:\n${this.log()}`)
      await sleep(100)
    }
    const image = makeBusyboxImage(this.#machine.host.dir)
    for (const namespace of [this.namespace, 'k8s.io']) {
      const done = await this.#ctr(namespace, ['images', 'import', image])
      if (done.code !== 0) throw new Error(`ctr images import: ${done.stderr}`)
    }
  }

  log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  #ctr(namespace: string, args: string[]): Promise<CommandResult> {
    return this.#machine.run('ctr', ['--address', this.socket, '--namespace', namespace, ...args])
  }

  async #mustCtr(...args: string[]): Promise<string> {
    const done = await this.#ctr(this.namespace, args)
    if (done.code !== 0) throw new Error(`ctr ${args.join(' ')}: ${done.stderr}`)
    return done.stdout
  }

  #runArgs(name: string, options: string[], command: string[]): string[] {
    return ['run', '--cni', ...options, BUSYBOX_IMAGE, name, ...command]
  }

  /** `ctr run --rm --cni` of a command that ends by itself. */
  ctrRun(name: string, ...command: string[]): Promise<CommandResult> {
    return this.#ctr(this.namespace, this.#runArgs(name, ['--rm'], command))
  }

  /** `ctr run --rm --cni` of a container that stays until it is killed. */
  async ctrStart(name: string): Promise<CtrContainer> {
    const ended = this.ctrRun(name, ...STAY)
    const failed = ended.then((done): never => {
      throw new Error(`ctr run ${name}: ${done.stderr}`)
    })
    const pid = await this.#running(name, failed)
    const kill = async () => {
      await this.#mustCtr('tasks', 'kill', '--signal', 'SIGKILL', name)
      return ended
    }
    return { pid, kill }
  }

  /** `ctr run -d --cni` of a container, which is then removed by hand: nobody calls DEL for it. */
  async ctrVanish(name: string): Promise<void> {
    await this.#mustCtr(...this.#runArgs(name, ['-d'], STAY))
    await this.#mustCtr('tasks', 'delete', '--force', name)
    await this.#mustCtr('containers', 'delete', name)
  }

  /** The pid of a container once its command runs, which is after the network is there. */
  async #running(name: string, failed: Promise<never>): Promise<number> {
    for (let tries = 0; tries < 300; tries++) {
      const list = await Promise.race([this.#mustCtr('tasks', 'list'), failed])
      const found = new RegExp(`^${name}\\s+(\\d+)\\s+RUNNING`, 'm').exec(list)
      if (found) return Number(found[1])
      await sleep(50)
    }
    throw new Error(`container ${name} does not run`)
  }

  /** Stops the daemon. Containers, and the shims that keep them, outlive it. */
  async stop(): Promise<void> {
    if (this.#daemon === undefined || this.#daemon.exitCode !== null) return
    const closed = once(this.#daemon, 'close')
    await this.#machine.exec('kill', [readFileSync(this.#pidFile, 'utf8').trim()])
    await closed
  }
}

/** Starts containerd, which ends with its machine at the latest. */
export async function newContainerd(machine: Machine): Promise<Containerd> {
  const containerd = new Containerd(machine)
  await containerd.start()
  return containerd
}
