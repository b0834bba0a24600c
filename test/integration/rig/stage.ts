/** One host, its containers and their attachments by name, so that a test can say `stage.add('r1')`. */
import { delegates } from './cni/reference.ts'
import { type CniResult, Host } from './host.ts'
import type { Conf } from './modes.ts'
import { type Link, look } from './snapshot.ts'

export interface Attachment {
  conf: Conf
  containerID: string
  /** Label of the container's namespace. */
  on: string
  ifName?: string
  args?: string
}

export interface Manner {
  env?: Record<string, string>
  /** Leave CNI_NETNS out. */
  withoutNetns?: boolean
  args?: string
  conf?: Conf
}

export class Stage {
  readonly host: Host
  /** CNI_PATH: the reference IPAM plugins, at every CNI version. */
  readonly #path: string
  readonly #attachments = new Map<string, Attachment>()
  readonly #containers = new Map<string, { name: string; path: string }>()
  readonly #results = new Map<string, unknown>()

  constructor(t?: { teardown(fn: () => unknown): void }) {
    this.host = new Host()
    t?.teardown(() => this.host.remove())
    this.#path = delegates(this.host)
  }

  /** Makes containers of these labels; `die` and `revive` replace their namespaces. */
  containers(...labels: string[]): this {
    for (const label of labels) this.#containers.set(label, this.host.netns(label))
    return this
  }

  cast(attachments: Record<string, Attachment>): this {
    for (const [who, attachment] of Object.entries(attachments)) this.#attachments.set(who, attachment)
    return this
  }

  netns(label: string): { name: string; path: string } {
    const container = this.#containers.get(label)
    if (container === undefined) throw new Error(`no container ${label} on this stage`)
    return container
  }

  /** Names of the namespaces of all containers. */
  get namespaces(): string[] {
    return [...this.#containers.values()].map(({ name }) => name)
  }

  attachment(who: string): Attachment {
    const attachment = this.#attachments.get(who)
    if (attachment === undefined) throw new Error(`no attachment ${who} on this stage`)
    return attachment
  }

  #call(command: string, who: string, conf: Conf, manner: Manner): Promise<CniResult> {
    const { containerID, ifName = 'eth0', on, args } = this.attachment(who)
    const spoken = manner.args ?? args
    return this.host.cni(command, {
      containerID,
      ifName,
      conf,
      path: this.#path,
      ...(manner.withoutNetns ? {} : { netns: this.pathOf(on) }),
      ...(spoken === undefined ? {} : { args: spoken }),
      ...(manner.env === undefined ? {} : { env: manner.env }),
    })
  }

  pathOf(label: string): string {
    return `/run/netns/${this.host.name}-${label}`
  }

  async add(who: string, manner: Manner = {}): Promise<CniResult> {
    const done = await this.#call('ADD', who, manner.conf ?? this.attachment(who).conf, manner)
    if (done.code === 0) this.#results.set(who, done.json)
    else if (done.code === null) this.#results.delete(who)
    return done
  }

  /** As a runtime does it: with the result of the ADD, until a DEL has succeeded. */
  async del(who: string, manner: Manner = {}): Promise<CniResult> {
    const done = await this.#call('DEL', who, this.#withResult(who, manner), manner)
    if (done.code === 0) this.#results.delete(who)
    return done
  }

  check(who: string, manner: Manner = {}): Promise<CniResult> {
    return this.#call('CHECK', who, this.#withResult(who, manner), manner)
  }

  /** What the last ADD that succeeded told the runtime. */
  resultOf(who: string): unknown {
    return this.#results.get(who)
  }

  #withResult(who: string, manner: Manner): Conf {
    const prevResult = this.#results.get(who)
    const conf = manner.conf ?? this.attachment(who).conf
    return prevResult === undefined ? conf : { ...conf, prevResult }
  }

  /** GC of one network, with these attachments still valid. */
  gc(conf: Conf, valid: readonly string[], manner: Manner = {}): Promise<CniResult> {
    const attachments = valid.map((who) => {
      const { containerID, ifName = 'eth0' } = this.attachment(who)
      return { containerID, ifname: ifName }
    })
    return this.host.cni('GC', {
      conf: { ...conf, cniVersion: '1.1.0', 'cni.dev/valid-attachments': attachments },
      containerID: '',
      ifName: '',
      path: this.#path,
      ...(manner.env === undefined ? {} : { env: manner.env }),
    })
  }

  /** The container's namespace goes away, as with a runtime that deletes it before its DEL. */
  die(label: string): void {
    this.host.deleteNetns(this.netns(label).name)
    this.#containers.delete(label)
  }

  alive(label: string): boolean {
    return this.#containers.has(label)
  }

  /** A new namespace at the old path. */
  revive(label: string): void {
    if (!this.alive(label)) this.containers(label)
  }

  /** Link mode's waiting ends. */
  async parked(): Promise<Link[]> {
    const { links } = await look(this.host.name)
    return links.filter((link) => link.ifname.startsWith('vethp'))
  }
}
