/** The client in a place of its own, with a cold path that shows what was handed over to it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { PLUGIN } from './host.ts'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: Buffer
  /** Milliseconds from start to end. */
  readonly took: number
}

export interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

export interface StartOptions {
  readonly args?: readonly string[]
  readonly env?: Record<string, string | undefined>
  /** `open`: never closed. */
  readonly stdin?: Buffer | string | 'open'
  /** A namespace's path, to be started in. */
  readonly netns?: string
}

/** Starts a program with just this environment (tap adds to what is given to spawn). */
export function start(file: string, options: StartOptions = {}): Started {
  const { args = [], env = {}, stdin = '', netns } = options
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}=${value}`,
  )
  const inside = netns === undefined ? [] : ['nsenter', `--net=${netns}`]
  const began = performance.now()
  const child = spawn('env', ['-i', ...variables, ...inside, file, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const [out, err]: Buffer[][] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => out?.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err?.push(chunk))
  child.stdin.on('error', () => {}) // it may end without reading all
  if (stdin !== 'open') child.stdin.end(stdin)
  const guard = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const ended = new Promise<Ended>((done, failed) => {
    child.on('error', failed)
    child.on('close', (code, signal) => {
      clearTimeout(guard)
      const [stdout, stderr] = [Buffer.concat(out ?? []), Buffer.concat(err ?? [])]
      done({ code, signal, stdout, stderr, took: performance.now() - began })
    })
  })
  return { child, ended }
}

/** The exit status of the cold path of a {@link ClientPlace}. */
const COLD_STATUS = 42

export class ClientPlace {
  readonly dir: string
  readonly client: string
  /** For every call. */
  readonly env: Record<string, string> = { PATH: process.env.PATH ?? '' }

  /** @param cold the cold path's shell script; without one it repeats stdin, and its status says who it was */
  constructor(t: Test, cold = `cat; echo "cold $*" >&2; exit ${COLD_STATUS}`) {
    this.dir = mkdtempSync(join(tmpdir(), 'ngt-'))
    t.teardown(() => rmSync(this.dir, { recursive: true, force: true }))
    this.client = join(this.dir, 'nugator')
    copyFileSync(PLUGIN, this.client)
    mkdirSync(join(this.dir, 'nugator.d'))
    writeFileSync(join(this.dir, 'nugator.d/cold'), `#!/bin/sh\n${cold}\n`, { mode: 0o755 })
  }

  start(command: string | undefined, options: StartOptions = {}): Started {
    const env = { ...this.env, ...(command === undefined ? {} : { CNI_COMMAND: command }), ...options.env }
    return start(this.client, { ...options, env })
  }

  run(command: string | undefined, options: StartOptions = {}): Promise<Ended> {
    return this.start(command, options).ended
  }
}

/** The cold path ran, and had all of stdin. */
export function wentCold(t: Test, done: Ended, stdin: Buffer | string, why: string): void {
  t.equal(done.code, COLD_STATUS, `${why}: cold (${done.signal ?? ''} ${said(done)})`)
  t.ok(done.stdout.equals(Buffer.from(stdin)), `${why}: with the same stdin`)
  t.equal(done.stderr.toString(), 'cold \n', `${why}: and nothing else is said`)
}

/** What it printed, cut. */
export function said({ stdout, stderr }: Ended): string {
  return `${stdout.toString('utf8', 0, 300)} ${stderr.toString('utf8', 0, 300)}`
}
