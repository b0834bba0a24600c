/** One address from each range set, or none at all. */
import type { ResultIp } from '../../cni/result.ts'
import { type Address, formatAddress, same } from './address.ts'
import type { IpamConf } from './conf.ts'
import { candidates, formatSet, type Range, type RangeSet, rangeFor } from './range.ts'
import type { Owner, Store } from './store.ts'
import { refusal } from './wording.ts'

/** @throws CniError (internal) after giving back what was taken */
export async function allocate(conf: IpamConf, owner: Owner, store: Store): Promise<ResultIp[]> {
  const requested = new Map(conf.requested)
  const ips: ResultIp[] = []
  const giveBack = async () => {
    for (const _ of ips) await store.release(owner) // for each: the second takes what is of the old form
  }
  for (const [index, set] of conf.sets.entries()) {
    try {
      const wanted = takeRequested(requested, set)
      ips.push(
        wanted === undefined
          ? await allocateNext(set, index, owner, store)
          : reserveRequested(wanted, set, index, owner, store),
      )
    } catch (error) {
      await giveBack()
      const reason = error instanceof Error ? error.message : error
      throw refusal(`failed to allocate for range ${index}: ${reason}`)
    }
  }
  if (requested.size > 0) {
    await giveBack()
    throw refusal(`failed to allocate all requested IPs: ${[...requested.keys()].join(' ')}`)
  }
  return ips
}

/** Where several are for one set, the real one takes any of them. */
function takeRequested(requested: Map<string, Address>, set: RangeSet): Address | undefined {
  for (const [key, address] of requested) {
    if (rangeFor(set, address) === undefined) continue
    requested.delete(key)
    return address
  }
  return undefined
}

function reserveRequested(
  wanted: Address,
  set: RangeSet,
  index: number,
  owner: Owner,
  store: Store,
): ResultIp {
  const ip = formatAddress(wanted)
  const range = rangeFor(set, wanted)
  if (range === undefined) throw refusal(`${ip} not in range set ${formatSet(set)}`)
  if (same(wanted, range.gateway)) throw refusal(`requested ip ${ip} is subnet's gateway`)
  if (!store.reserve(ip, owner, index)) {
    throw refusal(`requested IP address ${ip} is not available in range set ${formatSet(set)}`)
  }
  return resultOf(ip, range)
}

async function allocateNext(set: RangeSet, index: number, owner: Owner, store: Store): Promise<ResultIp> {
  const has = (await store.addressesOf(owner)).find((address) => rangeFor(set, address) !== undefined)
  if (has !== undefined) {
    throw refusal(
      `${formatAddress(has)} has been allocated to ${owner.old}, duplicate allocation is not allowed`,
    )
  }
  do {
    for (const { address, range } of candidates(set, store.lastReserved(index))) {
      const ip = formatAddress(address)
      if (store.reserve(ip, owner, index)) return resultOf(ip, range)
    }
  } while (await store.readAgain())
  throw refusal(`no IP addresses available in range set: ${formatSet(set)}`)
}

function resultOf(ip: string, { subnet, gateway }: Range): ResultIp {
  return { address: `${ip}/${subnet.ones}`, gateway: formatAddress(gateway) }
}
