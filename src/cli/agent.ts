/** `nugator agent`: runs the agent; `nugator agent status`: asks the one that runs. */
import { get } from 'node:http'
import { AgentRunning, runAgent, socketPath } from '../agent/agent.ts'
import type { Status } from '../agent/control.ts'

type Print = (text: string) => void

/** @returns the exit status, undefined if the words are not understood */
export async function agent(argv: readonly string[], out: Print, err: Print): Promise<number | undefined> {
  const words = argv.filter((word) => word !== '--format=json')
  const path = socketPath(process.env)
  if (words.length === 0 && argv.length === 0) return await run(path, err)
  if (words.length !== 1 || words[0] !== 'status') return undefined
  try {
    const text = await ask(path, '/status')
    out(argv.length > 1 ? text : table(JSON.parse(text)))
    return 0
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    err(`nugator: no agent answers at ${path}: ${why}; start one: nugator agent\n`)
    return 1
  }
}

async function run(path: string, err: Print): Promise<number> {
  try {
    await runAgent(process.env, path)
    return 0
  } catch (error) {
    if (!(error instanceof AgentRunning)) throw error
    err(`nugator: ${error.message}\n`)
    return 1
  }
}

function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((done, failed) => {
    const request = get({ socketPath, path, timeout: 5000 }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => done(text))
    })
    request.on('timeout', () => request.destroy(new Error('it does not answer in time')))
    request.on('error', failed)
  })
}

function table(status: Status): string {
  const ms = (microseconds: number) => `${(microseconds / 1000).toFixed(2)} ms`
  const rows = Object.entries(status.verbs).map(([verb, { count, failed, p50, p99 }]) =>
    [
      verb.padEnd(8),
      String(count).padStart(9),
      String(failed).padStart(9),
      ms(p50).padStart(12),
      ms(p99).padStart(12),
    ].join(''),
  )
  const errors = status.lastErrors.map(({ time, verb, code, msg }) => `  ${time} ${verb} ${code}: ${msg}`)
  return [
    `nugator ${status.version}, process ${status.pid}, up ${duration(status.uptime)} since ${status.started}`,
    `${(status.rss / 2 ** 20).toFixed(0)} MiB, ${status.inFlight} calls under way, ${status.refused} sent back to be done cold`,
    '',
    `${'verb'.padEnd(8)}${'calls'.padStart(9)}${'failed'.padStart(9)}${'median'.padStart(12)}${'p99'.padStart(12)}`,
    ...rows,
    ...(errors.length > 0 ? ['', 'last errors:', ...errors] : []),
    '',
  ].join('\n')
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor)
  const parts = [`${Math.floor(seconds % 60)} s`]
  if (seconds >= 60) parts.unshift(`${minutes} min`)
  if (seconds >= 3600) parts.unshift(`${hours} h`)
  if (seconds >= 86400) parts.unshift(`${days} d`)
  return parts.join(' ')
}
