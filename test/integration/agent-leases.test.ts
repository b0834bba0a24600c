/**
 * One directory of leases, and all who may use it at once: nugator through the agent and cold, the real ptp, and the
 * real host-local by itself. No address is given to two, none is lost.
 */
import { join } from 'node:path'
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { type Call, newHost, PLUGIN, REFERENCE_PLUGINS } from './rig/host.ts'
import { leases } from './rig/snapshot.ts'

const CALLERS = 8
const LEASES = 2000
/** Held by each caller at a time; together somewhat less than the range has. */
const HELD = 6
const SUBNET = '10.77.0.0/26'

interface Way {
  readonly plugin: string
  readonly type: string
  readonly socket: boolean
  readonly wires: boolean
}

const WAYS: Readonly<Record<string, Way>> = {
  hot: { plugin: PLUGIN, type: 'nugator', socket: true, wires: true },
  cold: { plugin: PLUGIN, type: 'nugator', socket: false, wires: true },
  ptp: { plugin: join(REFERENCE_PLUGINS, 'ptp'), type: 'ptp', socket: false, wires: true },
  'host-local': {
    plugin: join(REFERENCE_PLUGINS, 'host-local'),
    type: 'nugator',
    socket: false,
    wires: false,
  },
}
const LETTERS: Readonly<Record<string, string>> = { h: 'hot', c: 'cold', p: 'ptp', d: 'host-local' }
/** In turn; a process of Node's own costs twenty of the others. */
const TURNS = [...'hhhdhdphhdhhdphhdhhdphchd'].map((letter) => LETTERS[letter] ?? '')

interface Lease {
  readonly call: Call
  readonly address: string
}

t.test(`${LEASES} leases by ${CALLERS} callers`, async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const ipam = hostLocal(host, [SUBNET], { routes: [] })
  const holders = new Map<string, string>()
  const problems: string[] = []
  const made: Record<string, number> = {}
  let begun = 0

  async function take(id: string, netns: string): Promise<Lease | undefined> {
    const name = TURNS[begun++ % TURNS.length] ?? ''
    const way = WAYS[name]
    if (way === undefined) throw new Error(`no such way: ${name}`)
    made[name] = (made[name] ?? 0) + 1
    const conf = netconf(host, { name: 'shared', type: way.type, ipam })
    const env = { NUGATOR_AGENT_SOCKET: way.socket ? agent.socket : '' }
    const call: Call = { containerID: id, netns, plugin: way.plugin, env, conf }
    const done = await host.cni('ADD', call)
    const address: string = done.json?.ips?.[0]?.address ?? ''
    if (done.code !== 0 || address === '') {
      problems.push(`ADD ${name} ${id}: ${done.stdout}${done.stderr}`)
      return undefined
    }
    const holder = holders.get(address)
    if (holder !== undefined)
      problems.push(`${address} was given to ${id} by ${name} and is held by ${holder}`)
    holders.set(address, `${id} by ${name}`)
    return { call, address }
  }

  async function give({ call, address }: Lease): Promise<void> {
    holders.delete(address)
    const done = await host.cni('DEL', call)
    if (done.code !== 0) problems.push(`DEL ${call.containerID}: ${done.stdout}${done.stderr}`)
  }

  const spaces = Array.from({ length: CALLERS }, (_, caller) =>
    Array.from({ length: HELD }, (_, n) => host.netns(`c${caller}-${n}`)),
  )
  await Promise.all(
    spaces.map(async (namespaces, caller) => {
      const held: (Lease | undefined)[] = []
      for (let n = 0; n < LEASES / CALLERS; n++) {
        const slot = n % HELD
        const old = held[slot]
        if (old !== undefined) await give(old)
        held[slot] = await take(`caller${caller}-${n}`, namespaces[slot]?.path ?? '')
      }
      const mine = held.filter((lease) => lease !== undefined)
      const there = new Set(leases(host))
      for (const { address } of mine) {
        const ip = address.replace(/\/.*/, '')
        if (!there.has(ip)) problems.push(`the lease of ${ip} is lost`)
      }
      for (const lease of mine) await give(lease)
    }),
  )
  t.same(problems, [])
  t.equal(begun, LEASES)
  t.comment('ADDs', made)
  t.equal((await agent.status()).verbs.ADD?.count, made.hot, 'the agent had its part')
  await nothingLeft(
    t,
    host,
    spaces.flat().map(({ name }) => name),
  )
})
