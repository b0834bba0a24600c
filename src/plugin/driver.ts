import type { ResultInterface } from '../cni/result.ts'
import type { EndSpec } from '../koko/endpoint.ts'
import { validateEnd } from '../koko/validate.ts'
import { configure, prepare, type WireEnd } from '../koko/wire.ts'
import type { AttachmentRecord, Context } from './attachment.ts'
import type { EndConf } from './netconf.ts'
import type { Assigned } from './wanted.ts'

/** What an ADD hands to its driver once nothing can be refused any more. */
export interface Setup {
  /** Asks IPAM (if there is one) and adds what the netconf gives the end. To be called once. */
  readonly assign: (end: EndConf) => Promise<Assigned>
  /** True if IPAM must find the interface in place. */
  readonly linkFirst: boolean
  /** The last step: makes the record stand. */
  readonly commit: () => void
}

/** What was made, for the result. */
export interface Made {
  readonly assigned: Assigned
  /** Interfaces of this attachment only; the container's own is the last. */
  readonly interfaces: readonly ResultInterface[]
}

/** A way to find the other end. `prepare` refuses; `setUp` changes; what it made is undone by its record. */
export interface Driver {
  prepare(ctx: Context): Prepared
}

export interface Prepared {
  readonly record: AttachmentRecord
  /** What the netconf gives the container's end, before IPAM. */
  readonly given: Assigned
  setUp(setup: Setup): Promise<Made>
  close(): void
}

export function interfaceOf({ ifName, mac, mtu }: EndSpec, sandbox?: string): ResultInterface {
  return { name: ifName, mac, mtu, ...(sandbox === undefined ? {} : { sandbox }) }
}

/** The second half of an end whose addresses were not known when it was made. */
export function reconfigure(end: WireEnd, index: number, alias: string): void {
  validateEnd(end.spec)
  prepare(end)
  configure(end, index, alias)
}
