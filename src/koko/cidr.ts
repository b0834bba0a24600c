/** IP addresses and prefixes: text to bytes and back, canonical (dotted quad; RFC 5952). */
import { invalid } from './error.ts'

export interface Ip {
  readonly family: 4 | 6
  readonly bytes: Buffer
}

export interface Cidr extends Ip {
  readonly prefix: number
}

/** @throws WireError ('invalid') */
export function parseIp(text: string): Ip {
  if (IPV4.test(text)) return { family: 4, bytes: Buffer.from(text.split('.').map(Number)) }
  const bytes = parseIpv6(text)
  if (bytes === undefined) throw invalid(`"${text}" is not an IP address`)
  return { family: 6, bytes }
}

/** True for what {@link parseIp} takes. (node:net could tell too, but takes 2 ms to load.) */
export function isIp(text: string): boolean {
  return IPV4.test(text) || parseIpv6(text) !== undefined
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/** RFC 4291, section 2.2, without a zone. @returns undefined if it is no IPv6 address */
function parseIpv6(text: string): Buffer | undefined {
  const [, start = '', dotted] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? []
  let plain = text
  if (dotted !== undefined) {
    if (!IPV4.test(dotted)) return undefined
    const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number)
    plain = `${start}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  }
  const [head = '', tail, more] = plain.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...before, ...after]
  const fits = tail === undefined ? groups.length === 8 : groups.length < 8
  if (!fits || more !== undefined || !groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)))
    return undefined
  const zeros = Array<string>(tail === undefined ? 0 : 8 - before.length - after.length).fill('0')
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2)
  }
  return bytes
}

const parsed = new Map<string, Cidr>()
const PARSED_MAX = 1000

/** An address with its prefix length, as in `10.0.0.1/24`. @throws WireError ('invalid') */
export function parseCidr(text: string): Cidr {
  // Remembered: between validation and message the same few are parsed again and again.
  const known = parsed.get(text)
  if (known !== undefined) return known
  const cidr = parseNewCidr(text)
  if (parsed.size >= PARSED_MAX) parsed.clear()
  parsed.set(text, cidr)
  return cidr
}

function parseNewCidr(text: string): Cidr {
  const slash = text.lastIndexOf('/')
  if (slash < 0)
    throw invalid(`"${text}" has no prefix length`, 'write it as ADDRESS/LENGTH, e.g. 10.0.0.1/24')
  const ip = parseIp(text.slice(0, slash))
  const digits = text.slice(slash + 1)
  const prefix = Number(digits)
  if (!/^\d{1,3}$/.test(digits) || prefix > ip.bytes.length * 8) {
    throw invalid(`"${text}": the prefix length must be 0 to ${ip.bytes.length * 8}`)
  }
  return { ...ip, prefix }
}

/** A destination: a prefix without host bits, as the kernel wants it. @throws WireError ('invalid') */
export function parseDestination(text: string): Cidr {
  const cidr = parseCidr(text)
  const network = networkOf(cidr)
  if (!network.bytes.equals(cidr.bytes)) {
    throw invalid(`route "${text}" has bits set beyond its prefix`, `did you mean ${formatCidr(network)}?`)
  }
  return cidr
}

/** The prefix with all host bits cleared. */
export function networkOf(cidr: Cidr): Cidr {
  const bytes = Buffer.from(cidr.bytes)
  for (const index of bytes.keys()) {
    const bits = Math.min(8, Math.max(0, cidr.prefix - index * 8))
    bytes[index] = (bytes[index] ?? 0) & (0xff00 >> bits)
  }
  return { ...cidr, bytes }
}

/** True if `ip` lies within the prefix of `cidr`. */
export function contains(cidr: Cidr, ip: Ip): boolean {
  if (cidr.family !== ip.family) return false
  const masked = networkOf({ ...ip, prefix: cidr.prefix })
  return masked.bytes.equals(networkOf(cidr).bytes)
}

export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const view = Buffer.from(bytes)
  const groups = Array.from({ length: 8 }, (_, index) => view.readUInt16BE(index * 2))
  // RFC 5952, 4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
  let best = { start: -1, length: 1 }
  for (let start = 0; start < 8; start += 1) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length += 1
    if (length > best.length) best = { start, length }
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':')
  if (best.start < 0) return hex(groups)
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.bytes)}/${cidr.prefix}`
}

/** The canonical spelling of a CIDR. @throws WireError ('invalid') */
export function canonicalCidr(text: string): string {
  return formatCidr(parseCidr(text))
}

/** The address of a CIDR, as it is written there. */
export function ipOf(cidr: string): string {
  return cidr.slice(0, cidr.lastIndexOf('/'))
}

/** The canonical spelling of an address. @throws WireError ('invalid') */
export function canonicalIp(text: string): string {
  return formatIp(parseIp(text).bytes)
}
