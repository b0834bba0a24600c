/**
 * What our host-local remembers of a directory is never believed when it should not be: others change the directory
 * between its calls, in every way, and each answer is compared with a simple model's.
 */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Ask, askOurs, askReal, type Outcome, scratch } from './rig/host-local.ts'
import { newCoarse } from './rig/host-local-ground.ts'
import { ModelDirectory } from './rig/host-local-model.ts'
import { HostLocalProcess } from './rig/host-local-process.ts'

type Who = 'us' | 'resident' | 'real'
type Command =
  | { readonly kind: 'call'; readonly who: Who; readonly verb: Ask['verb']; readonly id: string }
  | {
      readonly kind: 'take' | 'free' | 'again' | 'over' | 'unseen' | 'link' | 'relink'
      readonly host: number
      readonly id: string
    }
  | { readonly kind: 'free all' }

/** @param hosts how many addresses, from the first, are meant */
function commands(hosts: number): fc.Arbitrary<Command> {
  const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f')
  const host = fc.integer({ min: 2, max: hosts })
  const verb = fc.constantFrom<Ask['verb']>('ADD', 'ADD', 'DEL', 'CHECK')
  const who = fc.constantFrom<Who>('us', 'us', 'us', 'us', 'resident', 'resident', 'real')
  const kind = fc.constantFrom(
    'take' as const,
    'free',
    'again',
    'again',
    'over',
    'unseen',
    'link',
    'relink',
    'relink',
  )
  return fc.oneof(
    { weight: 24, arbitrary: fc.record({ kind: fc.constant('call' as const), who, verb, id }) },
    { weight: 8, arbitrary: fc.record({ kind, host, id }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('free all' as const) }) },
  )
}

function change(model: ModelDirectory, command: Exclude<Command, { kind: 'call' }>): void {
  if (command.kind === 'free all') {
    model.freeAll()
    return
  }
  const { kind, host, id } = command
  if (kind === 'take') model.take(host, id)
  else if (kind === 'free') model.free(host)
  else if (kind === 'unseen') model.unseen(() => model.give(host, id, 'again'))
  else if (kind === 'link') model.link(host, id)
  else if (kind === 'relink') model.relink(id)
  else model.give(host, id, kind)
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** Does it all, and throws at the first answer that is not the model's. */
async function follow(
  model: ModelDirectory,
  resident: HostLocalProcess,
  all: readonly Command[],
): Promise<void> {
  const askers: Record<Who, (ask: Ask) => Promise<Outcome | undefined>> = {
    us: (ask) => askOurs(ask),
    real: (ask) => askReal(ask),
    resident: (ask) => resident.ask(ask),
  }
  for (const [index, command] of all.entries()) {
    if (command.kind !== 'call') {
      change(model, command)
      continue
    }
    const { who, verb, id } = command
    const wanted = model.expect(verb, id)
    const got = await askers[who]({ verb, conf: model.conf, containerID: id })
    if (!same(got, wanted)) {
      throw new Error(
        `${index}: ${verb} ${id} by ${who}: ${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`,
      )
    }
  }
  const wrong = model.deviations()
  if (wrong.length > 0) throw new Error(wrong.join(', '))
}

function newResident(t: Test): HostLocalProcess {
  const resident = new HostLocalProcess()
  t.teardown(() => resident.kill())
  return resident
}

t.test('any order of ours and of others', async (t) => {
  const dir = scratch(t)
  const resident = newResident(t)
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(commands(16), { minLength: 10, maxLength: 60 }), async (all) => {
      runs += 1
      await follow(new ModelDirectory(`${dir}/${runs}`), resident, all)
    }),
    { numRuns: Number(process.env.HOST_LOCAL_RUNS ?? 80) },
  )
  t.pass(`${runs} runs`)
})

t.test('any order of ours alone, between changes that are seen only by the clock', async (t) => {
  const dir = scratch(t)
  let runs = 0
  const call = fc.record({
    kind: fc.constant('call' as const),
    who: fc.constant('us' as const),
    verb: fc.constantFrom<Ask['verb']>('ADD', 'DEL', 'CHECK'),
    id: fc.constantFrom('a', 'b', 'c'),
  })
  const again = fc.record({
    kind: fc.constantFrom('again' as const, 'over'),
    host: fc.integer({ min: 2, max: 6 }),
    id: fc.constantFrom('a', 'b', 'c'),
  })
  const resident = newResident(t)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(call, again), { minLength: 20, maxLength: 80 }), async (all) => {
      runs += 1
      await follow(new ModelDirectory(`${dir}/${runs}`), resident, all)
    }),
    { numRuns: 250 },
  )
  t.pass(`${runs} runs: within a tick of the kernel's clock a file goes and another comes under its name`)
})

t.test('on a file system whose clock knows only seconds', async (t) => {
  const { conf } = new ModelDirectory(newCoarse(t, `${scratch(t)}/coarse`))
  const resident = newResident(t)
  const wrong: unknown[] = []
  for (let round = 0; round < 400; round += 1) {
    const [ours, theirs] = [
      { conf, containerID: `o${round}` },
      { conf, containerID: `t${round}` },
    ]
    await askOurs({ ...ours, verb: 'ADD' })
    await resident.ask({ ...theirs, verb: 'ADD' })
    await askOurs({ ...theirs, verb: 'DEL' })
    await resident.ask({ ...ours, verb: 'DEL' })
    for (const each of [ours, theirs]) {
      const left = await askReal({ ...each, verb: 'CHECK' })
      if (left.code !== 999) wrong.push(each.containerID)
    }
  }
  t.strictSame(wrong, [], 'two residents know of each other')
})

t.test('10,000 leases, and a change by others between every two calls', async (t) => {
  const model = new ModelDirectory(scratch(t))
  const resident = newResident(t)
  for (let host = 2; host < 10_002; host += 1) model.take(host, `x${host}`)
  const changes = fc.sample(commands(10_100), { numRuns: 2500, seed: 1 })
  const foreign = changes.filter(({ kind }) => kind !== 'call' && kind !== 'free all' && kind !== 'link')
  const calls = changes.filter(({ kind }) => kind === 'call')
  const mixed = foreign.slice(0, 80).flatMap((each, index) => [each, ...calls.slice(index, index + 1)])
  await follow(model, resident, mixed)
  t.strictSame(model.deviations(), [], `${mixed.length} commands`)
  await follow(model, resident, calls.slice(100, 160))
  t.strictSame(model.deviations(), [], 'and without')

  model.freeAll()
  await follow(model, resident, calls.slice(200, 300))
  t.strictSame(model.deviations(), [], 'and after all were freed')
})

/** Medians of these in turn, milliseconds: what else the machine does meets all of them. */
async function medians(count: number, works: readonly ((index: number) => Promise<unknown>)[]) {
  const took = works.map((): number[] => [])
  for (let index = 0; index < count; index += 1) {
    for (const [at, work] of works.entries()) {
      const begun = performance.now()
      await work(index)
      took[at]?.push(performance.now() - begun)
    }
  }
  return took.map((each) => each.sort((a, b) => a - b)[count >> 1] ?? Number.NaN)
}

t.test('10,000 leases cost no more than 10', async (t) => {
  const [few, many] = [new ModelDirectory(scratch(t)), new ModelDirectory(scratch(t))]
  for (let host = 2; host < 12; host += 1) few.take(host, `x${host}`)
  for (let host = 2; host < 10_002; host += 1) many.take(host, `x${host}`)
  const both = (verb: Ask['verb'], label: string) =>
    [few, many].map(
      ({ conf }) =>
        (index: number) =>
          askOurs({ verb, conf, containerID: `${label}${index}` }),
    )
  await medians(3, both('ADD', 'warm'))
  const costs = { ADD: await medians(200, both('ADD', 'a')), DEL: await medians(200, both('DEL', 'a')) }
  const askTheReal = (index: number) => askReal({ verb: 'ADD', conf: many.conf, containerID: `r${index}` })
  const [real = Number.NaN] = await medians(5, [askTheReal])
  for (const [verb, [atFew = Number.NaN, atMany = Number.NaN]] of Object.entries(costs)) {
    t.ok(atMany < atFew * 3 + 1, `${verb}: ${atFew.toFixed(3)} ms with 10, ${atMany.toFixed(3)} with 10,000`)
    t.ok(atMany < real / 10, `the real one's ADD with 10,000: ${real.toFixed(1)} ms`)
  }
})
