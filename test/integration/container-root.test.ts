/** What root in a container may do to its end of a link: it must not reach the host, nor the other container. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import t, { type Test } from 'tap'
import { complaint, type End, ends, linkProblems, linkStage } from './rig/link-stage.ts'
import type { Conf } from './rig/modes.ts'
import { type Link, linkNamed, look, residue } from './rig/snapshot.ts'
import type { Stage } from './rig/stage.ts'
import { LIVE_GROUP } from './rig/wire.ts'

const BOTH: readonly End[] = ['r1', 'r2']

async function met(t: Test, more: Conf = {}): Promise<Stage> {
  const stage = linkStage(t, more)
  for (const who of BOTH) t.same(complaint(`ADD of ${who}`, await stage.add(who)), [])
  return stage
}

/** `ip link …` by the container's root. */
async function root(stage: Stage, who: End, ...args: string[]): Promise<void> {
  await stage.host.exec('ip', ['link', ...args], stage.netns(who).name)
}

async function allGone(t: Test, stage: Stage): Promise<void> {
  for (const who of BOTH) t.same(complaint(`the last DEL of ${who}`, await stage.del(who)), [])
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
}

async function endOf(stage: Stage, who: End): Promise<Link> {
  const link = (await ends(stage)).get(who)
  if (link === undefined) throw new Error(`${who} has no end`)
  return link
}

t.test('an altname does not come to the host', async (t) => {
  const stage = await met(t)
  for (const altname of ['docker0', 'an-altname-that-is-too-long-for-a-name']) {
    await root(stage, 'r1', 'property', 'add', 'dev', 'eth0', 'altname', altname)
  }
  t.same(complaint('DEL', await stage.del('r1')), [])
  t.same(await linkProblems(stage, ['r2']), [])
  const { links } = await look(stage.host.name)
  t.same(
    links.flatMap(({ altnames = [] }) => altnames),
    [],
    'the host has no altnames',
  )
  await stage.host.exec('ip', ['link', 'add', 'docker0', 'type', 'bridge'])
  await stage.host.exec('ip', ['link', 'del', 'docker0'])
  t.same(complaint('ADD', await stage.add('r1')), [])
  t.same(await linkProblems(stage, BOTH), [])
  await allGone(t, stage)
})

t.test('an altname that is the name of something on the host', async (t) => {
  const stage = await met(t)
  await root(stage, 'r1', 'property', 'add', 'dev', 'eth0', 'altname', 'uplink0')
  await stage.host.exec('ip', ['link', 'add', 'uplink0', 'type', 'bridge'])
  const uplink = linkNamed(await look(stage.host.name), 'uplink0')
  t.same(complaint('DEL', await stage.del('r1')), [])
  t.same(await stage.host.links(stage.netns('r1').name), [], 'the interface is gone')
  t.same(complaint('ADD', await stage.add('r1')), [])
  t.same(await linkProblems(stage, BOTH), ['the host has interfaces [uplink0]'], 'both ends are wired')
  t.same(linkNamed(await look(stage.host.name), 'uplink0'), uplink, 'what the host has is as it was')
  await stage.host.exec('ip', ['link', 'del', 'uplink0'])
  await allGone(t, stage)
})

t.test('a renamed end', async (t) => {
  const stage = await met(t)
  const { name } = stage.netns('r1')
  const { ifindex } = await endOf(stage, 'r1')
  await root(stage, 'r1', 'set', 'eth0', 'name', 'foo')
  t.same(complaint('DEL of the other', await stage.del('r2')), [])
  t.equal((await stage.parked()).length, 1, 'the other end is parked')
  t.same(complaint('ADD of the other', await stage.add('r2')), [])
  t.same(await stage.host.links(name), ['foo'], 'it keeps its new name')
  t.equal(linkNamed(await look(name), 'foo')?.ifindex, ifindex, 'and is the same interface')
  t.ok(await stage.host.ping(stage.netns('r2').name, '10.1.0.1'), 'the two talk')
  t.same(complaint('its own DEL', await stage.del('r1')), [])
  t.same(await linkProblems(stage, ['r2']), [], 'the renamed end is gone')
  t.same(complaint('its own ADD', await stage.add('r1')), [])
  t.same(await linkProblems(stage, BOTH), [])
  await allGone(t, stage)
})

t.test('an end renamed while it waits for the other', async (t) => {
  const stage = linkStage(t)
  t.same(complaint('ADD', await stage.add('r1')), [])
  await root(stage, 'r1', 'set', 'eth0', 'name', 'foo')
  t.same(complaint('ADD of the other', await stage.add('r2')), [])
  t.ok(await stage.host.ping(stage.netns('r2').name, '10.1.0.1'), 'the two talk')
  t.same(complaint('DEL of the other', await stage.del('r2')), [])
  t.same(complaint('its own DEL', await stage.del('r1')), [])
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
})

for (const [title, conf, wanted] of [
  ['by default', {}, { mtu: 1500, txqlen: 1000 }],
  ['with mtu and qlen in the netconf', { mtu: 4000, qlen: 500 }, { mtu: 4000, txqlen: 500 }],
] as const) {
  t.test(`settings that its root changed are as asked for after DEL and ADD, ${title}`, async (t) => {
    const stage = await met(t, conf)
    const before = await endOf(stage, 'r2')
    t.match(before, wanted)
    await root(stage, 'r2', 'set', 'eth0', 'mtu', '9000')
    await root(stage, 'r2', 'set', 'eth0', 'arp', 'off', 'promisc', 'on', 'allmulticast', 'on')
    await root(stage, 'r2', 'set', 'eth0', 'txqueuelen', '7', 'address', '02:00:00:00:00:07')
    t.same(complaint('DEL', await stage.del('r2')), [])
    const [parked] = await stage.parked()
    t.match(parked, { mtu: wanted.mtu, address: before.address }, 'the parked end is as it should be')
    t.notOk(parked?.flags.includes('PROMISC'), 'the host has no promiscuous interface')
    t.same(complaint('ADD', await stage.add('r2')), [])
    const after = await endOf(stage, 'r2')
    t.match(after, { ...wanted, address: before.address, group: LIVE_GROUP, ifalias: before.ifalias })
    t.same([...after.flags].sort(), [...before.flags].sort(), 'flags')
    t.same(complaint('CHECK', await stage.check('r2')), [])
    t.same(await linkProblems(stage, BOTH), [])
    await allGone(t, stage)
  })
}

const SOURCE = resolve(import.meta.dirname, '../../src/netlink')
const FORGED = `nugator:${'0'.repeat(64)}:x/y/z`
/** Gives the container's end a forged alias and its own in turn, as fast as it can. */
const FLIP = `
const { NetlinkSocket } = await import('${SOURCE}/socket.ts')
const { getLinkByName, setLink } = await import('${SOURCE}/link.ts')
const socket = new NetlinkSocket()
const [link] = socket.request(getLinkByName('eth0'))
for (let flips = 0; ; flips++) {
  for (const alias of ['${FORGED}', link.alias]) socket.exchange([setLink(link.index, { alias }, 'eth0')])
  if (flips === 0) console.log('flipping')
}`

/** Returns a function that ends it. */
async function flip(t: Test, stage: Stage, who: End): Promise<() => Promise<void>> {
  const args = [`--net=${stage.pathOf(who)}`, process.execPath, '--input-type=module', '-e', FLIP]
  const { NODE_OPTIONS, ...env } = process.env
  const child = spawn('nsenter', args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk
  })
  await Promise.race([once(child.stdout, 'data'), closed])
  if (child.exitCode !== null) throw new Error(`it ended: ${said}`)
  return async () => {
    t.equal(child.exitCode, null, `it has flipped till now ${said}`)
    child.kill('SIGKILL')
    await closed
  }
}

t.test('an alias that changes all the time: nothing forged comes to the host', async (t) => {
  const stage = linkStage(t)
  for (let round = 1; round <= 10; round++) {
    for (const who of BOTH) t.same(complaint(`ADD of ${who}`, await stage.add(who)), [])
    const stop = await flip(t, stage, 'r1')
    t.same(complaint('DEL', await stage.del('r1')), [])
    await stop()
    const { links } = await look(stage.host.name)
    const forged = links.filter(({ ifalias }) => ifalias === FORGED)
    t.same(forged, [], `round ${round}: no forged alias`)
    t.same(await linkProblems(stage, ['r2']), [], `round ${round}: the other is as it should be`)
    t.same(complaint('DEL of the other', await stage.del('r2')), [])
    t.same(await residue(stage.host, stage.namespaces), [], `round ${round}: nothing is left`)
  }
})

t.test('a forged pair in place of the true one', async (t) => {
  const stage = await met(t)
  const [own, other] = [await endOf(stage, 'r1'), await endOf(stage, 'r2')]
  const [hidden, listening] = [stage.host.netns('hidden'), stage.host.netns('listening')]
  // All that the recorded pair of ifindexes, MAC and marks tell is true of the forgery as well.
  await root(stage, 'r1', 'set', 'eth0', 'netns', hidden.name)
  const like = ['name', 'eth0', 'index', String(own.ifindex), 'address', own.address]
  const peer = ['name', 'f0', 'index', String(other.ifindex), 'netns', listening.name]
  await root(stage, 'r1', 'add', ...like, 'type', 'veth', 'peer', ...peer)
  await root(stage, 'r1', 'set', 'eth0', 'alias', own.ifalias ?? '', 'group', own.group, 'up')
  await stage.host.exec('ip', ['addr', 'add', '10.1.0.1/30', 'dev', 'eth0'], stage.netns('r1').name)
  await stage.host.exec('ip', ['link', 'set', 'f0', 'up'], listening.name)
  for (const who of BOTH) {
    t.match(await stage.check(who), { code: 1, json: { code: 999 } }, `CHECK of ${who} complains`)
  }
  t.same(complaint('DEL', await stage.del('r1')), [])
  t.same(await linkProblems(stage, ['r2']), [], 'what is parked is the peer of the survivor’s end')
  t.same(complaint('ADD', await stage.add('r1')), [])
  t.same(await linkProblems(stage, BOTH), [], 'the two talk')
  for (const { name } of [hidden, listening]) {
    const { links } = await look(name)
    const up = links.filter(({ ifname, flags }) => ifname !== 'lo' && flags.includes('LOWER_UP'))
    t.same(up, [], `no wire ends in ${name}`)
  }
  const there = await endOf(stage, 'r2')
  t.equal((await endOf(stage, 'r1')).link_index, there.ifindex, 'the ends are those of one wire')
  await allGone(t, stage)
})
