/** Numbers from samples. */

export interface Summary {
  rounds: number
  min: number
  median: number
  p99: number
}

/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(q * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

export function summarize(samples: readonly number[]): Summary {
  return {
    rounds: samples.length,
    min: Math.min(...samples),
    median: quantile(samples, 0.5),
    p99: quantile(samples, 0.99),
  }
}

/** One row a contestant, milliseconds; `ratio` is to the first row's median. */
export function table(rows: readonly { name: string; samples: readonly number[] }[]): string {
  const width = Math.max(...rows.map((row) => row.name.length))
  const base = quantile(rows[0]?.samples ?? [], 0.5)
  const head = `  ${''.padEnd(width)}       median          p99          min      ratio    samples`
  const lines = rows.map(({ name, samples }) => {
    const { median, p99, min } = summarize(samples)
    const cells = [median, p99, min].map((ms) => `${ms.toFixed(3)} ms`.padStart(13)).join('')
    return `  ${name.padEnd(width)}${cells}${(median / base).toFixed(2).padStart(11)}${String(samples.length).padStart(11)}`
  })
  return [head, ...lines].join('\n')
}
