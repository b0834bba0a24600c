/** Where the one executable starts: a runtime's plugin, or a person's command. */
import { readFileSync, writeSync } from 'node:fs'
import { serve } from '../cni/serve.ts'
import { nugator } from '../plugin/plugin.ts'

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
  const answer = await serve(nugator, env, () => readFileSync(0))
  print(2, answer.stderr)
  print(1, answer.stdout)
  process.exitCode = answer.exitCode
}

main().catch((error: unknown) => {
  print(2, `nugator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
})
