/** Who starts the contestants: caller.c, which stands for a runtime and measures each call from exec to exit. */
import { compiled } from './compile.ts'
import { Dialogue } from './dialogue.ts'

export interface Call {
  /** The program, absolute, and its arguments. */
  readonly argv: readonly string[]
  /** PATH alone if absent. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** How many addresses the result on its stdout has to have; absent: nothing may be there. */
  readonly addresses?: number
  /** It may print what it likes. */
  readonly talkative?: boolean
}

/** A call that was made and went well; ms. */
export interface Made {
  /** Since the job's first call was started. */
  readonly start: number
  readonly took: number
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export class Caller {
  readonly #dialogue: Dialogue
  #hot = 0

  /** @param netns path of the namespace that its programs run in */
  constructor(netns: string) {
    this.#dialogue = new Dialogue(compiled('caller'), [netns])
  }

  /** One call. @returns ms from exec to exit */
  async one(call: Call): Promise<number> {
    const [made] = await this.many([call], 1)
    return made?.took ?? Number.NaN
  }

  /** All of them, by so many callers at a time. */
  async many(calls: readonly Call[], callers: number): Promise<Made[]> {
    return (await this.beside(calls, callers, [])).shared
  }

  /** The same, and by one caller besides, one after the other, as many of `others` as there is time for meanwhile. */
  async beside(
    calls: readonly Call[],
    callers: number,
    others: readonly Call[],
  ): Promise<{ shared: Made[]; beside: Made[] }> {
    const all = [...calls, ...others]
    const job = [`run ${callers} ${calls.length} ${others.length}`, ...all.map(line)].join('\n')
    const answers = await this.#dialogue.askFor(all.length, job)
    const made = answers.map((answer, index) => verified(all[index], answer))
    this.#hot += all.filter((call, index) => made[index] && call.env?.NUGATOR_AGENT_SOCKET).length
    return {
      shared: made.slice(0, calls.length).filter((call) => call !== undefined),
      beside: made.slice(calls.length).filter((call) => call !== undefined),
    }
  }

  /** Calls so far that were to be answered by an agent. */
  get hot(): number {
    return this.#hot
  }

  stop(): void {
    this.#dialogue.stop()
  }
}

/** From the first call's start to the last one's end; ms. */
export function total(made: readonly Made[]): number {
  return Math.max(...made.map(({ start, took }) => start + took))
}

function line({ argv, env = {}, stdin = '' }: Call): string {
  const variables = Object.entries({ PATH, ...env }).map(([name, value]) => `e${name}=${value}`)
  const fields = [...argv.map((arg) => `a${arg}`), ...variables, `i${stdin}`]
  if (fields.some((field) => /[\t\n]/.test(field)))
    throw new Error(`a tab or a newline in: ${argv.join(' ')}`)
  return fields.join('\t')
}

/** @returns undefined if it was not made @throws if it did not do what it should */
function verified(call: Call | undefined, answer: string): Made | undefined {
  if (call === undefined || answer === '-') return undefined
  const [start = '', took = '', status = '', ...words] = answer.split(' ')
  const stdout = words.join(' ')
  const what = `${call.argv.join(' ')} ${call.env?.CNI_COMMAND ?? ''} (exit ${status}): ${stdout}`
  if (status !== '0') throw new Error(what)
  const asked =
    call.talkative ||
    (call.addresses === undefined ? stdout.trim() === '' : addressesIn(stdout) === call.addresses)
  if (!asked) throw new Error(`not the answer that was expected: ${what}`)
  return { start: Number(start) / 1e6, took: Number(took) / 1e6 }
}

function addressesIn(stdout: string): number {
  const { ips = [] } = JSON.parse(stdout) as { ips?: { address?: string }[] }
  return ips.filter(({ address }) => /^[0-9a-f.:]+\/\d+$/.test(address ?? '')).length
}
