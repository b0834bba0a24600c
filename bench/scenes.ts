/** All scenes, in the order in which they are run: those that leave the kernel much to clean up come last. */
import { addScene, dualScene } from './add.ts'
import { bulkScene } from './bulk.ts'
import { busyScene } from './busy.ts'
import { coldScene } from './cold.ts'
import { growthScene } from './growth.ts'
import { linkScene } from './link.ts'
import { manyScene } from './many.ts'
import { kokoScene, peerScene } from './peer.ts'
import { residentScene } from './resident.ts'
import { ratio, type Scene } from './result.ts'
import { wireScene } from './wire.ts'

const bulk: Scene = {
  name: 'bulk',
  rounds: { full: 4, quick: 1 },
  async run(rounds) {
    const { up, down } = await bulkScene(rounds)
    const ours = (samples: readonly number[]) => ({ name: 'nugator', samples })
    const floor = { name: 'C floor', samples: up.floor }
    const ip = { name: '`ip -n NS -batch`', samples: down.ip }
    const what = '1000 links over 200 namespaces'
    return {
      title: `${what}, in process`,
      groups: [
        { title: `${what}, up`, rows: [floor, ours(up.engine)] },
        { title: `${what}, down`, rows: [ip, ours(down.engine)] },
      ],
      claims: [
        ratio(`${what}, up, against the C floor`, ours(up.engine), floor, 1.5),
        ratio(`${what}, down, against one \`ip -n NS -batch\` a namespace`, ours(down.engine), ip, 0.1),
      ],
      notes: [],
    }
  },
}

export const SCENES: readonly Scene[] = [
  wireScene,
  addScene,
  dualScene,
  coldScene,
  peerScene,
  linkScene,
  kokoScene,
  manyScene,
  busyScene,
  residentScene,
  bulk,
  growthScene,
]
