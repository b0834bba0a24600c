/** Masquerade of what leaves the host from a container's addresses, by the backend the netconf names. */
import type { AttachmentRecord, Identity } from './attachment.ts'
import * as iptables from './iptables.ts'
import * as nftables from './nftables.ts'
import type { Assigned } from './wanted.ts'

export type Backend = NonNullable<AttachmentRecord['masquerade']>

const BACKENDS = { nftables, iptables }

export async function addMasquerade(
  backend: Backend | null,
  identity: Identity,
  hostIfName: string,
  assigned: Assigned,
): Promise<void> {
  if (backend === null || assigned.addresses.length === 0) return
  const addresses = assigned.addresses.map(({ address }) => address)
  await BACKENDS[backend].add(identity, hostIfName, addresses)
}

/** Removes whatever is there for this attachment, also when its addresses are no longer known. */
export async function removeMasquerade(backend: Backend, identity: Identity): Promise<void> {
  await BACKENDS[backend].remove(identity)
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
