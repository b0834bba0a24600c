/** A client's call as the plugin sees it. */
import { fstatSync } from 'node:fs'
import { CniError, Code } from '../cni/error.ts'
import { type RemoveLink, removeElsewhere } from '../koko/removal.ts'
import { bootTime } from '../netlink/libc.ts'
import { NetnsError } from '../netns/error.ts'
import { Netns } from '../netns/netns.ts'
import { OWN_NETNS } from '../netns/reference.ts'
import type { Caller } from '../plugin/caller.ts'
import type { CallFrame } from './frame.ts'
import { type Handover, reopen } from './handover.ts'

/** Called as each part of the work begins, with its name. */
export type Trace = (part: string) => void

export class ClientCall implements Caller {
  readonly began: bigint
  readonly #deadline: bigint
  readonly #handover: Handover
  readonly #trace: Trace
  readonly #removeGathered: RemoveLink
  #stderr = ''
  #hostCookie: string | undefined

  constructor(frame: CallFrame, handover: Handover, removeGathered: RemoveLink, trace: Trace) {
    this.began = frame.began
    this.#deadline = frame.deadline
    this.#handover = handover
    this.#removeGathered = removeGathered
    this.#trace = trace
  }

  /** What the client is to have on its stderr. */
  get stderr(): string {
    return this.#stderr
  }

  readonly openHost = (): Netns => {
    const host = Netns.ofDescriptor(OWN_NETNS, reopen('self', this.#handover.hostFd))
    this.#hostCookie = host.cookie
    return host
  }

  readonly openContainer = (path: string): Netns => {
    const { containerFd } = this.#handover
    if (containerFd !== undefined) return Netns.ofDescriptor(path, reopen('self', containerFd))
    // The client could not open it. Here the path is only looked at for the reason: it might lead somewhere else.
    Netns.at(path).close()
    throw new NetnsError('missing', path, 'it was not there when the call was made', 'try again')
  }

  readonly isHost = (): boolean => {
    const { hostFd, containerFd } = this.#handover
    return containerFd !== undefined && areSame(hostFd, containerFd)
  }

  readonly proceed = (part: string): void => {
    this.#trace(part)
    if (bootTime() > this.#deadline) throw given('its deadline has passed')
    if (!this.#handover.isWaiting()) throw given('the caller is gone')
  }

  readonly warn = (text: string | Uint8Array): void => {
    this.#stderr += typeof text === 'string' ? text : Buffer.from(text).toString('utf8')
  }

  /** In the host's namespace deletions are gathered; a container's is let go of before the answer. */
  readonly removeLink: RemoveLink = (netns, link) =>
    netns.cookie === this.#hostCookie ? this.#removeGathered(netns, link) : removeElsewhere(netns, link)
}

function areSame(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)]
  return a.dev === b.dev && a.ino === b.ino
}

function given(why: string): CniError {
  return new CniError(Code.tryAgainLater, `the call was given up: ${why}`, 'what had been done is undone')
}
