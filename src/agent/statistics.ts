/** What the agent has done so far: counts, durations, last errors. */

/** Durations kept of each verb, for the quantiles. */
const KEPT = 1024
const ERRORS_KEPT = 10
/** Characters of an error's words: some repeat what the caller sent. */
const WORDS_MAX = 1000

export interface Finished {
  readonly verb: string
  /** µs from the request's arrival to its answer. */
  readonly took: number
  /** CNI's error code and words; undefined if all went well. */
  readonly error?: { readonly code: number; readonly msg: string }
}

export interface VerbSummary {
  readonly count: number
  readonly failed: number
  /** In µs. */
  readonly p50: number
  readonly p99: number
  readonly sum: number
}

export interface LastError {
  readonly time: string
  readonly verb: string
  readonly code: number
  readonly msg: string
}

interface Verb {
  count: number
  failed: number
  sum: number
  readonly recent: Float64Array
}

export class Statistics {
  readonly started: Date = new Date()
  readonly #verbs = new Map<string, Verb>()
  readonly #errors: LastError[] = []
  /** Calls that were sent back to be done by their own process. */
  refused = 0

  add({ verb, took, error }: Finished): void {
    const known = this.#verbs.get(verb)
    const counts = known ?? { count: 0, failed: 0, sum: 0, recent: new Float64Array(KEPT) }
    if (known === undefined) this.#verbs.set(verb, counts)
    counts.recent[counts.count % KEPT] = took
    counts.count += 1
    counts.sum += took
    if (error === undefined) return
    counts.failed += 1
    const msg = error.msg.slice(0, WORDS_MAX)
    this.#errors.push({ time: new Date().toISOString(), verb, code: error.code, msg })
    if (this.#errors.length > ERRORS_KEPT) this.#errors.shift()
  }

  get errors(): readonly LastError[] {
    return this.#errors
  }

  /** Each verb that was called; quantiles are of the last {@link KEPT} calls. */
  verbs(): Map<string, VerbSummary> {
    const summaries = [...this.#verbs].map(([verb, { count, failed, sum, recent }]) => {
      const sorted = recent.slice(0, Math.min(count, KEPT)).sort()
      const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
      return [verb, { count, failed, sum, p50: at(0.5), p99: at(0.99) }] as const
    })
    return new Map(summaries)
  }
}
