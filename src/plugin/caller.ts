/** Whoever calls the plugin: a runtime that execs it, or the agent on behalf of a runtime. */
import type { Surroundings } from '../cni/exec.ts'
import type { RemoveLink } from '../koko/removal.ts'
import { removeAndWait } from '../koko/removal.ts'
import { bootTime } from '../netlink/libc.ts'
import { isOwnNetns, Netns } from '../netns/netns.ts'

export interface Caller {
  /** CLOCK_BOOTTIME in ns when the call began. */
  readonly began: bigint
  /** The network namespace that the caller runs in: *host*. To be closed. @throws NetnsError */
  openHost(): Netns
  /** The namespace of the container, from CNI_NETNS. To be closed. @throws NetnsError */
  openContainer(path: string): Netns
  /** True if CNI_NETNS is the namespace that the caller runs in; false if that cannot be told. */
  isHost(path: string): boolean
  /** To be called before each part of the work, which it names. @throws CniError if nobody waits any more */
  proceed(part: string): void
  /** Something for the caller's stderr. */
  warn(text: string | Uint8Array): void
  readonly removeLink: RemoveLink
}

/** Where programs run on behalf of a caller: in its network namespace. */
export function surroundings(host: Netns, { warn }: Caller): Surroundings {
  return { within: (spawn) => host.inside(spawn), warn }
}

/** The process itself: what a runtime has exec'd. */
export function ownProcess(): Caller {
  return {
    began: bootTime(),
    openHost: () => Netns.own(),
    openContainer: (path) => Netns.at(path),
    isHost: isOwnNetns,
    proceed() {},
    warn: (text) => process.stderr.write(text),
    removeLink: removeAndWait,
  }
}
