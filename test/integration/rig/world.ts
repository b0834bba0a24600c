/** The real thing beside the {@link Model}: a host with containers, and what its kernel says. */
import { FOREIGN, foreignState, placeForeign, placeForeignDown } from './foreign.ts'
import { LABELS, type Label, type Mode, type Model, ROLES, roleOf } from './model.ts'
import { type Conf, hostConf } from './modes.ts'
import { addressesOf, filesIn, leases, look, masquerade, residue, snapshot } from './snapshot.ts'
import { Stage } from './stage.ts'

export class World {
  readonly stage: Stage
  /** Foreign devices by namespace, as they were when they were placed. */
  readonly #foreign = new Map<string, string>()

  constructor(t: { teardown(fn: () => unknown): void }) {
    this.stage = new Stage(t).containers(...LABELS)
    for (const [who, { mode, on, ifName, end }] of Object.entries(ROLES)) {
      const conf = this.conf(mode, who)
      const containerID = `ctr-${on}`
      this.stage.cast({ [who]: { conf, containerID, on, ifName, ...(end ? { args: `END=${end}` } : {}) } })
    }
  }

  async settle(): Promise<this> {
    const { host } = this.stage
    await Promise.all(
      [host.name, ...this.stage.namespaces].map(async (name) =>
        this.#foreign.set(name, await placeForeign(name)),
      ),
    )
    return this
  }

  /** The netconf of a mode; one network each. */
  conf(mode: Mode, who = `${mode}-a`): Conf {
    const { address, peer } = roleOf(who)
    if (mode === 'host') return hostConf(this.stage.host, { ipMasq: true })
    const base = { cniVersion: '1.1.0', name: `${mode}net`, type: 'nugator' }
    if (mode === 'peer' && peer !== undefined) {
      const there = {
        netns: this.stage.pathOf(peer.on),
        ifName: peer.ifName,
        addresses: [{ address: peer.address }],
      }
      return { ...base, addresses: [{ address }], peer: there }
    }
    const ends = {
      r1: { addresses: [{ address: roleOf('link-a').address }] },
      r2: { addresses: [{ address: roleOf('link-b').address }] },
    }
    return { ...base, link: { name: 'wire', ends } }
  }

  kill(label: Label): void {
    this.#foreign.delete(this.stage.netns(label).name)
    this.stage.die(label)
  }

  async revive(label: Label): Promise<void> {
    this.stage.revive(label)
    const { name } = this.stage.netns(label)
    this.#foreign.set(name, await placeForeignDown(name))
  }

  holding(): Promise<unknown> {
    return snapshot(this.stage.host, this.stage.namespaces)
  }

  /** Whether the link's wire is in the kernel: for calls that may heal and need not. */
  async healed(model: Model): Promise<boolean> {
    const living = ['link-a', 'link-b', 'link-c'].filter((who) => model.current(who))
    for (const who of living) {
      const { links } = await look(this.stage.netns(roleOf(who).on).name)
      if (links.some(({ ifname }) => ifname === 'ln0')) return true
    }
    return false
  }

  /** Every difference between the kernel and the model. */
  async differences(model: Model): Promise<string[]> {
    const found: string[] = []
    for (const label of LABELS.filter((each) => this.stage.alive(each))) {
      found.push(...(await this.#container(label, model)))
    }
    found.push(...(await this.#host(model)), ...(await this.#strangers()))
    return found
  }

  async #container(label: Label, model: Model): Promise<string[]> {
    const { links } = await look(this.stage.netns(label).name)
    const ours = links.filter(({ ifname }) => ifname !== 'lo' && !FOREIGN.has(ifname))
    const there = ours.map((link) => `${link.ifname} ${addressesOf(link)}`).sort()
    const wanted = model.interfaces(label)
    const found = there.join() === wanted.join() ? [] : [`${label} has [${there}] instead of [${wanted}]`]
    for (const { ifname, flags } of ours)
      if (!flags.includes('UP')) found.push(`${ifname} of ${label} is down`)
    return found
  }

  async #host(model: Model): Promise<string[]> {
    const { host } = this.stage
    const found: string[] = []
    const names = (await host.links()).filter((name) => !FOREIGN.has(name))
    const parked = names.filter((name) => name.startsWith('vethp')).length
    const ends = names.length - parked
    const hoped = model.heldBy('host').filter((who) => model.wired(who)).length
    if (ends !== hoped) found.push(`the host has ${ends} ends [${names}] instead of ${hoped}`)
    if (parked !== model.parked) found.push(`${parked} ends are parked instead of ${model.parked}`)
    const wanted = model.heldBy('host').map((who) => (model.held.get(who)?.address ?? '').replace(/\/.*/, ''))
    const there = leases(host)
    if (there.join() !== [...wanted].sort().join()) found.push(`leases [${there}] instead of [${wanted}]`)
    const rules = (await masquerade(host)).join('\n')
    for (const address of wanted) if (!rules.includes(address)) found.push(`no masquerade for ${address}`)
    if (wanted.length === 0 && rules !== '') found.push(`masquerade is left: ${rules}`)
    const files = Object.keys(filesIn(host.stateDir))
    const begun = files.filter((file) => file.startsWith('pending/'))
    if (begun.length > 0) found.push(`records of unfinished work: [${begun}]`)
    const anybody = Object.keys(ROLES).some((who) => model.current(who))
    if (anybody && files.length === 0) found.push('nothing is recorded')
    if (model.held.size === 0 && files.length > 0) found.push(`files are left: [${files}]`)
    return found
  }

  async #strangers(): Promise<string[]> {
    const found: string[] = []
    for (const [name, before] of this.#foreign) {
      if ((await foreignState(name)) !== before) found.push(`foreign devices in ${name} have changed`)
    }
    return found
  }

  /** Deletes everything, revives the dead, and says what is left. */
  async clear(): Promise<string[]> {
    const problems: string[] = []
    for (const who of Object.keys(ROLES)) {
      const done = await this.stage.del(who)
      if (done.code !== 0) problems.push(`the last DEL of ${who}: ${done.stdout}`)
    }
    problems.push(...(await residue(this.stage.host, this.stage.namespaces, FOREIGN)))
    for (const label of LABELS) if (!this.stage.alive(label)) await this.revive(label)
    return problems
  }
}
