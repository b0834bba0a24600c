/** One call after the other, from the client's frame to the answer: the same functions as in a process of their own. */
import type { Socket } from 'node:net'
import { isVerb } from '../cni/environment.ts'
import type { CniError } from '../cni/error.ts'
import { type CniCall, type Plugin, serve } from '../cni/serve.ts'
import { gatheredRemoval } from '../koko/gathered-removal.ts'
import { nugatorFor } from '../plugin/plugin.ts'
import { ClientCall } from './client-call.ts'
import { type CallFrame, formatAnswer, goCold } from './frame.ts'
import { takeOver } from './handover.ts'
import type { Journal } from './journal.ts'
import { Rest } from './rest.ts'
import type { Statistics } from './statistics.ts'
import { Turns } from './turns.ts'

/** What is counted as one verb, whatever it was called. */
const UNKNOWN = 'unknown'

export class Calls {
  readonly #journal: Journal
  readonly #statistics: Statistics
  readonly #turns = new Turns()
  readonly #removeGathered = gatheredRemoval(() => this.#turns.isAdding)
  readonly #rest = new Rest()
  #inFlight = 0
  #ended: (() => void) | undefined

  constructor(journal: Journal, statistics: Statistics) {
    this.#journal = journal
    this.#statistics = statistics
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Resolves when no call is under way any more. */
  async end(): Promise<void> {
    if (this.#inFlight === 0) return
    await new Promise<void>((ended) => {
      this.#ended = ended
    })
  }

  /** Answers a call, and closes the connection. */
  async answer(socket: Socket, frame: CallFrame): Promise<void> {
    const arrived = performance.now()
    const command = frame.env.CNI_COMMAND ?? ''
    const verb = isVerb(command) ? command : UNKNOWN
    this.#inFlight += 1
    try {
      if (verb === 'ADD') this.#turns.addBegins()
      else await this.#turns.wait()
      await this.#answerNow(socket, frame, verb, new Parts(arrived))
    } finally {
      this.#inFlight -= 1
      if (verb === 'ADD') this.#turns.addEnds()
      this.#rest.later()
      if (this.#inFlight === 0) this.#ended?.()
    }
  }

  async #answerNow(socket: Socket, frame: CallFrame, verb: string, parts: Parts): Promise<void> {
    const handover = takeOver(socket, frame)
    if (handover === undefined) {
      this.#statistics.refused += 1
      socket.end(goCold())
      return
    }
    try {
      const call = new ClientCall(frame, handover, this.#removeGathered, (part) => parts.begin(part))
      const { plugin, outcome } = observed(nugatorFor(call))
      const { stdout, stderr, exitCode } = await serve(plugin, frame.env, () => frame.stdin)
      handover.close()
      parts.begin('answer')
      socket.end(formatAnswer({ exitCode, stdout, stderr: call.stderr + stderr }))
      const took = parts.sinceArrival()
      const { error, network } = outcome()
      this.#statistics.add({ verb, took, ...(error === undefined ? {} : { error }) })
      this.#journal.say('call', {
        verb,
        network: short(network),
        containerID: short(frame.env.CNI_CONTAINERID),
        ifName: short(frame.env.CNI_IFNAME),
        code: error?.code ?? 0,
        ...(error === undefined ? {} : { error: short(error.message) }),
        us: took,
        parts: parts.end(),
      })
    } finally {
      handover.close()
    }
  }
}

/** What callers send may be long; the log need not. */
function short(text: string | undefined): string | undefined {
  return text?.slice(0, 1000)
}

/** How long each part of a call took, in µs. */
class Parts {
  readonly #took: Record<string, number> = {}
  readonly #arrived: number
  #name = 'parse'
  #since: number

  constructor(arrived: number) {
    this.#arrived = arrived
    this.#since = arrived
  }

  sinceArrival(): number {
    return Math.round(1000 * (performance.now() - this.#arrived))
  }

  begin(name: string): void {
    const now = performance.now()
    this.#took[this.#name] = (this.#took[this.#name] ?? 0) + Math.round(1000 * (now - this.#since))
    this.#name = name
    this.#since = now
  }

  end(): Readonly<Record<string, number>> {
    this.begin('')
    return this.#took
  }
}

interface Outcome {
  readonly network?: string
  readonly error?: CniError
}

/** The plugin, and a look at what became of its one call. */
function observed(plugin: Plugin): { plugin: Plugin; outcome: () => Outcome } {
  let outcome: Outcome = {}
  const noting =
    <T>(verb: (call: CniCall) => Promise<T>) =>
    (call: CniCall) => {
      outcome = { network: call.network }
      return verb(call)
    }
  return {
    outcome: () => outcome,
    plugin: {
      about: plugin.about,
      add: noting(plugin.add),
      del: noting(plugin.del),
      check: noting(plugin.check),
      gc: noting(plugin.gc),
      status: noting(plugin.status),
      report(thrown) {
        const error = plugin.report(thrown)
        outcome = { ...outcome, error }
        return error
      },
    },
  }
}
