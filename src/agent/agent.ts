/** The resident agent: does what clients ask, with the functions that they would otherwise run themselves. */
import { closeSync, mkdirSync, openSync, rmSync, writeFile } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { removeElsewhere } from '../koko/removal.ts'
import { tryFlock } from '../netlink/libc.ts'
import { Netns } from '../netns/netns.ts'
import { openState } from '../plugin/attachment.ts'
import { ownProcess } from '../plugin/caller.ts'
import { recover } from '../plugin/recover.ts'
import { report } from '../plugin/report.ts'
import { VERSION } from '../plugin/version.ts'
import { Calls } from './calls.ts'
import { controlServer } from './control.ts'
import { Journal } from './journal.ts'
import { AgentServer } from './server.ts'
import { Statistics } from './statistics.ts'
import { activatedSocket, notify } from './systemd.ts'
import { startThreads } from './threads.ts'

const RUN_DIRECTORY = '/run/nugator'
/** For the last lines of the log, in ms: somebody may have stopped reading it. */
const LAST_WORDS_MS = 1000

const print = promisify(writeFile)

/** Where clients look for the agent, unless told otherwise. */
export function socketPath(env: NodeJS.ProcessEnv): string {
  return env.NUGATOR_AGENT_SOCKET || `${env.NUGATOR_RUN_DIR || RUN_DIRECTORY}/agent.sock`
}

/** There is one already. */
export class AgentRunning extends Error {
  override readonly name = 'AgentRunning'
}

/**
 * Runs until SIGTERM or SIGINT, and then until the calls under way are done.
 *
 * @throws AgentRunning if another agent serves this socket
 */
export async function runAgent(env: NodeJS.ProcessEnv, path = socketPath(env)): Promise<void> {
  await startThreads()
  const journal = new Journal((text) => print(2, text))
  const lock = lockSocket(path)
  const stopped = new Promise<string>((stop) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  })
  process.on('SIGHUP', () => {}) // a terminal that goes away does not take the agent with it
  const statistics = new Statistics()
  const calls = new Calls(journal, statistics)
  const server = new AgentServer(
    calls,
    controlServer(statistics, () => calls.inFlight),
    journal,
  )
  await recoverState(env, journal)
  await import('execa') // not when the first call needs it
  const given = activatedSocket(env)
  if (given === undefined) await server.listen(path)
  else await server.listenOn(given)
  journal.say('ready', {
    version: VERSION,
    pid: process.pid,
    socket: given === undefined ? path : 'of systemd',
  })
  notify(env, 'READY=1')
  const signal = await stopped
  notify(env, 'STOPPING=1')
  journal.say('stopping', { signal, inFlight: calls.inFlight })
  server.stop()
  await calls.end()
  server.close()
  journal.say('stopped')
  await Promise.race([journal.flush(), pause(LAST_WORDS_MS, undefined, { ref: false })])
  if (given === undefined) rmSync(path, { force: true })
  closeSync(lock)
}

/** Two agents on one socket would take it from each other. The lock goes with the process. */
function lockSocket(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const fd = openSync(`${path}.lock`, 'a', 0o600)
  if (tryFlock(fd)) return fd
  closeSync(fd)
  throw new AgentRunning(`another agent serves ${path}`)
}

/** What killed processes left, in the usual place. */
async function recoverState(env: NodeJS.ProcessEnv, journal: Journal): Promise<void> {
  const warn = (text: string | Uint8Array) => journal.say('warning', { text: String(text).trimEnd() })
  const caller = { ...ownProcess(), warn, removeLink: removeElsewhere }
  const host = Netns.own()
  try {
    for (const { attachment, errors } of await recover(openState({}, env), host, caller)) {
      const failures = errors.map((error) => report(error).message)
      journal.say('recovered', { attachment, ...(failures.length > 0 ? { failures } : {}) })
    }
  } finally {
    host.close()
  }
}
