/** Scene `link`: the second end of a link, which moves home, against one `ip link set … netns …`: RCU bounds both. */
import { Agent } from './agent.ts'
import type { Call } from './caller.ts'
import { type Container, Host } from './host.ts'
import { agentSocket, cniEnv, nugator, nugatorEnv } from './plugins.ts'
import { program } from './program.ts'
import { ratio, type Scene } from './result.ts'
import { inTurn, Samples } from './turns.ts'

const MOVE = 'ip link set … netns …'

interface Move {
  readonly name: string
  readonly before: readonly Call[]
  readonly move: Call
  readonly after: readonly Call[]
}

export const linkScene: Scene = {
  name: 'link',
  rounds: { full: 60, quick: 12 },
  run: (rounds) =>
    Host.with((host) =>
      Agent.with(host, async (agent) => {
        const target = host.ground.netns('b')
        const moved: Move = {
          name: MOVE,
          before: [ip('link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two')],
          move: ip('link', 'set', 'two', 'netns', target.name),
          after: [ip('link', 'delete', 'one')],
        }
        const hot = linkMode(
          host,
          { id: 'a', netns: (await host.container()).netns },
          { id: 'b', netns: target.path },
        )
        const samples = new Samples()
        const turn = async ({ name, before, move, after }: Move, counts: boolean) => {
          await host.caller.many(before, 1)
          await host.quiet()
          const took = await host.caller.one(move)
          if (counts) samples.add(name, took)
          await host.caller.many(after, 1)
        }
        for (let warm = 0; warm < 30; warm += 1) await turn(hot, false)
        await inTurn([moved, hot], rounds, turn)
        const rows = [samples.row(MOVE), samples.row(hot.name)] as const
        return {
          title: 'the second end of a link, exec to exit; the first was there before',
          groups: [{ title: 'an end moves to its container', rows }],
          claims: [ratio(`second end in link mode, against one \`${MOVE}\``, rows[1], rows[0], 1.3)],
          notes: [],
          splits: { ADD: await agent.split('ADD', rounds, 'b') },
        }
      }),
    ),
}

function linkMode(host: Host, a: Container, b: Container): Move {
  const ends = {
    a: { addresses: [{ address: '10.207.0.1/24' }] },
    b: { addresses: [{ address: '10.207.0.2/24' }] },
  }
  const conf = { cniVersion: '1.0.0', name: 'link', type: 'nugator', link: { name: 'a-b', ends } }
  const call = (verb: string, container: Container): Call => ({
    argv: [nugator()],
    stdin: JSON.stringify(conf),
    env: { ...nugatorEnv(host), NUGATOR_AGENT_SOCKET: agentSocket(host), ...cniEnv(verb, container) },
  })
  const add = (container: Container): Call => ({ ...call('ADD', container), addresses: 1 })
  return { name: 'nugator hot', before: [add(a)], move: add(b), after: [call('DEL', b), call('DEL', a)] }
}

function ip(...args: string[]): Call {
  return { argv: [program('ip'), ...args] }
}
