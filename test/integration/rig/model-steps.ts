/** What may happen on a host, as steps that the model and the real thing take side by side. */
import fc from 'fast-check'
import type { CniResult } from './host.ts'
import { LABELS, type Label, type Mode, type Model, ROLES, roleOf } from './model.ts'
import { difference } from './snapshot.ts'
import type { World } from './world.ts'

type Step = fc.AsyncCommand<Model, World>

function insist(holds: boolean, what: string, done?: CniResult): void {
  if (!holds)
    throw new Error(`${what}${done === undefined ? '' : `: exit ${done.code} ${done.stdout}${done.stderr}`}`)
}

/** Interfaces of a namespace that is gone vanish a moment later; everything else is as it should be at once. */
async function agree(model: Model, world: World, patience = 1): Promise<void> {
  let found: string[] = []
  for (let attempt = 0; attempt < patience; attempt++) {
    found = await world.differences(model)
    if (found.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(found.join('\n'))
}

/** A step with its name, when it can be taken, and what it does to both. */
function step(
  name: string,
  can: (model: Model) => boolean,
  run: (model: Model, world: World) => Promise<number | undefined>,
): Step {
  return {
    check: can,
    async run(model, world) {
      const patience = await run(model, world)
      await agree(model, world, patience)
    },
    toString: () => name,
  }
}

/** A call that may heal a wounded link, or leave that to the next one. */
async function mayHeal(model: Model, world: World): Promise<void> {
  if (model.wounded && (await world.healed(model))) model.settle()
}

async function refused(world: World, who: string, codes: readonly number[]): Promise<void> {
  const before = await world.holding()
  const done = await world.stage.add(who)
  insist(
    done.code === 1 && codes.includes(done.json?.code),
    `ADD of ${who} should be refused with ${codes}`,
    done,
  )
  const change = difference(before, await world.holding())
  insist(change === undefined, `the refused ADD of ${who} changed something: ${change}`)
}

/** The codes with which an ADD is to be refused, if it is. */
function refusal(model: Model, who: string): readonly number[] | undefined {
  const { peer } = roleOf(who)
  if (model.wired(who)) return [100, 102]
  if (model.occupant(who) !== undefined) return [101]
  return peer !== undefined && !model.alive(peer.on) ? [8] : undefined
}

function add(who: string): Step {
  const { on, mode } = roleOf(who)
  return step(
    `ADD ${who}`,
    // A live container whose wire was lost to a death is the runtime's to DEL first.
    (model) => model.alive(on) && (model.wired(who) || !model.current(who)),
    async (model, world) => {
      const codes = refusal(model, who)
      // What a dead container left may be undone before the refusal: then there is something to change.
      if (codes !== undefined && model.held.has(who) === model.current(who) && !model.wounded) {
        await refused(world, who, codes)
        return undefined
      }
      const done = await world.stage.add(who)
      insist(done.code === (codes === undefined ? 0 : 1), `ADD of ${who}`, done)
      if (codes === undefined) {
        model.add(who, mode === 'host' ? done.json.ips[0].address : roleOf(who).address)
      } else await mayHeal(model, world)
      return undefined
    },
  )
}

function del(who: string, withoutNetns: boolean): Step {
  return step(
    `DEL ${who}${withoutNetns ? ' without CNI_NETNS' : ''}`,
    () => true,
    async (model, world) => {
      const done = await world.stage.del(who, { withoutNetns })
      insist(done.code === 0 && done.stdout === '', `DEL of ${who}`, done)
      model.del(who)
      await mayHeal(model, world)
      return undefined
    },
  )
}

function check(who: string): Step {
  return step(
    `CHECK ${who}`,
    (model) => model.current(who),
    async (model, world) => {
      const done = await world.stage.check(who)
      insist(done.code === (model.wired(who) ? 0 : 1), `CHECK of ${who}`, done)
      await mayHeal(model, world)
      return undefined
    },
  )
}

function gc(mode: Mode, valid: readonly string[]): Step {
  return step(
    `GC ${mode} [${valid}]`,
    () => true,
    async (model, world) => {
      const done = await world.stage.gc(world.conf(mode), valid)
      insist(done.code === 0 && done.stdout === '', `GC of ${mode}`, done)
      for (const who of model.heldBy(mode)) if (!valid.includes(who)) model.del(who)
      await mayHeal(model, world)
      return undefined
    },
  )
}

function kill(label: Label): Step {
  return step(
    `${label} dies`,
    (model) => model.alive(label),
    async (model, world) => {
      model.kill(label)
      world.kill(label)
      return 100
    },
  )
}

function revive(label: Label): Step {
  return step(
    `${label} is started again`,
    (model) => !model.alive(label),
    async (model, world) => {
      model.revive(label)
      await world.revive(label)
      return undefined
    },
  )
}

const anyone = fc.constantFrom(...Object.keys(ROLES))
const container = fc.constantFrom(...LABELS)

export const STEPS: fc.Arbitrary<Step>[] = [
  anyone.map(add),
  anyone.map(add),
  fc.tuple(anyone, fc.boolean()).map(([who, withoutNetns]) => del(who, withoutNetns)),
  anyone.map(check),
  fc
    .tuple(fc.constantFrom<Mode>('host', 'peer', 'link'), fc.subarray(Object.keys(ROLES)))
    .map(([mode, valid]) =>
      gc(
        mode,
        valid.filter((who) => roleOf(who).mode === mode),
      ),
    ),
  container.map(kill),
  container.map(revive),
]
