/** What a scene found out. */
import { quantile } from './stats.ts'

/** A contestant and what each of its turns took; ms. */
export interface Row {
  readonly name: string
  readonly samples: readonly number[]
}

/** Contestants that did the same; the first is what the others are measured by. */
export interface Group {
  readonly title: string
  readonly rows: readonly Row[]
}

/** Something that was to be shown, and whether it is. Never an assertion: a machine may have a bad day. */
export interface Claim {
  readonly what: string
  readonly ours: string
  readonly theirs: string
  readonly value: number
  readonly unit: '×' | 'ms' | 'MB'
  /** At most. */
  readonly target: number
}

export interface SceneResult {
  readonly title: string
  readonly groups: readonly Group[]
  readonly claims: readonly Claim[]
  /** Other things worth a line. */
  readonly notes: readonly string[]
  /** Where the time went inside the agent: for each verb the median of each part, µs. */
  readonly splits?: Readonly<Record<string, Readonly<Record<string, number>>>>
}

export interface Scene {
  readonly name: string
  /** How often each contestant takes its turn, unless --rounds says otherwise. */
  readonly rounds: { readonly full: number; readonly quick: number }
  run(rounds: number, options: Options): Promise<SceneResult>
}

export interface Options {
  readonly quick: boolean
  /** Path of koko. */
  readonly koko?: string
}

export function median(row: Row): number {
  return quantile(row.samples, 0.5)
}

/** The ratio of two medians. */
export function ratio(what: string, ours: Row, theirs: Row, target: number): Claim {
  return {
    what,
    ours: ms(median(ours)),
    theirs: ms(median(theirs)),
    value: median(ours) / median(theirs),
    unit: '×',
    target,
  }
}

export function isMet({ value, target }: Claim): boolean {
  return value <= target
}

/** For people: three digits. */
export function ms(milliseconds: number): string {
  const digits = milliseconds < 10 ? 2 : milliseconds < 100 ? 1 : 0
  return `${milliseconds.toFixed(digits)} ms`
}
