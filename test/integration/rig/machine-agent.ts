/**
 * In a hot run: the resident agent of a {@link Machine}, at the usual place in its file system, for calls from there
 * see other files and processes than an agent outside.
 */
import { spawn } from 'node:child_process'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../../src/agent/control.ts'
import { PLUGIN } from './host.ts'

const TRIES = 200

/** Its files, and how it is called, among those of a machine. */
export const OF_THE_AGENT: RegExp = /\/agent\.sock(\.lock)?$|nugator\.cjs agent$/

export class MachineAgent {
  /** As seen from outside. */
  readonly #socket: string

  private constructor(socket: string) {
    this.#socket = socket
  }

  /** Starts it; it ends with its machine. @returns undefined in a cold run */
  static async start(
    entering: (file: string, args: readonly string[]) => [string, string[]],
    socket: string,
  ): Promise<MachineAgent | undefined> {
    if (process.env.NGT_WAY !== 'hot') return undefined
    const agent = new MachineAgent(socket)
    const [file, args] = entering('env', ['-i', `PATH=${process.env.PATH}`, PLUGIN, 'agent'])
    spawn(file, args, { stdio: 'ignore' })
    for (let tries = 0; (await agent.calls()) === undefined; tries++) {
      if (tries === TRIES) throw new Error('the agent in the machine does not start')
      await sleep(50)
    }
    return agent
  }

  /** How many calls it has answered; undefined if it does not answer. */
  calls(): Promise<number | undefined> {
    return new Promise((done) => {
      const request = get({ socketPath: this.#socket, path: '/status', timeout: 5000 }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk
        })
        response.on('end', () => {
          const { verbs }: Status = JSON.parse(text)
          done(Object.values(verbs).reduce((sum, { count }) => sum + count, 0))
        })
      })
      request.on('timeout', () => request.destroy())
      request.on('error', () => done(undefined))
    })
  }
}
