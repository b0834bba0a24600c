/** Why a namespace could not be had. */
export type NetnsProblem =
  | 'bad reference'
  | 'missing'
  | 'not a namespace'
  | 'denied'
  | 'unsupported'
  | 'failed'

/** A namespace reference that did not lead to a namespace: which one, what was tried, what to do. */
export class NetnsError extends Error {
  override readonly name = 'NetnsError'
  readonly problem: NetnsProblem
  readonly reference: string
  readonly advice: string

  constructor(problem: NetnsProblem, reference: string, what: string, advice: string) {
    super(`network namespace ${JSON.stringify(reference)}: ${what}`)
    this.problem = problem
    this.reference = reference
    this.advice = advice
  }
}
