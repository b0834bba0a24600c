/** Scenes `peer` and `koko`: a wire between two containers, exec to exit, beside what others need for it. */
import { Agent } from './agent.ts'
import { type Call, total } from './caller.ts'
import type { Netns } from './ground.ts'
import { Host } from './host.ts'
import { agentSocket, cniEnv, nugator, nugatorEnv } from './plugins.ts'
import { program } from './program.ts'
import { ratio, type Scene, type SceneResult } from './result.ts'
import { inTurn, Samples } from './turns.ts'

const NAME = 'eth0'
const ADDRESSES = ['10.206.0.1/24', '10.206.0.2/24'] as const

/** How somebody makes the wire, one call after the other, and takes it down again. */
interface Way {
  readonly name: string
  readonly up: readonly Call[]
  readonly down: readonly Call[]
}

export const peerScene: Scene = {
  name: 'peer',
  rounds: { full: 80, quick: 12 },
  run: (rounds) =>
    wires(rounds, 'five `ip` commands', 0.5, (a, b) => ({
      up: fiveCommands(a, b),
      down: [ip('-n', a.name, 'link', 'delete', NAME)],
    })),
}

/** koko's exit status says nothing, so that `ip` looks whether both ends are there, outside of the timing. */
export const kokoScene: Scene = {
  name: 'koko',
  rounds: { full: 40, quick: 8 },
  run: async (rounds, { koko }) => {
    if (koko === undefined) {
      const notes = ['not measured: koko is in no Debian package; --koko PATH names one']
      return { title: 'koko', groups: [], claims: [], notes }
    }
    return await wires(rounds, 'koko', undefined, (a, b) => ({
      up: [
        {
          argv: [koko, ...[a, b].flatMap((ns, i) => ['-n', `${ns.name},${NAME},${ADDRESSES[i]}`])],
          talkative: true,
        },
      ],
      down: [a, b]
        .map((ns) => ip('-n', ns.name, 'link', 'show', NAME))
        .concat(ip('-n', a.name, 'link', 'delete', NAME)),
    }))
  },
}

async function wires(
  rounds: number,
  name: string,
  target: number | undefined,
  others: (a: Netns, b: Netns) => Omit<Way, 'name'>,
): Promise<SceneResult> {
  return await Host.with((host) =>
    Agent.with(host, async (agent) => {
      const [a, b] = [host.ground.netns('a'), host.ground.netns('b')]
      const theirs = { name, ...others(a, b) }
      const hot = peerMode(host, 'hot', a, b)
      const cold = peerMode(host, 'cold', a, b)
      const samples = new Samples()
      const turn = async ({ name, up, down }: Way, counts: boolean) => {
        await host.quiet()
        const took = total(await host.caller.many(up, 1))
        if (counts) samples.add(name, took)
        await host.caller.many(down, 1)
      }
      for (let warm = 0; warm < 200; warm += 1) await host.caller.many([...hot.up, ...hot.down], 1)
      await inTurn([theirs, hot, cold], rounds, turn)
      const rows = [theirs, hot, cold].map(({ name }) => samples.row(name))
      const what = `a wire between two containers, against ${name}`
      return {
        title: what,
        groups: [{ title: 'a wire between two containers, an address each, exec to exit', rows }],
        claims: target === undefined ? [] : [ratio(what, samples.row(hot.name), samples.row(name), target)],
        notes: [],
        splits: { ADD: await agent.split('ADD', rounds) },
      }
    }),
  )
}

function peerMode(host: Host, way: 'hot' | 'cold', a: Netns, b: Netns): Way {
  const conf = {
    cniVersion: '1.0.0',
    name: `peer-${way}`,
    type: 'nugator',
    addresses: [{ address: ADDRESSES[0] }],
    peer: { netns: b.path, ifName: NAME, addresses: [{ address: ADDRESSES[1] }] },
  }
  const call = (verb: string): Call => ({
    argv: [nugator()],
    stdin: JSON.stringify(conf),
    env: {
      ...nugatorEnv(host),
      NUGATOR_AGENT_SOCKET: way === 'hot' ? agentSocket(host) : '',
      ...cniEnv(verb, { id: 'a', netns: a.path }),
    },
  })
  return { name: `nugator ${way}`, up: [{ ...call('ADD'), addresses: 1 }], down: [call('DEL')] }
}

/** What a person would type. */
function fiveCommands(a: Netns, b: Netns): Call[] {
  return [
    ip('link', 'add', NAME, 'netns', a.name, 'type', 'veth', 'peer', 'name', NAME, 'netns', b.name),
    ip('-n', a.name, 'address', 'add', ADDRESSES[0], 'dev', NAME),
    ip('-n', b.name, 'address', 'add', ADDRESSES[1], 'dev', NAME),
    ip('-n', a.name, 'link', 'set', NAME, 'up'),
    ip('-n', b.name, 'link', 'set', NAME, 'up'),
  ]
}

function ip(...args: string[]): Call {
  return { argv: [program('ip'), ...args], talkative: true }
}
