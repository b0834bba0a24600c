/** A host with bystanders on which hostile input is tried: none of them may notice. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { placeForeign } from './foreign.ts'
import { agentSocket, type CommandResult, PLUGIN, run } from './host.ts'
import { linkConf, peerConf } from './modes.ts'
import { difference, snapshot } from './snapshot.ts'
import { Stage } from './stage.ts'
import { answerProblems } from './verdict.ts'

/** No answer may take longer than this: a plugin that opens a fifo would hang. */
const PATIENCE_MS = 20_000

export interface RawCall {
  env: Record<string, string>
  stdin: string | Buffer
}

export class HostileGround {
  readonly stage: Stage
  /** Things that are no network namespace. */
  readonly file: string
  readonly dir: string
  readonly fifo: string
  readonly loop: string
  #calm: unknown

  constructor(t: { teardown(fn: () => unknown): void }) {
    this.stage = new Stage(t).containers('ctr', 'other', 'bystander')
    const { dir } = this.stage.host
    this.file = join(dir, 'file')
    this.dir = join(dir, 'dir')
    this.fifo = join(dir, 'fifo')
    this.loop = join(dir, 'loop')
    writeFileSync(this.file, 'no namespace')
    mkdirSync(this.dir)
    execFileSync('mkfifo', [this.fifo])
    symlinkSync(this.loop, this.loop)
  }

  /** Foreign devices everywhere, a wire in peer mode and a waiting end in link mode. */
  async settle(): Promise<this> {
    const { stage } = this
    await Promise.all([stage.host.name, ...stage.namespaces].map((netns) => placeForeign(netns)))
    const on = 'bystander'
    stage.cast({
      wire: { conf: peerConf(stage.pathOf('other')), containerID: on, on, ifName: 'wire0' },
      waits: { conf: linkConf(), containerID: on, on, ifName: 'link0', args: 'END=r1' },
    })
    for (const who of ['wire', 'waits']) {
      const done = await stage.add(who)
      if (done.code !== 0) throw new Error(`ADD of the bystander: ${done.stdout}${done.stderr}`)
    }
    this.#calm = await this.#holding()
    return this
  }

  #holding(): Promise<unknown> {
    return snapshot(this.stage.host, this.stage.namespaces)
  }

  /** Paths for CNI_NETNS: one good one, and what else may stand there. */
  get netnses(): string[] {
    const { host } = this.stage
    const ctr = this.stage.pathOf('ctr')
    return [
      ...[ctr, ctr, ctr, ctr, `/run/netns/../netns/${host.name}-ctr`],
      ...[this.file, this.dir, this.fifo, this.loop, '/nowhere', '/dev/null', '/proc/self/ns/mnt'],
      ...['/proc/self/ns/net', host.path, `${host.name}-ctr`, '/', ' ', 'pid:1'],
    ]
  }

  exec(call: RawCall): Promise<CommandResult> {
    const { host } = this.stage
    const env: NodeJS.ProcessEnv = {
      PATH: process.env.PATH,
      NUGATOR_STATE_DIR: host.stateDir,
      NUGATOR_RUN_DIR: host.runDir,
      NUGATOR_AGENT_SOCKET: agentSocket(),
      ...call.env,
    }
    const options = { env, input: call.stdin, cwd: this.dir, timeout: PATIENCE_MS }
    return run('nsenter', [`--net=${host.path}`, PLUGIN], options)
  }

  /** Differences from the state before, in words. */
  async #changes(): Promise<string[]> {
    const change = difference(this.#calm, await this.#holding())
    return change === undefined ? [] : [`the kernel or the state directories changed: ${change}`]
  }

  /** Makes the call; an ADD that succeeds after all is DELeted. Says what went wrong. */
  async problems(call: RawCall): Promise<{ done: CommandResult; problems: string[] }> {
    const done = await this.exec(call)
    const command = call.env.CNI_COMMAND ?? ''
    const problems = answerProblems(command, done)
    if (done.code === 0 && command === 'ADD') {
      const deleted = await this.exec({ ...call, env: { ...call.env, CNI_COMMAND: 'DEL' } })
      for (const problem of answerProblems('DEL', deleted)) problems.push(`its DEL: ${problem}`)
      if (deleted.code !== 0) problems.push(`its DEL fails: ${deleted.stdout}`)
    }
    problems.push(...(await this.#changes()))
    return { done, problems }
  }
}
