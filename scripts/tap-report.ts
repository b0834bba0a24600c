/**
 * Turns the TAP of a run into one line per test file and, for a file that failed, every failing assertion in
 * full. The totals are tap's own, from the comment at the end of its output.
 */
export interface Totals {
  passed: number
  failed: number
}

interface Subtest {
  name: string
  passed: number
  failed: number
}

const COLOURS = { green: 32, red: 31, dim: 2 } as const
const POINT = /^( *)(not )?ok\b(?: \d+)?(?: - (.*?))?(?: # time=([\d.]+)ms)?(?: \{)?$/
const DIRECTIVE = / # (SKIP|TODO)\b/i
/** Left out because the caller asked for others (--grep, --only). */
const FILTERED = / # SKIP filter: /
/** Fields of a diagnosis that repeat what the others say, or say how the file was started. */
const REPETITIVE =
  /^(stdio|cwd|args|externalID|command|jobId|signal|typeName|isToplevel|methodName|functionName):/

export class TapReport {
  readonly #print: (line: string) => void
  readonly #colour: boolean
  /** Open subtests by nesting; the first is the file. */
  #open: Subtest[] = []
  /** What is to be printed about the present file once its diagnosis, if any, has been read. */
  #file: string | undefined
  #failures: string[] = []
  /** The failed test point whose diagnosis may follow. */
  #failing: { indent: number; kept: boolean; inside: boolean; skipping: boolean } | undefined
  #filtered = 0
  /** tap's totals, once they came. */
  totals: Totals | undefined

  constructor(print: (line: string) => void, colour: boolean) {
    this.#print = print
    this.#colour = colour
  }

  line(text: string): void {
    if (this.#diagnosis(text)) return
    this.finish()
    const subtest = /^( *)# Subtest: (.*)$/.exec(text)
    if (subtest !== null) this.#begin((subtest[1] ?? '').length / 4, subtest[2] ?? '')
    const point = POINT.exec(text)
    if (point !== null) this.#point((point[1] ?? '').length, point)
    const totals = /^# \{ (total: .*) \}$/.exec(text)
    if (totals !== null) this.#total(totals[1] ?? '')
  }

  #begin(depth: number, name: string): void {
    this.#open.length = Math.min(this.#open.length, depth)
    this.#open.push({ name, passed: 0, failed: 0 })
  }

  #point(indent: number, point: RegExpExecArray): void {
    const depth = indent / 4
    const name = point[3] ?? ''
    if (FILTERED.test(name)) {
      this.#filtered += 1
      return
    }
    const ok = point[2] === undefined && !DIRECTIVE.test(name)
    const closed = this.#open[depth]
    this.#open.length = Math.min(this.#open.length, depth)
    if (!ok) {
      // The end of a subtest is only news if nothing inside of it explains the failure.
      const kept = closed === undefined || closed.failed === 0
      const path = [...this.#open.slice(1).map((subtest) => subtest.name), name].join(' › ')
      if (kept) this.#failures.push(`    ${this.#paint('red', '✗')} ${path}`)
      this.#failing = { indent, kept, inside: false, skipping: false }
    }
    const passed = closed?.passed ?? (ok ? 1 : 0)
    const failed = closed?.failed || (ok ? 0 : 1)
    const parent = this.#open.at(-1)
    if (parent !== undefined) {
      parent.passed += passed
      parent.failed += failed
    }
    if (depth === 0) this.#file = this.#summary(name, passed, failed, Number(point[4] ?? 0))
  }

  /** Takes the lines of the YAML block that follows a failure. */
  #diagnosis(text: string): boolean {
    const failing = this.#failing
    if (failing === undefined) return false
    const inner = text.slice(failing.indent + 2)
    if (!failing.inside) {
      failing.inside = inner === '---'
      if (!failing.inside) this.#failing = undefined
      return failing.inside
    }
    if (inner === '...') {
      this.#failing = undefined
      return true
    }
    if (/^\S/.test(inner)) failing.skipping = REPETITIVE.test(inner)
    if (failing.kept && !failing.skipping && !REPETITIVE.test(inner.trim()))
      this.#failures.push(`        ${inner}`.trimEnd())
    return true
  }

  #summary(name: string, passed: number, failed: number, milliseconds: number): string {
    const mark = failed > 0 ? this.#paint('red', '✗') : this.#paint('green', '✓')
    const counts = `${passed} passed${failed > 0 ? `, ${failed} failed` : ''}`
    const time = this.#paint('dim', `${(milliseconds / 1000).toFixed(2)} s`)
    return `${mark} ${name.padEnd(46)} ${counts.padEnd(22)} ${time}`
  }

  /** Prints what is known about a file that has ended; to be called when the output has ended, too. */
  finish(): void {
    if (this.#file === undefined) return
    for (const line of [this.#file, ...this.#failures]) this.#print(line)
    this.#file = undefined
    this.#failures = []
  }

  #total(text: string): void {
    const count = (key: string): number => Number(new RegExp(`\\b${key}: (\\d+)`).exec(text)?.[1] ?? 0)
    // Here nothing may be skipped or left for later.
    this.totals = {
      passed: count('pass'),
      failed: count('fail') + count('skip') - this.#filtered + count('todo'),
    }
  }

  #paint(colour: keyof typeof COLOURS, text: string): string {
    return this.#colour ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text
  }
}
