/** Many calls at once through the agent, also about the same attachment; interfaces of others are not touched. */
import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { hostLocal, netconf } from './rig/cni/conf.ts'
import { FOREIGN, foreignState, placeForeignDown } from './rig/foreign.ts'
import { type Call, type CniResult, type Host, newHost } from './rig/host.ts'
import { complaint } from './rig/link-stage.ts'
import { leases } from './rig/snapshot.ts'
import { LIVE_GROUP } from './rig/wire.ts'

const WORDS = ['ADD', 'DEL', 'CHECK'] as const

/** What an ADD, DEL or CHECK may say of an attachment that others add and delete meanwhile. */
function surprise(command: string, { code, json, stdout }: CniResult): string[] {
  if (code === 0) return []
  // ADD: it stands, or was deleted meanwhile; CHECK: it is not there, or not whole.
  const allowed: Record<string, number[]> = { ADD: [102, 11], DEL: [], CHECK: [3, 7, 8, 11, 999] }
  return allowed[command]?.includes(json?.code) ? [] : [`${command}: ${stdout}`]
}

t.test('calls about one attachment at once', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, ...container } = newContainer(host)
  const conf = netconf(host, { ipMasq: true })
  const call = { ...container, env: agent.env, conf }
  const prevResult = added(t, await host.cni('ADD', call))
  const mixes = [
    ['DEL', 'DEL'],
    ['ADD', 'ADD'],
    ['ADD', 'DEL'],
    ['DEL', 'ADD', 'CHECK'],
    ['DEL', 'DEL', 'DEL', 'ADD', 'ADD', 'CHECK', 'CHECK'],
  ]
  for (let round = 0; round < 30; round++) {
    const mix = mixes[round % mixes.length] ?? WORDS
    const done = await Promise.all(
      mix.map((command) =>
        host.cni(command, { ...call, conf: command === 'CHECK' ? { ...conf, prevResult } : conf }),
      ),
    )
    const problems = done.flatMap((each, n) => surprise(mix[n] ?? '', each))
    t.same(problems, [], `${mix}: ${done.map(({ code, json }) => (code === 0 ? 0 : json?.code))}`)
    const [inside, outside, leased] = [await host.links(name), await host.links(), leases(host)]
    const counts = [inside.length, outside.length, leased.length]
    t.ok(new Set(counts).size === 1 && (counts[0] ?? 2) < 2, `all of it or nothing: ${counts}`)
  }
  silent(t, await host.cni('DEL', call))
  t.same(agent.lines('error'), [])
  await nothingLeft(t, host, [name])
})

interface Crowd {
  readonly host: Host
  readonly agent: Agent
  readonly namespaces: readonly string[]
  readonly calls: readonly Call[]
  all(command: string): Promise<CniResult[]>
}

/** As many containers, with a network of their own addresses. */
async function crowd(t: Test, size: number): Promise<Crowd> {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const containers = Array.from({ length: size }, (_, n) => newContainer(host, `c${n}`))
  const conf = netconf(host, { ipam: hostLocal(host, ['10.77.0.0/22']) })
  const calls = containers.map(({ name, ...container }) => ({ ...container, env: agent.env, conf }))
  const all = (command: string) => Promise.all(calls.map((call) => host.cni(command, call)))
  return { host, agent, namespaces: containers.map(({ name }) => name), calls, all }
}

function fine(t: Test, done: readonly CniResult[]): void {
  t.same(
    done.flatMap((each) => complaint('call', each)),
    [],
    `${done.length} calls`,
  )
}

t.test('100 ADDs and 100 DELs by 100 callers, beside the interfaces of others', async (t) => {
  const { host, agent, namespaces, all } = await crowd(t, 100)
  await placeForeignDown(host.name)
  await host.exec('ip', ['link', 'set', 'fveth0', 'group', LIVE_GROUP])
  const before = await foreignState(host.name)
  const adds = await all('ADD')
  fine(t, adds)
  const addresses = adds.map(({ json }) => json.ips[0].address)
  t.equal(new Set(addresses).size, 100, 'each has an address of its own')
  t.equal((await host.links()).length, 100 + FOREIGN.size)
  fine(t, await all('DEL'))
  t.same((await host.links()).sort(), [...FOREIGN].sort(), 'only those of others are left')
  t.equal(await foreignState(host.name), before, 'and are as they were')
  t.match((await agent.status()).verbs, { ADD: { count: 100, failed: 0 }, DEL: { count: 100, failed: 0 } })
  await nothingLeft(t, host, [...namespaces], [...FOREIGN])
})

t.test('DELs at once, of which some find their interface gone', async (t) => {
  const { host, agent, namespaces, all } = await crowd(t, 16)
  for (let round = 0; round < 3; round++) {
    fine(t, await all('ADD'))
    const links = await host.links()
    const gone = links.filter((_, n) => n % 4 === round)
    const remove = () =>
      Promise.all(gone.map((name) => host.exec('ip', ['link', 'del', name]).catch(() => {})))
    if (round === 0) await remove()
    const [done] = await Promise.all([all('DEL'), round > 0 ? remove() : undefined])
    fine(t, done)
    await nothingLeft(t, host, [...namespaces])
  }
  t.same(agent.lines('error'), [])
})

t.test('GCs at once that find the same interfaces', async (t) => {
  const { host, agent, namespaces, all } = await crowd(t, 6)
  const conf = netconf(host, { cniVersion: '1.1.0', ipam: undefined, 'cni.dev/valid-attachments': [] })
  for (let round = 0; round < 4; round++) {
    fine(t, await all('ADD'))
    // Nothing is known of them any more but their marks, and so no lock keeps the GCs apart.
    for (const dir of [host.stateDir, host.ipamDir]) rmSync(dir, { recursive: true })
    fine(t, await Promise.all(Array.from({ length: 4 }, () => host.cni('GC', { env: agent.env, conf }))))
    t.equal((await agent.status()).inFlight, 0, 'none waits for ever')
    await nothingLeft(t, host, [...namespaces])
  }
})

t.test('a container that dies while its DEL is under way', async (t) => {
  const { host, agent, namespaces, calls } = await crowd(t, 8)
  fine(t, await Promise.all(calls.map((call) => host.cni('ADD', call))))
  const [done] = await Promise.all([
    Promise.all(calls.map((call) => host.cni('DEL', call))),
    ...namespaces.map(async (name) => host.deleteNetns(name)),
  ])
  fine(t, done)
  t.same(agent.lines('error'), [])
  await nothingLeft(t, host, [])
})
