/** Scene `cold`: an ADD without an agent, against a Node that does nothing. */
import { Host } from './host.ts'
import { nugatorCold } from './plugins.ts'
import { ratio, type Scene } from './result.ts'
import { inTurn, Samples } from './turns.ts'

const NODE = `${process.release.name} -e 0`

export const coldScene: Scene = {
  name: 'cold',
  rounds: { full: 60, quick: 12 },
  run: (rounds) =>
    Host.with(async (host) => {
      const cold = nugatorCold(host)
      const samples = new Samples()
      const turns = {
        [NODE]: () => host.caller.one({ argv: [process.execPath, '-e', '0'] }),
        [cold.name]: async () => {
          const container = await host.container()
          const took = await host.caller.one(cold.add(container))
          await host.caller.one(cold.del(container))
          return took
        },
      }
      await inTurn(Object.entries(turns), rounds, async ([name, turn], counts) => {
        await host.quiet()
        const took = await turn()
        if (counts) samples.add(name, took)
      })
      const rows = [samples.row(NODE), samples.row(cold.name)] as const
      return {
        title: `an ADD without an agent, against a bare Node ${process.version}`,
        groups: [{ title: 'start to exit', rows }],
        claims: [ratio(`cold ADD, against a bare \`${NODE}\``, rows[1], rows[0], 2)],
        notes: [],
      }
    }),
}
