/**
 * Masquerade by iptables, where the netconf asks for it: a chain for each attachment, as the reference plugins
 * have it. Each change is one iptables-restore, so it happens wholly or not at all.
 */
import type { Identity } from './attachment.ts'
import { findTool, runTool } from './tool.ts'

interface Family {
  readonly save: string
  readonly restore: string
  readonly multicast: string
}

const IPV4: Family = { save: 'iptables-save', restore: 'iptables-restore', multicast: '224.0.0.0/4' }
const IPV6: Family = { save: 'ip6tables-save', restore: 'ip6tables-restore', multicast: 'ff00::/8' }

const FAMILIES = [IPV4, IPV6]

/** 28 characters, as long as iptables takes. */
function chainOf(identity: Identity): string {
  return `CNI-${identity.key.slice(0, 24)}`
}

function ofFamily(family: Family, addresses: readonly string[]): string[] {
  return addresses.filter((address) => address.includes(':') === (family === IPV6))
}

async function restore(family: Family, lines: readonly string[]): Promise<void> {
  await runTool(family.restore, ['-w', '--noflush'], ['*nat', ...lines, 'COMMIT', ''].join('\n'))
}

async function jumps(family: Family, chain: string): Promise<{ exists: boolean; lines: string[] }> {
  const text = await runTool(family.save, ['-t', 'nat'])
  const lines = text.split('\n')
  return {
    exists: lines.some((line) => line.startsWith(`:${chain} `)),
    lines: lines.filter((line) => line.startsWith('-A POSTROUTING ') && line.endsWith(` -j ${chain}`)),
  }
}

export async function add(
  identity: Identity,
  _hostIfName: string,
  addresses: readonly string[],
): Promise<void> {
  const chain = chainOf(identity)
  for (const family of FAMILIES) {
    const own = ofFamily(family, addresses)
    if (own.length === 0) continue
    // ":CHAIN" makes the chain, or empties the one a killed process left; its old jumps are taken out as well.
    const { lines } = await jumps(family, chain)
    await restore(family, [
      `:${chain} - [0:0]`,
      ...lines.map((line) => line.replace(/^-A/, '-D')),
      ...own.map((address) => `-A ${chain} -d ${address} -j ACCEPT`),
      `-A ${chain} ! -d ${family.multicast} -j MASQUERADE`,
      ...own.map(
        (address) =>
          `-A POSTROUTING -s ${address.replace(/\/\d+$/, '')} -m comment --comment "${comment(identity)}" -j ${chain}`,
      ),
    ])
  }
}

/** Network names and container IDs hold no quotes; the comment may be 255 bytes. */
function comment(identity: Identity): string {
  return `name: '${identity.network}' id: '${identity.containerID}'`.slice(0, 255)
}

export async function remove(identity: Identity): Promise<void> {
  const chain = chainOf(identity)
  for (const family of FAMILIES) {
    if (findTool(family.save) === undefined) continue
    const { exists, lines } = await jumps(family, chain)
    const commands = lines.map((line) => line.replace(/^-A/, '-D'))
    if (exists) commands.push(`-F ${chain}`, `-X ${chain}`)
    if (commands.length > 0) await restore(family, commands)
  }
}

export async function check(
  identity: Identity,
  _hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  const chain = chainOf(identity)
  const says: string[] = []
  for (const family of FAMILIES) {
    const own = ofFamily(family, addresses)
    if (own.length === 0) continue
    const { exists, lines } = await jumps(family, chain)
    for (const address of own) {
      const ip = address.slice(0, address.lastIndexOf('/'))
      if (!exists || !lines.some((line) => line.includes(` -s ${ip}/`))) {
        says.push(`masquerade rule for ${ip} is missing from iptables chain ${chain}`)
      }
    }
  }
  return says
}
