/** Whatever fails while many wires are made, all of them are taken back, and the error names the one that failed. */
import { test } from 'tap'
import { applyWires } from '../../src/koko/bulk-apply.ts'
import { WiresError } from '../../src/koko/bulk-error.ts'
import { planWires, type WiresPlan } from '../../src/koko/bulk-plan.ts'
import { createNetns, deleteNetns } from '../../src/netns/named.ts'
import { addressOf, type Change, type Ground, girdle, nameOf, newGround, wantedWires } from './rig/bulk.ts'
import { placeForeignDown } from './rig/foreign.ts'

const NAMESPACES = 20
const EACH = 5
const SHAPE = girdle(NAMESPACES, EACH)
const LAST = SHAPE.length - 1
/** The links at which failures are injected: those of the first send, of the middle, of the last. */
const VICTIMS = [0, 3, 41, 77, LAST]

function plan(ground: Ground, change?: Change): WiresPlan {
  return planWires(wantedWires((place) => ground.at(place), SHAPE, change))
}

async function failureOf(applied: Promise<void>): Promise<WiresError> {
  try {
    await applied
  } catch (error) {
    if (error instanceof WiresError) return error
    throw error
  }
  throw new Error('it did not fail')
}

const placeOf = (link: number, side: 'a' | 'b') => SHAPE[link]?.[side === 'a' ? 0 : 1] ?? 0

test('a name that somebody takes between plan and creation', async (t) => {
  const ground = newGround(t, NAMESPACES)
  for (const [link, side] of VICTIMS.flatMap((link) => [[link, 'a'] as const, [link, 'b'] as const])) {
    const planned = plan(ground)
    const [place, name] = [placeOf(link, side), nameOf(link, side)]
    await ground.ip(place, 'link', 'add', name, 'type', 'bridge')
    await ground.ip(place, 'address', 'add', '192.0.2.77/24', 'dev', name)
    await ground.ip(place, 'link', 'set', name, 'alias', 'not yours')
    const before = await ground.snapshot()
    const error = await failureOf(applyWires(planned))
    t.match(error, { problem: 'exists' })
    t.match(error.message, `link #${link}, end ${side}: interface name ${name} already exists in`)
    t.same(await ground.snapshot(), before, `taken back, and the foreign one as it was: link ${link} ${side}`)
    await ground.ip(place, 'link', 'delete', name)
  }
  await applyWires(plan(ground))
  t.equal((await ground.interfaces()).length, 2 * SHAPE.length, 'without it all are made')
})

test('an altname, and a veth beside others', async (t) => {
  const ground = newGround(t, NAMESPACES)
  const planned = plan(ground)
  const place = placeOf(50, 'b')
  await placeForeignDown(ground.name(place), nameOf(50, 'b'))
  await ground.ip(place, 'link', 'add', nameOf(51, 'a'), 'type', 'veth', 'peer', 'name', 'theirs')
  const before = await ground.snapshot()
  const { findings, message } = await failureOf(applyWires(planned))
  t.match(message, /^link #5[01], end [ab]: interface name e5[01][ab]/)
  t.ok(
    findings.every(({ link }) => link === 50 || link === 51),
    'no other link is to blame',
  )
  t.same(await ground.snapshot(), before)
})

test('a route that the kernel does not take', async (t) => {
  const ground = newGround(t, NAMESPACES)
  const before = await ground.snapshot()
  for (const [at, victim] of VICTIMS.entries()) {
    const side = at % 2 === 0 ? 'a' : 'b'
    const planned = plan(ground, (link, end) => {
      const gw = addressOf(link, end === 'a' ? 'b' : 'a')
      return link === victim && end === side ? { routes: [{ dst: '10.5.0.0/16', gw, scope: 254 }] } : {}
    })
    const error = await failureOf(applyWires(planned))
    t.match(error.message, `link #${victim}, end ${side}: add route 10.5.0.0/16 via`)
    t.match(error.message, 'Route with host scope can not have a gateway', "the kernel's own words")
    t.equal(error.findings.length, 1)
    t.same(await ground.snapshot(), before, `link ${victim}`)
  }
})

test('a sysctl that there is not', async (t) => {
  const ground = newGround(t, NAMESPACES)
  const before = await ground.snapshot()
  const planned = plan(ground, (link, side) =>
    link === 63 && side === 'a' ? { sysctls: { 'net/ipv4/conf/e63a/no_such_thing': '1' } } : {},
  )
  t.match((await failureOf(applyWires(planned))).message, /^link #63, end a: .*no_such_thing/)
  t.same(await ground.snapshot(), before)
})

test('a namespace that vanished after the plan, also if another has its name now', async (t) => {
  for (const [place, again] of [
    [0, false],
    [11, false],
    [NAMESPACES - 1, false],
    [7, true],
  ] as const) {
    const ground = newGround(t, NAMESPACES)
    const planned = plan(ground)
    deleteNetns(ground.name(place))
    if (again) createNetns(ground.name(place))
    const { findings, message } = await failureOf(applyWires(planned))
    t.match(message, `ngt-`)
    t.match(message, / is gone/)
    t.same(
      findings.map(({ link }) => link).sort((one, another) => one - another),
      SHAPE.flatMap((edge, link) => (edge.includes(place) ? [link] : [])),
      'every link that would have ended there',
    )
    if (!again) createNetns(ground.name(place)) // so that there is something to look at
    t.same(await ground.interfaces(), [], `namespace ${place}`)
    ground.remove()
  }
})

test('a namespace that vanishes while the wires are made', async (t) => {
  const ground = newGround(t, NAMESPACES)
  const applied = failureOf(applyWires(plan(ground)))
  deleteNetns(ground.name(9)) // the first sends are under way
  t.match((await applied).message, `${ground.name(9)} is gone`)
  createNetns(ground.name(9))
  t.same(await ground.interfaces(), [])
})

test('a socket that fails: what became of its messages is not known, and still nothing is left', async (t) => {
  for (const place of [0, 8, NAMESPACES - 1]) {
    const ground = newGround(t, NAMESPACES)
    const planned = plan(ground)
    const { socket } = ground.at(place)
    // The first answer is lost.
    socket.exchangeElsewhere = async (requests) => {
      Reflect.deleteProperty(socket, 'exchangeElsewhere')
      await socket.exchangeElsewhere(requests)
      throw new Error('lost')
    }
    const error = await failureOf(applyWires(planned))
    t.match(error.message, /^link #\d+(, end b)?: lost/)
    t.same(await ground.interfaces(), [], `namespace ${place}`)
    ground.remove()
  }
})

test('an ifindex that somebody took: his interface is neither configured nor deleted', async (t) => {
  const ground = newGround(t, NAMESPACES)
  for (const side of ['a', 'b'] as const) {
    const planned = plan(ground)
    const { index } = planned.wires[30]?.[side] ?? {}
    const place = placeOf(30, side)
    await ground.ip(place, 'link', 'add', 'foreign', 'index', String(index), 'type', 'bridge')
    const before = await ground.snapshot()
    const { message } = await failureOf(applyWires(planned))
    t.match(message, `link #30, end ${side}: ifindex ${index} was taken meanwhile in`)
    // What goes along with the creation is the alias, and nothing else.
    await ground.ip(place, 'link', 'set', 'foreign', 'alias', '')
    t.same(await ground.snapshot(), before, side)
    await ground.ip(place, 'link', 'delete', 'foreign')
  }
})
