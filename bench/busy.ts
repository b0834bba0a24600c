/** Scene `busy`: an ADD while 100 DELs are under way, beside the same ADD alone. rtnl is one lock for all. */
import { Agent } from './agent.ts'
import type { Call } from './caller.ts'
import { Host } from './host.ts'
import { type Contestant, nugatorHot, ptp } from './plugins.ts'
import { program } from './program.ts'
import { type Claim, type Group, median, ms, type Row, type Scene } from './result.ts'
import { quantile } from './stats.ts'
import { inTurn, Samples } from './turns.ts'

const DELS = 100
/** ADDs that are measured alone in a round; as many at most are there for the time of the DELs. */
const ALONE = 40
const AT_MOST = 150
/** The control: callers who start so many programs that do nothing cost an ADD its processor, and nothing else. */
const IDLE_PROGRAMS = 300
const QUIET_MS = 400

export const busyScene: Scene = {
  name: 'busy',
  rounds: { full: 8, quick: 2 },
  run: (rounds) =>
    Host.with((host) =>
      Agent.with(host, async (agent) => {
        const [peer, hot] = [ptp(host), nugatorHot(host)]
        await agent.warm(hot)
        const leaving = await host.containers(DELS)
        const coming = await host.containers(AT_MOST)
        const groups: Group[] = []
        const claims: Claim[] = []
        const splits: Record<string, Record<string, number>> = {}

        /** ADDs beside so many other calls, undone again. */
        const addsBeside = async (contestant: Contestant, others: readonly Call[], callers: number) => {
          const { beside } = await host.caller.beside(others, callers, coming.map(contestant.add))
          await host.quiet(QUIET_MS)
          await host.caller.many(coming.slice(0, beside.length).map(contestant.del), 8)
          await host.quiet(QUIET_MS)
          return beside
        }

        /** ADDs that do not count are undone at once. */
        const adds = async (contestant: Contestant, callers: number) => {
          const some = coming.slice(0, ALONE)
          const alone = await host.caller.many(some.map(contestant.add), 1)
          await host.caller.many(some.map(contestant.del), 8)
          await host.caller.many(leaving.map(contestant.add), 8)
          await host.quiet(QUIET_MS)
          const beside = await addsBeside(contestant, leaving.map(contestant.del), callers)
          if (contestant === hot)
            splits[`ADD beside DELs by ${callers} callers`] = await agent.split('ADD', beside.length)
          const nothing = Array.from({ length: IDLE_PROGRAMS }, () => ({ argv: [program('true')] }))
          return { alone, beside, control: await addsBeside(contestant, nothing, callers) }
        }

        for (const callers of [8, 100]) {
          const alone = new Samples()
          const during = new Samples()
          const control = new Samples()
          await inTurn(
            [peer, hot],
            rounds,
            async (contestant, counts) => {
              const made = await adds(contestant, callers)
              if (!counts) return
              for (const { took } of made.alone) alone.add(contestant.name, took)
              for (const { took } of made.beside) during.add(contestant.name, took)
              for (const { took } of made.control) control.add(contestant.name, took)
            },
            1,
          )
          const what = `ADD while ${DELS} DELs by ${callers} callers are under way`
          for (const { name } of [peer, hot]) {
            const rows = [
              { ...alone.row(name), name: `${name}, alone` },
              { ...during.row(name), name: `${name}, meanwhile` },
              { ...control.row(name), name: `${name}, beside \`true\`` },
            ]
            groups.push({ title: `${what}: ${name}`, rows })
          }
          claims.push(...claimsOf(what, alone.row(hot.name), during.row(hot.name)))
        }
        return { title: `an ADD while ${DELS} DELs are under way`, groups, claims, notes: [], splits }
      }),
    ),
}

function claimsOf(what: string, alone: Row, during: Row): Claim[] {
  const p99 = (row: Row) => quantile(row.samples, 0.99)
  return [
    {
      what: `${what}, median, against alone`,
      ours: ms(median(during)),
      theirs: ms(median(alone)),
      value: median(during) / median(alone),
      unit: '×',
      target: 1.5,
    },
    {
      what: `${what}, p99, more than alone`,
      ours: ms(p99(during)),
      theirs: ms(p99(alone)),
      value: p99(during) - p99(alone),
      unit: 'ms',
      target: 8,
    },
  ]
}
