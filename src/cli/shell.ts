/** What a person types, as this process was given it. */
import { command } from './command.ts'
import { print, printCrash } from './print.ts'

async function shell(): Promise<void> {
  process.exitCode = await command(
    process.argv.slice(2),
    (text) => print(1, text),
    (text) => print(2, text),
  )
}

shell().catch(printCrash)
