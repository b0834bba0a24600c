/** Contestants in one run, so that what disturbs one disturbs the other: believe the ratios. */

/** Rounds that do not count. */
const WARM_UP = 3

/**
 * Each contestant once a round, and who begins changes with every round. `turn` is told whether it counts.
 */
export async function inTurn<T>(
  contestants: readonly T[],
  rounds: number,
  turn: (contestant: T, counts: boolean, round: number) => Promise<void>,
  warmUp: number = WARM_UP,
): Promise<void> {
  for (let round = 0; round < warmUp + rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed()
    for (const contestant of order) await turn(contestant, round >= warmUp, round)
  }
}

/** Samples by the name of who they are of. */
export class Samples {
  readonly #rows = new Map<string, number[]>()

  add(name: string, sample: number): void {
    const row = this.#rows.get(name)
    if (row === undefined) this.#rows.set(name, [sample])
    else row.push(sample)
  }

  row(name: string): { name: string; samples: readonly number[] } {
    return { name, samples: this.#rows.get(name) ?? [] }
  }
}
