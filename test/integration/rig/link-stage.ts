/** Two containers that meet by a link name, and what must be true of them at any moment. */
import { type CniResult, run } from './host.ts'
import { type Conf, ENDS, linkConf } from './modes.ts'
import { addressesOf, type Link, linkNamed, look } from './snapshot.ts'
import { Stage } from './stage.ts'
import { deviations, LIVE_GROUP } from './wire.ts'

export type End = keyof typeof ENDS

/** Containers `r1` and `r2`, each told its end by CNI_ARGS. */
export function linkStage(t?: { teardown(fn: () => unknown): void }, more: Conf = {}): Stage {
  const conf = linkConf(more)
  return new Stage(t).containers('r1', 'r2').cast({
    r1: { conf, containerID: 'ctr-one', on: 'r1', args: 'IgnoreUnknown=1;END=r1' },
    r2: { conf, containerID: 'ctr-two', on: 'r2', args: 'IgnoreUnknown=1;END=r2' },
  })
}

async function ipv6Disabled(netns: string, ifname: string): Promise<boolean> {
  const path = `/proc/sys/net/ipv6/conf/${ifname}/disable_ipv6`
  const done = await run('nsenter', [`--net=/run/netns/${netns}`, 'cat', path])
  return done.stdout.trim() === '1'
}

/** What is wrong with an end that waits in the host's namespace. */
async function parkedProblems(stage: Stage, link: Link): Promise<string[]> {
  const problems: string[] = []
  if (link.flags.includes('UP')) problems.push(`parked end ${link.ifname} is up`)
  if (addressesOf(link).length > 0) problems.push(`parked end ${link.ifname} has addresses`)
  if (link.group !== LIVE_GROUP) problems.push(`parked end ${link.ifname} is in group ${link.group}`)
  if (!link.ifalias?.startsWith('nugator:')) problems.push(`parked end ${link.ifname} has no mark`)
  if (!(await ipv6Disabled(stage.host.name, link.ifname))) {
    problems.push(`parked end ${link.ifname} has IPv6 enabled`)
  }
  return problems
}

/** The address of an end, with its prefix and without. */
function own(end: End): string[] {
  return ENDS[end].addresses.map(({ address }) => address)
}

export async function ends(stage: Stage): Promise<Map<End, Link>> {
  const found = new Map<End, Link>()
  for (const end of ['r1', 'r2'] as const) {
    if (!stage.alive(end)) continue
    const link = linkNamed(await look(stage.netns(end).name), 'eth0')
    if (link !== undefined) found.set(end, link)
  }
  return found
}

/**
 * Everything that is wrong when exactly these ends should be attached: their interfaces and routes, no other
 * interface, the waiting end, and traffic if there are two.
 */
export async function linkProblems(stage: Stage, attached: readonly End[]): Promise<string[]> {
  const problems: string[] = []
  for (const end of ['r1', 'r2'] as const) {
    if (!stage.alive(end)) continue
    const { name } = stage.netns(end)
    const hoped = attached.includes(end) ? ['eth0'] : []
    const names = await stage.host.links(name)
    if (names.join() !== hoped.join()) problems.push(`${end} has interfaces [${names}] instead of [${hoped}]`)
    if (hoped.length === 0) continue
    const routes = ENDS[end].routes.map(({ dst, gw }) => ({ dst, gateway: gw }))
    problems.push(...(await deviations(name, 'eth0', { addresses: own(end), routes })))
  }
  const parked = await stage.parked()
  const waiting = attached.length === 1 ? 1 : 0
  if (parked.length !== waiting) problems.push(`${parked.length} ends are parked instead of ${waiting}`)
  const strangers = (await stage.host.links()).filter((name) => parked.every(({ ifname }) => ifname !== name))
  if (strangers.length > 0) problems.push(`the host has interfaces [${strangers}]`)
  for (const link of parked) problems.push(...(await parkedProblems(stage, link)))
  if (attached.length === 2) problems.push(...(await silence(stage)))
  return problems
}

/** Pings that get no answer, both ways and over both families. */
async function silence(stage: Stage): Promise<string[]> {
  const ways = (['r1', 'r2'] as const).flatMap((from) =>
    own(from === 'r1' ? 'r2' : 'r1').map((address) => ({ from, to: address.slice(0, address.indexOf('/')) })),
  )
  const heard = await Promise.all(ways.map(({ from, to }) => stage.host.ping(stage.netns(from).name, to)))
  return ways.filter((_, index) => !heard[index]).map(({ from, to }) => `${from} cannot reach ${to}`)
}

/** Of a call that should have succeeded: what it said instead. */
export function complaint(what: string, done: CniResult): string[] {
  return done.code === 0 ? [] : [`${what}: exit ${done.code ?? done.signal} ${done.stdout}${done.stderr}`]
}
