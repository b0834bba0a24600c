/** Scene `many`: 100 ADDs and 100 DELs by 8 and by 100 callers, beside ptp by as many. */
import { Agent } from './agent.ts'
import { type Made, total } from './caller.ts'
import { Host } from './host.ts'
import { nugatorHot, ptp } from './plugins.ts'
import { type Claim, type Group, ratio, type Scene } from './result.ts'
import { inTurn, Samples } from './turns.ts'

const CALLS = 100
/** After a hundred of them, ms. */
const QUIET_MS = 400

const TARGETS = [
  { callers: 8, ADD: 0.33, DEL: 0.4 },
  { callers: 100, ADD: undefined, DEL: 0.4 },
] as const

export const manyScene: Scene = {
  name: 'many',
  rounds: { full: 12, quick: 2 },
  run: (rounds) =>
    Host.with((host) =>
      Agent.with(host, async (agent) => {
        const [peer, hot] = [ptp(host), nugatorHot(host)]
        await agent.warm(hot)
        const containers = await host.containers(CALLS)
        const groups: Group[] = []
        const claims: Claim[] = []
        for (const { callers, ...targets } of TARGETS) {
          const totals = { ADD: new Samples(), DEL: new Samples() }
          const singles = { ADD: new Samples(), DEL: new Samples() }
          await inTurn(
            [peer, hot],
            rounds,
            async (contestant, counts) => {
              const note = (verb: 'ADD' | 'DEL', made: readonly Made[]) => {
                if (!counts) return
                totals[verb].add(contestant.name, total(made))
                for (const { took } of made) singles[verb].add(contestant.name, took)
              }
              note('ADD', await host.caller.many(containers.map(contestant.add), callers))
              await host.quiet(QUIET_MS)
              note('DEL', await host.caller.many(containers.map(contestant.del), callers))
              await host.quiet(QUIET_MS)
            },
            1,
          )
          for (const verb of ['ADD', 'DEL'] as const) {
            const rowsOf = (samples: Samples) => [samples.row(peer.name), samples.row(hot.name)] as const
            const [theirs, ours] = rowsOf(totals[verb])
            const what = `${CALLS} ${verb}s by ${callers} callers`
            groups.push({ title: `${what}, all of them`, rows: [theirs, ours] })
            groups.push({ title: `${what}, each`, rows: rowsOf(singles[verb]) })
            const target = targets[verb]
            if (target !== undefined) claims.push(ratio(`${what}, against ptp`, ours, theirs, target))
          }
        }
        return { title: `${CALLS} at a time`, groups, claims, notes: [] }
      }),
    ),
}
