/** Which end of a link a container gets. */
import { openIfSame } from '../netns/netns.ts'
import { invalid, WireError } from './error.ts'
import type { LinkEnd, LinkRecord, Occupant } from './link-record.ts'

export interface Request {
  /** The two ends' names, if they have any, and which of them is asked for. */
  readonly labels: readonly [string, string] | null
  readonly label: string | null
  /** The container in words. */
  readonly who: string
}

const SLOTS: readonly (0 | 1)[] = [0, 1]

/** @throws WireError ('link full' for a third comer, 'invalid' for an end that the link does not have) */
export function chooseEnd(record: LinkRecord, request: Request): 0 | 1 {
  return request.labels === null ? firstFree(record, request) : byLabel(record, request)
}

function firstFree(record: LinkRecord, { who }: Request): 0 | 1 {
  const order = SLOTS.toSorted((a, b) => rank(record.ends[a]) - rank(record.ends[b]))
  const free = order.find((slot) => !isHeld(record.ends[slot].occupant))
  if (free !== undefined) return free
  const occupants = record.ends.map(({ occupant }) => occupant?.who ?? 'nobody').join(' and ')
  throw new WireError(
    'link full',
    `link ${record.name} of network ${record.network} has no free end for ${who}: it joins ${occupants}`,
    'a link joins two containers; use another link name for the third',
  )
}

/** Free ends first, then those of the dead. */
function rank({ occupant }: LinkEnd): number {
  return occupant === null ? 0 : 1
}

function byLabel(record: LinkRecord, { label, who }: Request): 0 | 1 {
  const slot = SLOTS.find((candidate) => record.ends[candidate].label === label)
  if (slot === undefined) {
    throw invalid(
      `link ${record.name} joins ${record.ends.map((end) => end.label).join(' and ')}, not ${label}`,
      'the ends of a link cannot change while it exists',
    )
  }
  const { occupant } = record.ends[slot]
  if (occupant !== null && isHeld(occupant)) {
    throw new WireError(
      'link full',
      `end ${label} of link ${record.name} is taken by ${occupant.who}; ${who} cannot have it`,
      'delete that container first, or choose the other end',
    )
  }
  return slot
}

/** The dead hold nothing: their namespace is gone. */
function isHeld(occupant: Occupant | null): boolean {
  if (occupant === null || occupant.leaving) return false
  const netns = openIfSame(occupant.path, occupant.cookie)
  netns?.close()
  return netns !== undefined
}
