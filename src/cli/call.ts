/** A runtime's call of the plugin, by this process itself. */
import { readSync } from 'node:fs'
import { serve } from '../cni/serve.ts'
import { ownProcess } from '../plugin/caller.ts'
import { nugatorFor } from '../plugin/plugin.ts'
import { print, printCrash } from './print.ts'

const CHUNK = 65536

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

async function call(): Promise<void> {
  const answer = await serve(nugatorFor(ownProcess()), process.env, readStdin)
  print(2, answer.stderr)
  print(1, answer.stdout)
  process.exitCode = answer.exitCode
}

call().catch(printCrash)
