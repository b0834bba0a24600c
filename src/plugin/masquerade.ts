/** Masquerade of what leaves the host from a container's addresses, by the backend the netconf names. */
import { lock } from '../koko/lock.ts'
import { keyOf } from '../koko/marks.ts'
import type { Netns } from '../netns/netns.ts'
import type { AttachmentRecord, Identity, State } from './attachment.ts'
import * as iptables from './iptables.ts'
import * as nftables from './nftables.ts'
import { type RunTool, toolsWithin } from './tool.ts'
import type { Assigned } from './wanted.ts'

export type Backend = NonNullable<AttachmentRecord['masquerade']>

const BACKENDS = { nftables, iptables }

export interface Place {
  readonly state: State
  readonly host: Netns
}

const toolsIn = (host: Netns): RunTool => toolsWithin((spawn) => host.inside(spawn))

/** What is shared by all attachments of a host (table, base chain) is changed by one process at a time. */
async function alone<T>({ state, host }: Place, work: (run: RunTool) => Promise<T>): Promise<T> {
  const held = await lock(state.locks, keyOf('masquerade', host.cookie))
  try {
    return await work(toolsIn(host))
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
  await alone(place, (run) => BACKENDS[backend].add(run, identity, hostIfName, addresses))
}

/** Removes whatever is there for this attachment, also when its addresses are no longer known. */
export async function removeMasquerade(place: Place, backend: Backend, identity: Identity): Promise<void> {
  await alone(place, (run) => BACKENDS[backend].remove(run, identity))
}

/** @returns one sentence for each thing that is missing */
export async function checkMasquerade(
  host: Netns,
  backend: Backend,
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  return BACKENDS[backend].check(toolsIn(host), identity, hostIfName, addresses)
}
