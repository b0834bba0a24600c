/** What kind of trouble: the plugin turns it into a CNI code, the command line into an exit status. */
export type WireProblem = 'invalid' | 'exists' | 'link full' | 'live' | 'busy' | 'failed'

/** Something nugator refuses or could not do: what, where, why, and what to do about it. */
export class WireError extends Error {
  override readonly name = 'WireError'
  readonly problem: WireProblem
  readonly advice: string

  constructor(problem: WireProblem, message: string, advice = '', options?: ErrorOptions) {
    super(message, options)
    this.problem = problem
    this.advice = advice
  }
}

/** A refusal of what was asked, before anything was done. */
export function invalid(message: string, advice = ''): WireError {
  return new WireError('invalid', message, advice)
}
