/** Scenes `add` and `dual`: one ADD and one DEL, exec to exit, through the agent and without it, beside ptp. */
import { Agent } from './agent.ts'
import { Host } from './host.ts'
import { type Contestant, nugatorCold, nugatorHot, ptp, type Stack } from './plugins.ts'
import { type Claim, type Group, ratio, type Scene, type SceneResult } from './result.ts'
import { inTurn, Samples } from './turns.ts'

/** So many one after the other, as when pods come and go; and single ones after a rest, with a processor gone cold. */
const ROW = 10

export const addScene: Scene = {
  name: 'add',
  rounds: { full: 20, quick: 3 },
  run: (rounds) =>
    addAndDel('IPv4', { add: 0.3, del: 0.25 }, [
      { how: `in rows of ${ROW}`, series: ROW, rounds },
      { how: 'each after a rest', series: 1, rounds: 2 * rounds },
    ]),
}

/** Few rounds: ptp waits more than a second for duplicate address detection. */
export const dualScene: Scene = {
  name: 'dual',
  rounds: { full: 20, quick: 3 },
  run: (rounds) => addAndDel('dual stack', { add: 0.01 }, [{ how: 'each after a rest', series: 1, rounds }]),
}

interface Targets {
  readonly add: number
  readonly del?: number
}

interface Manner {
  readonly how: string
  readonly series: number
  readonly rounds: number
}

/** The targets are for the first manner. */
async function addAndDel(stack: Stack, targets: Targets, manners: readonly Manner[]): Promise<SceneResult> {
  return await Host.with((host) =>
    Agent.with(host, async (agent) => {
      const [peer, hot, cold] = [ptp(host, stack), nugatorHot(host, stack), nugatorCold(host, stack)]
      await agent.warm(hot)
      const groups: Group[] = []
      const claims: Claim[] = []
      const splits: Record<string, Record<string, number>> = {}
      for (const { how, series, rounds } of manners) {
        const samples = { ADD: new Samples(), DEL: new Samples() }
        await inTurn([peer, hot, cold], rounds, async (contestant, counts) => {
          const took = await comeAndGo(host, contestant, series)
          if (!counts) return
          for (const ms of took.add) samples.ADD.add(contestant.name, ms)
          for (const ms of took.del) samples.DEL.add(contestant.name, ms)
        })
        for (const verb of ['ADD', 'DEL'] as const) {
          const [theirs, ours, alone] = [peer, hot, cold].map(({ name }) => samples[verb].row(name))
          if (!theirs || !ours || !alone) continue
          groups.push({ title: `${verb}, ${stack}, ${how}`, rows: [theirs, ours, alone] })
          const target = verb === 'ADD' ? targets.add : targets.del
          if (target !== undefined && manners[0]?.how === how)
            claims.push(ratio(`${verb}, ${stack}, against ptp`, ours, theirs, target))
          splits[`${verb}, ${how}`] = await agent.split(verb, series * rounds)
        }
      }
      const title = `one ADD and one DEL with host-local, ${stack}, exec to exit`
      return { title, groups, claims, notes: [], splits }
    }),
  )
}

/** Attachments come and go, one after the other; ms. */
async function comeAndGo(host: Host, contestant: Contestant, series: number) {
  const containers = await host.containers(series)
  await host.quiet()
  const add = await host.caller.many(containers.map(contestant.add), 1)
  await host.quiet()
  const del = await host.caller.many(containers.map(contestant.del), 1)
  return { add: add.map(({ took }) => took), del: del.map(({ took }) => took) }
}
