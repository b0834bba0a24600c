/** A host for one scene: a namespace of its own, containers to be wired, directories for state, leases and sockets. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Caller } from './caller.ts'
import { compiled } from './compile.ts'
import { Dialogue } from './dialogue.ts'
import { Ground } from './ground.ts'

export interface Container {
  readonly id: string
  /** Path of its namespace, which is fresh, with `lo` up. */
  readonly netns: string
}

/** For what the last calls left to the kernel to be done with: RCU takes a device 15 to 25 ms. */
const QUIET_MS = 60

export class Host {
  readonly ground: Ground
  /** Path of its namespace. */
  readonly netns: string
  readonly caller: Caller
  readonly #keeper: Dialogue
  #containers = 0

  private constructor(ground: Ground, keeper: Dialogue, netns: string) {
    this.ground = ground
    this.#keeper = keeper
    this.netns = netns
    this.caller = new Caller(netns)
  }

  /** Runs a scene on a host that is gone afterwards, whatever happens. */
  static async with<T>(scene: (host: Host) => Promise<T>): Promise<T> {
    const ground = new Ground()
    const keeper = new Dialogue(compiled('keeper'))
    let host: Host | undefined
    try {
      const descriptor = (await keeper.ask('1')).trim()
      host = new Host(ground, keeper, `/proc/${keeper.pid}/fd/${descriptor}`)
      return await scene(host)
    } finally {
      host?.caller.stop()
      keeper.stop()
      ground.remove()
    }
  }

  /** So many more containers; they stay until the host is gone. */
  async containers(count: number): Promise<Container[]> {
    const descriptors = (await this.#keeper.ask(String(count))).trim().split(' ')
    return descriptors.map((descriptor) => {
      this.#containers += 1
      return { id: `bench-${this.#containers}`, netns: `/proc/${this.#keeper.pid}/fd/${descriptor}` }
    })
  }

  async container(): Promise<Container> {
    const [container] = await this.containers(1)
    if (container === undefined) throw new Error('the keeper gave no namespace')
    return container
  }

  /** A directory of this host's. */
  dir(name: string): string {
    const path = join(this.ground.dir, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** Nothing is measured before this is over. */
  async quiet(ms: number = QUIET_MS): Promise<void> {
    await pause(ms)
  }
}
