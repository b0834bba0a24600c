/** A Unix socket that takes datagrams, as a service manager has one for sd_notify(3). */
import { closeSync } from 'node:fs'
import { AF_UNIX, bind, receiveNow, SOCK_CLOEXEC, SOCK_DGRAM, socket } from '../../../src/netlink/libc.ts'

export class Datagrams {
  readonly path: string
  readonly #fd: number
  readonly #buffer = Buffer.alloc(4096)

  /** At a path; one that begins with `@` is abstract. */
  constructor(t: { teardown(fn: () => unknown): void }, path: string) {
    this.path = path
    this.#fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    t.teardown(() => closeSync(this.#fd))
    const name = Buffer.from(path.replace(/^@/, '\0'))
    const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1))
    address.writeUInt16LE(AF_UNIX)
    name.copy(address, 2)
    bind(this.#fd, address)
  }

  /** All that has come since it was last asked. */
  received(): string[] {
    const texts: string[] = []
    for (;;) {
      const length = receiveNow(this.#fd, this.#buffer)
      if (length === undefined) return texts
      texts.push(this.#buffer.toString('utf8', 0, length))
    }
  }
}
