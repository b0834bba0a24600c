/** What cannot stand beside each other: wires of one plan, and what their namespaces have already. */
import type { InterfaceAddress } from '../netlink/address.ts'
import type { Link } from '../netlink/link-info.ts'
import { type Finding, finding, type Whose, whoseText } from './bulk-error.ts'
import { parseCidr } from './cidr.ts'
import { invalid } from './error.ts'
import { addressTaken, nameTaken, type WireEnd } from './wire.ts'

/** An end of one of many wires. */
export type BulkEnd = WireEnd & Whose

/** A MAC address belongs to one end of all; within one wire {@link validatePair} sees to it. */
export function sharedMacs(ends: readonly BulkEnd[]): Finding[] {
  const holders = new Map<string, BulkEnd>()
  const findings: Finding[] = []
  for (const end of ends) {
    const { mac } = end.spec
    const holder = holders.get(mac)
    if (holder === undefined) holders.set(mac, end)
    else if (holder.link !== end.link) {
      findings.push(finding(end, invalid(`MAC address ${mac} is also given to ${whoseText(holder)}`)))
    }
  }
  return findings
}

/** @param links all interfaces of the namespace that the ends are for */
export function nameClashes(ends: readonly BulkEnd[], links: readonly Link[]): Finding[] {
  const taken = new Map(links.flatMap((link) => [link.name, ...link.altNames].map((name) => [name, link])))
  const holders = new Map<string, BulkEnd>()
  const findings: Finding[] = []
  for (const end of ends) {
    const { ifName } = end.spec
    const link = taken.get(ifName)
    if (link !== undefined) findings.push(finding(end, nameTaken(end.netns, ifName, link)))
    const holder = holders.get(ifName)
    if (holder === undefined) holders.set(ifName, end)
    else {
      const text = `interface name ${ifName} in ${end.netns.label} is also wanted by ${whoseText(holder)}`
      findings.push(finding(end, invalid(text, 'give the two ends different names or namespaces')))
    }
  }
  return findings
}

/** @param addresses all addresses of the namespace that the ends are for */
export function addressClashes(ends: readonly BulkEnd[], addresses: readonly InterfaceAddress[]): Finding[] {
  const taken = new Set(addresses.map(({ bytes }) => keyOf(bytes)))
  const holders = new Map<string, BulkEnd>()
  const findings: Finding[] = []
  for (const end of ends) {
    for (const { address } of end.spec.addresses) {
      const { bytes } = parseCidr(address)
      if (isLinkLocal(bytes)) continue // it means something only together with its interface
      const key = keyOf(bytes)
      if (taken.has(key)) findings.push(finding(end, addressTaken(end.netns, address)))
      const holder = holders.get(key)
      if (holder === undefined) holders.set(key, end)
      else if (holder.link !== end.link) {
        const text = `address ${address} in ${end.netns.label} is also wanted by ${whoseText(holder)}`
        findings.push(finding(end, invalid(text, 'choose another one')))
      }
    }
  }
  return findings
}

function keyOf(bytes: Buffer): string {
  return bytes.toString('latin1')
}

function isLinkLocal(bytes: Buffer): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80
}
