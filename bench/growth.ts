/** Scene `growth`: one ADD and one DEL while 10, 1000 and 10,000 attachments are there; ptp's own growth beside it. */
import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { Agent } from './agent.ts'
import { type Container, Host } from './host.ts'
import { type Contestant, leasesOf, nugatorHot, ptp, ptpFiller } from './plugins.ts'
import { type Group, median, type Row, ratio, type Scene } from './result.ts'
import { inTurn, Samples } from './turns.ts'

const LEVELS = { full: [10, 1000, 10_000], quick: [10, 1000] } as const
/** What a namespace with its interface costs the kernel, and the attachment its plugin; generous. */
const BYTES_EACH = 400_000
/** ptp's attachments are laid down so many at a time, each time with leases in a directory of their own. */
const CHUNK = 100

interface Side {
  readonly host: Host
  readonly contestant: Contestant
  fill(containers: readonly Container[]): Promise<void>
}

export const growthScene: Scene = {
  name: 'growth',
  rounds: { full: 50, quick: 8 },
  run: (rounds, { quick }) =>
    Host.with((theirs) =>
      Host.with((ours) =>
        Agent.with(ours, async (agent) => {
          const hot = nugatorHot(ours)
          await agent.warm(hot)
          const sides: Side[] = [
            { host: theirs, contestant: ptp(theirs), fill: (containers) => fillPtp(theirs, containers) },
            {
              host: ours,
              contestant: hot,
              fill: async (containers) => {
                await ours.caller.many(containers.map(hot.add), 8)
              },
            },
          ]
          const wanted = quick ? LEVELS.quick : LEVELS.full
          const levels = wanted.filter((level) => 2 * level * BYTES_EACH < memoryAvailable())
          const groups: Group[] = []
          const splits: Record<string, Record<string, number>> = {}
          let present = 0
          for (const level of levels) {
            for (const { host, fill } of sides) await fill(await host.containers(level - present))
            present = level
            await ours.quiet(2000)
            groups.push(...(await measure(sides, rounds, `${level} attachments`)))
            for (const verb of ['ADD', 'DEL']) {
              splits[`${verb} with ${level} attachments`] = await agent.split(verb, rounds)
            }
          }
          return {
            title: 'how ADD and DEL grow',
            groups,
            claims: claimsOf(groups),
            notes: notesOf(wanted, levels),
            splits,
          }
        }),
      ),
    ),
}

async function measure(sides: readonly Side[], rounds: number, present: string): Promise<Group[]> {
  const add = new Samples()
  const del = new Samples()
  await inTurn(sides, rounds, async ({ host, contestant }, counts) => {
    const container = await host.container()
    await host.quiet()
    const up = await host.caller.one(contestant.add(container))
    await host.quiet()
    const down = await host.caller.one(contestant.del(container))
    if (!counts) return
    add.add(contestant.name, up)
    del.add(contestant.name, down)
  })
  const rows = (samples: Samples) => sides.map(({ contestant }) => samples.row(contestant.name))
  return [
    { title: `ADD with ${present} present`, rows: rows(add) },
    { title: `DEL with ${present} present`, rows: rows(del) },
  ]
}

/** Real ADDs. With all leases in one directory from the start the last of 10,000 would take it 100 ms each. */
async function fillPtp(host: Host, containers: readonly Container[]): Promise<void> {
  const leases = leasesOf(host, ptp(host))
  for (let at = 0; at < containers.length; at += CHUNK) {
    const filler = ptpFiller(host)
    await host.caller.many(containers.slice(at, at + CHUNK).map(filler.add), 8)
    const from = leasesOf(host, filler)
    mkdirSync(leases, { recursive: true })
    for (const lease of readdirSync(from).filter((name) => /^\d/.test(name)))
      renameSync(join(from, lease), join(leases, lease))
  }
}

function claimsOf(groups: readonly Group[]) {
  const adds = groups.filter(({ title }) => title.startsWith('ADD'))
  const [fewest, most] = [adds[0], adds.at(-1)]
  const ours = (group: Group | undefined): Row => group?.rows.at(-1) ?? { name: '', samples: [] }
  const theirs = (group: Group | undefined): number => median(group?.rows[0] ?? { name: '', samples: [] })
  const own = (theirs(most) / theirs(fewest)).toFixed(1)
  const what = `${most?.title}, against ${fewest?.title.match(/\d+/)?.[0]} (ptp: ${own} ×)`
  return [ratio(what, ours(most), ours(fewest), 1.3)]
}

function notesOf(wanted: readonly number[], levels: readonly number[]): string[] {
  const left = wanted.slice(levels.length)
  return left.length === 0 ? [] : [`no memory here for ${left.join(' and ')} attachments on two hosts`]
}

/** Bytes. */
function memoryAvailable(): number {
  const info = readFileSync('/proc/meminfo', 'utf8')
  return Number(/^MemAvailable:\s*(\d+) kB$/m.exec(info)?.[1]) * 1024
}
