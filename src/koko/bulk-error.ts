/** What is wrong with some of many links: each finding says which link, and which end where that can be told. */
import { WireError } from './error.ts'

export type Side = 'a' | 'b'

/** One of many links, or an end of it, for messages. */
export interface Whose {
  /** The link's place in the list that was given. */
  readonly link: number
  /** The link in words. */
  readonly label: string
  /** Absent where it is the link as a whole. */
  readonly side?: Side
}

export interface Finding extends Whose {
  readonly error: Error
}

/** Nothing was done, or all of it was undone; a removal has done the rest. */
export class WiresError extends WireError {
  /** At least one. */
  readonly findings: readonly Finding[]

  constructor(findings: readonly [Finding, ...Finding[]]) {
    const [first] = findings
    const { error } = first
    const known = error instanceof WireError
    const more = findings.length === 1 ? '' : ` (and ${findings.length - 1} more)`
    super(
      known ? error.problem : 'failed',
      `${whoseText(first)}: ${error.message}${more}`,
      known ? error.advice : '',
      { cause: error },
    )
    this.findings = findings
  }
}

/** `link r1:eth1 r2:eth3, end b` */
export function whoseText({ label, side }: Whose): string {
  return `link ${label}${side === undefined ? '' : `, end ${side}`}`
}

export function finding({ link, label, side }: Whose, thrown: unknown): Finding {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  return { link, label, ...(side === undefined ? {} : { side }), error }
}

/** @throws WiresError if anything was found; the first finding is what it says */
export function fail([first, ...others]: readonly Finding[]): void {
  if (first !== undefined) throw new WiresError([first, ...others])
}
