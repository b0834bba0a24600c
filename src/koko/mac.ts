import { randomBytes } from '../netlink/libc.ts'
import { invalid } from './error.ts'

const MAC_LENGTH = 6
const POOL_MACS = 42
let pool: Buffer = Buffer.alloc(0)

/** A fresh unicast, locally administered MAC address: 46 random bits, so never twice on a machine. */
export function randomMac(): string {
  // A pool, because asking for six random bytes costs as much as asking for hundreds.
  if (pool.length === 0) pool = randomBytes(MAC_LENGTH * POOL_MACS)
  const bytes = pool.subarray(0, MAC_LENGTH)
  pool = pool.subarray(MAC_LENGTH)
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02
  return bytes.toString('hex').replace(/(..)(?!$)/g, '$1:')
}

/** Lower case with colons. @throws WireError ('invalid') unless it is a MAC address an interface can have */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll('-', ':')
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw invalid(`"${text}" is not a MAC address`, 'write it as 02:42:ac:11:00:02')
  }
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) {
    throw invalid(`MAC address ${mac} is a multicast address`, 'its first byte must be even')
  }
  if (mac === '00:00:00:00:00:00') throw invalid('MAC address 00:00:00:00:00:00 is not usable')
  return mac
}

/** The link-local address the kernel would make of this MAC (RFC 4291, appendix A), with its /64. */
export function linkLocalOf(mac: string): Buffer {
  const bytes = Buffer.from(mac.replaceAll(':', ''), 'hex')
  const eui = Buffer.concat([bytes.subarray(0, 3), Buffer.from([0xff, 0xfe]), bytes.subarray(3)])
  eui[0] = (eui[0] ?? 0) ^ 0x02
  return Buffer.concat([Buffer.from('fe80000000000000', 'hex'), eui])
}
