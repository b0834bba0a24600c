/** What was done, a line each; with --dry-run what would be. */

export type Print = (text: string) => void

const VERBS = {
  install: ['installed', 'would install'],
  replace: ['replaced', 'would replace'],
  remove: ['removed', 'would remove'],
  make: ['made', 'would make'],
  run: ['ran', 'would run'],
  same: ['already there:', 'already there:'],
  keep: ['left:', 'left:'],
} as const
export type Verb = keyof typeof VERBS

export interface Report {
  did(verb: Verb, what: string, why?: string): void
  note(text: string): void
}

export function reportTo(out: Print, dryRun: boolean): Report {
  return {
    did(verb, what, why) {
      out(`${VERBS[verb][dryRun ? 1 : 0]} ${what}${why === undefined ? '' : ` (${why})`}\n`)
    },
    note(text) {
      out(`note: ${text}\n`)
    },
  }
}
