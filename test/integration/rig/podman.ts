/** Podman with the CNI backend on a {@link Machine}: its images, containers and networks are the machine's own. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUSYBOX_IMAGE, makeBusyboxImage } from './busybox.ts'
import type { CommandResult } from './host.ts'
import type { Machine } from './machine.ts'

export class Podman {
  readonly #machine: Machine
  readonly #env: NodeJS.ProcessEnv

  constructor(machine: Machine) {
    this.#machine = machine
    const dir = join(machine.host.dir, 'podman')
    mkdirSync(dir)
    const conf = join(dir, 'containers.conf')
    const storage = join(dir, 'storage.conf')
    this.#env = { CONTAINERS_CONF: conf, CONTAINERS_STORAGE_CONF: storage }
    writeFileSync(
      conf,
      `[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${machine.binDir}"]
network_config_dir = "${machine.confDir}"
[containers]
# the machine's root may lack CAP_SYS_RESOURCE
default_ulimits = ["nofile=1024:20000", "nproc=1000:1000"]
`,
    )
    writeFileSync(
      storage,
      `[storage]
driver = "vfs"
graphroot = "${join(dir, 'graph')}"
runroot = "${join(dir, 'run')}"
`,
    )
  }

  /** Makes {@link BUSYBOX_IMAGE} known. */
  async load(): Promise<void> {
    await this.exec('load', '-i', makeBusyboxImage(this.#machine.host.dir))
  }

  /** Runs podman, whatever comes of it. */
  run(...args: string[]): Promise<CommandResult> {
    return this.#machine.run('podman', args, this.#env)
  }

  /** Runs podman and insists on success. */
  exec(...args: string[]): Promise<string> {
    return this.#machine.exec('podman', args, this.#env)
  }

  #create(name: string, network: string, command: string[]): string[] {
    const place = ['--name', name, '--network', network, '--cgroup-parent', this.#machine.cgroup]
    return ['run', '-d', ...place, BUSYBOX_IMAGE, ...command]
  }

  /** Starts a container on a network. */
  async start(name: string, network: string): Promise<void> {
    await this.exec(...this.#create(name, network, ['sleep', '100000']))
  }

  /** Starts a container on a network, whatever comes of it. */
  tryStart(name: string, network: string, ...command: string[]): Promise<CommandResult> {
    return this.run(...this.#create(name, network, command))
  }

  async pid(name: string): Promise<number> {
    return Number(await this.exec('inspect', '-f', '{{.State.Pid}}', name))
  }
}
