/** Masquerade of what leaves the host from a container's addresses, by the backend the netconf names. */
import { lock } from '../koko/lock.ts'
import { keyOf } from '../koko/marks.ts'
import type { Netns } from '../netns/netns.ts'
import type { AttachmentRecord, Identity, State } from './attachment.ts'
import * as iptables from './iptables.ts'
import * as nftables from './nftables.ts'
import type { Assigned } from './wanted.ts'

export type Backend = NonNullable<AttachmentRecord['masquerade']>

const BACKENDS = { nftables, iptables }

export interface Place {
  readonly state: State
  readonly host: Netns
}

/** What is shared by all attachments of a host (table, base chain) is changed by one process at a time. */
async function alone<T>({ state, host }: Place, work: () => Promise<T>): Promise<T> {
  const held = await lock(state.locks, keyOf('masquerade', host.cookie))
  try {
    return await work()
  } finally {
    held.release()
  }
}

export async function addMasquerade(
  place: Place,
  backend: Backend | null,
  identity: Identity,
  hostIfName: string,
  assigned: Assigned,
): Promise<void> {
  if (backend === null || assigned.addresses.length === 0) return
  const addresses = assigned.addresses.map(({ address }) => address)
  await alone(place, () => BACKENDS[backend].add(identity, hostIfName, addresses))
}

/** Removes whatever is there for this attachment, also when its addresses are no longer known. */
export async function removeMasquerade(place: Place, backend: Backend, identity: Identity): Promise<void> {
  await alone(place, () => BACKENDS[backend].remove(identity))
}

/** @returns one sentence for each thing that is missing */
export async function checkMasquerade(
  backend: Backend,
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  return BACKENDS[backend].check(identity, hostIfName, addresses)
}
