/** Addresses and subnets as Go's net package has them: one mapped from IPv4 into IPv6 is an IPv4 address. */
import { formatIp, isIp, parseIp } from '../../koko/cidr.ts'

export interface Address {
  readonly family: 4 | 6
  readonly value: bigint
}

/** What the configuration writes as a subnet: an address, which may have host bits, and a mask. */
export interface Subnet {
  readonly address: Address
  /** Ones in the mask. */
  readonly ones: number
  /** Length of the mask: 128 also for an IPv4 address that was written as IPv6. */
  readonly bits: 32 | 128
}

const MAPPED = 0xffffn

function address(family: 4 | 6, value: bigint): Address {
  return family === 6 && value >> 32n === MAPPED
    ? { family: 4, value: value & 0xffff_ffffn }
    : { family, value }
}

/** net.ParseIP: no zone, no leading zeros. @returns undefined for what is no address */
export function parseAddress(text: string): Address | undefined {
  if (!isIp(text)) return undefined
  const { family, bytes } = parseIp(text)
  return address(family, BigInt(`0x${bytes.toString('hex')}`))
}

/** net.ParseCIDR, keeping host bits. @returns undefined for what is none */
export function parseSubnet(text: string): Subnet | undefined {
  const slash = text.indexOf('/')
  const host = text.slice(0, Math.max(slash, 0))
  const digits = text.slice(slash + 1)
  const parsed = parseAddress(host)
  if (parsed === undefined || !/^[0-9]+$/.test(digits)) return undefined
  const ones = Number(digits)
  const bits = host.includes(':') ? 128 : 32
  return ones <= bits ? { address: parsed, ones, bits } : undefined
}

export function formatAddress({ family, value }: Address): string {
  if (family === 4) {
    const n = Number(value)
    return `${Math.floor(n / 0x1000000)}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`
  }
  return formatIp(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'))
}

/** net.IPNet.String; `<nil>` for a missing one, as Go has it. */
export function formatSubnet(subnet: Subnet | undefined): string {
  if (subnet === undefined) return '<nil>'
  const { address, ones, bits } = subnet
  const shown = address.family === 4 && bits === 128 ? Math.max(ones - 96, 0) : ones
  return `${formatAddress(address)}/${shown}`
}

/** The next higher address. */
export function next({ family, value }: Address): Address {
  return address(family, value + 1n)
}

export function same(a: Address, b: Address): boolean {
  return a.family === b.family && a.value === b.value
}

const hostMask = ({ ones, bits }: Subnet) => (1n << BigInt(bits - ones)) - 1n

/** The first address of the subnet: its network's own. */
export function networkOf(subnet: Subnet): Address {
  const { family, value } = subnet.address
  return address(family, value & ~hostMask(subnet))
}

/** The last address of the subnet; for IPv4 the one before the broadcast address. */
export function lastOf(subnet: Subnet): Address {
  const { family, value } = subnet.address
  return address(family, (value | hostMask(subnet)) - (family === 4 ? 1n : 0n))
}

/** True if the address lies in the subnet. */
export function isIn(subnet: Subnet, { family, value }: Address): boolean {
  return family === subnet.address.family && ((value ^ subnet.address.value) & ~hostMask(subnet)) === 0n
}
