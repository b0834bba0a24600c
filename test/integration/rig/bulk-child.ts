/**
 * A process that makes many wires, to be killed: node bulk-child.ts FILE NETNS…. It makes a mesh of two wires between
 * any two namespaces, half of them with IPv6, writes down the plan in FILE before the first change, and says so.
 */
import { writeFileSync } from 'node:fs'
import { applyWires } from '../../../src/koko/bulk-apply.ts'
import { planWires } from '../../../src/koko/bulk-plan.ts'
import { Netns } from '../../../src/netns/netns.ts'
import { addressOf, mesh, wantedWires } from './bulk.ts'

/** What is written down of an end. */
export interface Note {
  place: number
  index: number
  mac: string
}

if (import.meta.main) {
  const [file = '', ...paths] = process.argv.slice(2)
  const netns = paths.map((path) => Netns.at(path))
  const at = (place: number) => {
    const there = netns[place]
    if (there === undefined) throw new RangeError(`no namespace ${place}`)
    return there
  }
  const shape = mesh(paths.length).flatMap((edge) => [edge, edge])
  const plan = planWires(
    wantedWires(at, shape, (link, side) => {
      const addresses = [{ address: `${addressOf(link, side)}/30` }]
      const ipv6 = { address: `fd00:${link + 1}::${side === 'a' ? 1 : 2}/64` }
      return { addresses: link % 2 === 0 ? addresses : [...addresses, ipv6] }
    }),
  )
  const notes: Note[][] = plan.wires.map(({ a, b }) =>
    [a, b].map(({ netns: there, index, spec }) => ({ place: netns.indexOf(there), index, mac: spec.mac })),
  )
  writeFileSync(file, JSON.stringify(notes))
  process.stdout.write('planned\n')
  await applyWires(plan)
  process.stdout.write('made\n')
}
