/** nugator installed with its units under a systemd of its own, and calls of it from beside its services. */
import type { Test } from 'tap'
import { newHost, PLUGIN, REFERENCE_PLUGINS } from './host.ts'
import type { Conf } from './modes.ts'
import { bootSystemd, type Systemd } from './systemd.ts'

const INSTALLED = '/opt/cni/bin/nugator'

export interface AgentStatus {
  readonly pid: number
  readonly refused: number
  readonly verbs: Readonly<Record<string, { readonly count: number; readonly failed: number }>>
}

type Containers = ReadonlyMap<string, { name: string; path: string }>

export class InstalledService {
  readonly systemd: Systemd
  readonly #containers: Containers
  readonly #results = new Map<string, unknown>()

  private constructor(systemd: Systemd, containers: Containers) {
    this.systemd = systemd
    this.#containers = containers
  }

  /** @param labels of containers, each a namespace */
  static async start(t: Test, ...labels: string[]): Promise<InstalledService> {
    const host = newHost(t)
    const containers = new Map(labels.map((label) => [label, host.netns(label)]))
    const names = [...containers.values()].map(({ name }) => name)
    const systemd = await bootSystemd(t, host, names)
    const done = await systemd.run(PLUGIN, 'install', '--systemd')
    t.match(done, { code: 0, stderr: '' }, 'install --systemd')
    t.match(done.stdout, /\nran systemctl daemon-reload\nran systemctl enable --now nugator\.socket\n$/)
    return new InstalledService(systemd, containers)
  }

  container(label: string): { name: string; path: string } {
    const container = this.#containers.get(label)
    if (container === undefined) throw new Error(`no container ${label}`)
    return container
  }

  /** As a runtime calls the installed plugin; insists on success. */
  async cni(t: Test, verb: string, label: string, conf: Conf): Promise<void> {
    const { path } = this.container(label)
    const of = `${conf.name} ${label}`
    const env = {
      CNI_COMMAND: verb,
      ...(verb === 'GC' || verb === 'STATUS'
        ? {}
        : { CNI_CONTAINERID: `ctr-${label}`, CNI_NETNS: path, CNI_IFNAME: 'eth0' }),
      CNI_PATH: REFERENCE_PLUGINS,
    }
    const previous = this.#results.get(of)
    const whole = { ...conf, ...(previous === undefined ? {} : { prevResult: previous }) }
    const done = await this.systemd.runAs(env, JSON.stringify(whole), INSTALLED)
    t.equal(done.code, 0, `${verb} ${of} ${done.code === 0 ? '' : done.stdout + done.stderr}`)
    if (verb === 'ADD' && done.code === 0) this.#results.set(of, JSON.parse(done.stdout))
    if (verb === 'DEL') this.#results.delete(of)
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse(await this.systemd.ask(INSTALLED, 'agent', 'status', '--format=json'))
  }

  /** A property of the agent's service. */
  property(name: string): Promise<string> {
    return this.systemd.ask('systemctl', 'show', '--value', `--property=${name}`, 'nugator.service')
  }
}
