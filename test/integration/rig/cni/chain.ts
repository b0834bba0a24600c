/** A plugin list as libcni runs it: one after the other, each with the result of the one before it. */
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Call, type CniResult, type Host, PLUGIN, REFERENCE_PLUGINS } from '../host.ts'
import { added, type Result } from './answer.ts'
import type { Netconf } from './conf.ts'

export class Chain {
  readonly #host: Host
  readonly #call: Call
  readonly #plugins: Netconf[]
  /** Of the last plugin. */
  result: Result | undefined

  constructor(host: Host, call: Call, plugins: Netconf[], common: Netconf = {}) {
    this.#host = host
    this.#call = call
    this.#plugins = plugins.map((plugin) => ({ name: 'net1', cniVersion: '1.0.0', ...common, ...plugin }))
  }

  async #run(command: string, conf: Netconf): Promise<CniResult> {
    const prevResult = this.result === undefined ? {} : { prevResult: this.result }
    const type = String(conf.type)
    const plugin = type === 'nugator' ? PLUGIN : join(REFERENCE_PLUGINS, type)
    return await this.#host.cni(command, { ...this.#call, plugin, conf: { ...conf, ...prevResult } })
  }

  async add(t: Test): Promise<Result> {
    for (const conf of this.#plugins) this.result = added(t, await this.#run('ADD', conf))
    return this.result ?? {}
  }

  /** CHECK of the plugins whose type `which` wants. */
  async check(which: (type: unknown) => boolean): Promise<CniResult[]> {
    const done: CniResult[] = []
    for (const conf of this.#plugins.filter(({ type }) => which(type)))
      done.push(await this.#run('CHECK', conf))
    return done
  }

  /** In reverse, each with the final result. */
  async del(): Promise<CniResult[]> {
    const done: CniResult[] = []
    for (const conf of [...this.#plugins].reverse()) done.push(await this.#run('DEL', conf))
    return done
  }
}
