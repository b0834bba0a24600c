/** What tests may leave behind on a machine: looked at before and after a run. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Sentences, each naming one thing and how to remove it. */
export type Traces = ReadonlySet<string>

function list(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return [] // /run/netns does not exist before the first namespace
  }
}

function lines(file: string, args: readonly string[]): string[] {
  return (spawnSync(file, args, { encoding: 'utf8' }).stdout ?? '').split('\n').filter((line) => line !== '')
}

/** The test namespaces, veths, nft tables and scratch directories that are there now. */
export function traces(): Traces {
  const namespaces = list('/run/netns').filter((name) => name.startsWith('ngt-'))
  const directories = list(tmpdir()).filter((name) => name.startsWith('ngt-'))
  const veths = lines('ip', ['-br', 'link', 'show', 'type', 'veth']).map(
    (line) => line.split(/[@\s]/)[0] ?? '',
  )
  return new Set([
    ...namespaces.map((name) => `network namespace ${name} (ip netns delete ${name})`),
    ...directories.map((name) => `directory ${tmpdir()}/${name}`),
    ...veths.map((name) => `interface ${name} (ip link delete ${name})`),
    ...lines('nft', ['list', 'tables']).map((line) => `nft ${line} (nft delete ${line})`),
  ])
}

/** What is there now and was not before. The kernel removes some things late, so it is asked more than once. */
export async function leftovers(before: Traces, patience = 5000): Promise<string[]> {
  const until = Date.now() + patience
  for (;;) {
    const left = [...traces()].filter((trace) => !before.has(trace))
    if (left.length === 0 || Date.now() >= until) return left
    await sleep(250)
  }
}
