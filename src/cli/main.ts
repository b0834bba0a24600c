/** Where the one executable starts: a runtime's plugin, or a person's command. */
import { readSync, writeSync } from 'node:fs'
import { serve } from '../cni/serve.ts'
import { ownProcess } from '../plugin/caller.ts'
import { nugatorFor } from '../plugin/plugin.ts'

const CHUNK = 65536

/** Writes all of it, also into a pipe that is full for now. */
function print(fd: number, text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') continue
      throw error
    }
  }
}

/** All of stdin, also from a pipe that does not block and is empty for now. */
function readStdin(): Buffer {
  const chunks: Buffer[] = []
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK)
    try {
      const length = readSync(0, chunk)
      if (length === 0) return Buffer.concat(chunks)
      chunks.push(chunk.subarray(0, length))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1) // a millisecond
    }
  }
}

async function main(): Promise<void> {
  const { env, argv } = process
  if (!env.CNI_COMMAND && argv.length > 2) {
    const { command } = await import('./command.ts')
    process.exitCode = await command(
      argv.slice(2),
      (text) => print(1, text),
      (text) => print(2, text),
    )
    return
  }
  const answer = await serve(nugatorFor(ownProcess()), env, readStdin)
  print(2, answer.stderr)
  print(1, answer.stdout)
  process.exitCode = answer.exitCode
}

main().catch((error: unknown) => {
  print(2, `nugator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
})
