/** Calls of the plugin that can be looked at, and ended, while they are under way. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Agent } from './agent.ts'
import { start } from './client-place.ts'
import { FakeIpam, RESULT } from './cni/ipam.ts'
import { type Call, type CniResult, type Host, PLUGIN } from './host.ts'

const PATIENCE_MS = 20_000

export interface UnderWay {
  readonly ended: Promise<CniResult>
  /** kill -9 of the client. */
  kill(): void
}

/** Starts a call as `host.cni` does. */
export function begin(host: Host, command: string, call: Call): UnderWay {
  const stdin = call.stdin ?? JSON.stringify(call.conf)
  const env = host.env({ ...call, command })
  const { child, ended } = start(call.plugin ?? PLUGIN, { env, stdin, netns: host.path })
  return {
    kill: () => child.kill('SIGKILL'),
    ended: ended.then(({ code, signal, ...said }) => {
      const [stdout, stderr] = [said.stdout.toString(), said.stderr.toString()]
      return { code, signal, stdout, stderr, json: stdout.trim() === '' ? undefined : JSON.parse(stdout) }
    }),
  }
}

/** Waits until it is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const start = performance.now(); !(await isSo()); await pause(3)) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`it never came to be: ${what}`)
  }
}

/** Waits until the agent works for nobody any more. */
export function idle(agent: Agent): Promise<void> {
  return until('the agent is idle', async () => (await agent.status()).inFlight === 0)
}

/** An IPAM plugin that does not answer before it is told to. */
export class GatedIpam {
  readonly fake: FakeIpam
  readonly #gate: string

  /** `static` is asked before there is a wire, all others after. */
  constructor(host: Host, type = 'gated', verbs: readonly string[] = ['ADD']) {
    this.fake = new FakeIpam(host, type)
    this.#gate = join(host.dir, `${type}-gate`)
    const script = `while [ ! -e ${this.#gate} ]; do sleep 0.01; done`
    for (const verb of verbs) this.fake.reply(verb, { script, ...(verb === 'ADD' ? { stdout: RESULT } : {}) })
  }

  /** For a netconf. */
  get conf(): { ipam: { type: string } } {
    return { ipam: { type: this.fake.type } }
  }

  /** Waits until it has been asked. */
  asked(verb: string, times = 1): Promise<void> {
    return until(`${times} ${verb} of IPAM`, () => this.times(verb) >= times)
  }

  times(verb: string): number {
    return this.fake.calls().filter((call) => call.startsWith(`${verb} `)).length
  }

  open(): void {
    writeFileSync(this.#gate, '')
  }
}
