/** Runs the tasks, at most `limit` at a time; the results keep the tasks' order. */
export async function together<T>(limit: number, tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results = new Array<T>(tasks.length)
  const queue = tasks.entries()
  async function worker(): Promise<void> {
    for (const [index, task] of queue) results[index] = await task()
  }
  await Promise.all(Array.from({ length: Math.min(limit, tasks.length) }, worker))
  return results
}
