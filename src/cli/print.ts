import { writeSync } from 'node:fs'

/** Writes all of it, also into a pipe that is full for now. */
export function print(fd: number, text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') continue
      throw error
    }
  }
}

/** What a programming error looks like. */
export function printCrash(error: unknown): void {
  print(2, `nugator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
}
