/**
 * Masquerade by iptables, where the netconf asks for it: a chain for each attachment, as the reference plugins
 * have it. Each change is one iptables-restore, so it happens wholly or not at all.
 */
import { canonicalCidr, formatCidr, formatIp, networkOf, parseCidr } from '../koko/cidr.ts'
import type { Identity } from './attachment.ts'
import { findTool, type RunTool } from './tool.ts'

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

async function restore(run: RunTool, family: Family, lines: readonly string[]): Promise<void> {
  await run(family.restore, ['-w', '--noflush'], ['*nat', ...lines, 'COMMIT', ''].join('\n'))
}

/** What the chain of an attachment has to hold, as iptables-save writes it but for the spelling of addresses. */
function chainLines(family: Family, chain: string, addresses: readonly string[]): string[] {
  const accepts = addresses.map((address) => {
    const network = networkOf(parseCidr(address))
    return `-A ${chain}${network.prefix === 0 ? '' : ` -d ${formatCidr(network)}`} -j ACCEPT`
  })
  return [...accepts, `-A ${chain} ! -d ${family.multicast} -j MASQUERADE`]
}

/** The start of the line that sends what comes from `address` to its chain. */
function jumpStart(address: string): string {
  const { bytes } = parseCidr(address)
  return `-A POSTROUTING -s ${formatIp(bytes)}/${bytes.length * 8} `
}

/** iptables writes some IPv6 addresses in another way than we do (`::ffff:10.0.0.5`). */
function canonicalLine(line: string): string {
  return line.replace(/(?<= -[sd] )[0-9a-f.:]+\/\d+(?= )/g, canonicalCidr)
}

interface Saved {
  readonly exists: boolean
  readonly jumps: readonly string[]
  readonly rules: readonly string[]
}

async function saved(run: RunTool, family: Family, chain: string): Promise<Saved> {
  const lines = (await run(family.save, ['-t', 'nat'])).split('\n')
  return {
    exists: lines.some((line) => line.startsWith(`:${chain} `)),
    jumps: lines.filter((line) => line.startsWith('-A POSTROUTING ') && line.endsWith(` -j ${chain}`)),
    rules: lines.filter((line) => line.startsWith(`-A ${chain} `)),
  }
}

export async function add(
  run: RunTool,
  identity: Identity,
  _hostIfName: string,
  addresses: readonly string[],
): Promise<void> {
  const chain = chainOf(identity)
  for (const family of FAMILIES) {
    const own = ofFamily(family, addresses)
    if (own.length === 0) continue
    // ":CHAIN" makes the chain, or empties the one a killed process left; its old jumps are taken out as well.
    const { jumps } = await saved(run, family, chain)
    await restore(run, family, [
      `:${chain} - [0:0]`,
      ...jumps.map((line) => line.replace(/^-A/, '-D')),
      ...chainLines(family, chain, own),
      ...own.map((address) => `${jumpStart(address)}-m comment --comment "${comment(identity)}" -j ${chain}`),
    ])
  }
}

/** Network names and container IDs hold no quotes; the comment may be 255 bytes. */
function comment(identity: Identity): string {
  return `name: '${identity.network}' id: '${identity.containerID}'`.slice(0, 255)
}

export async function remove(run: RunTool, identity: Identity): Promise<void> {
  const chain = chainOf(identity)
  for (const family of FAMILIES) {
    if (findTool(family.save) === undefined) continue
    const { exists, jumps } = await saved(run, family, chain)
    const commands = jumps.map((line) => line.replace(/^-A/, '-D'))
    if (exists) commands.push(`-F ${chain}`, `-X ${chain}`)
    if (commands.length > 0) await restore(run, family, commands)
  }
}

export async function check(
  run: RunTool,
  identity: Identity,
  _hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  const chain = chainOf(identity)
  const says: string[] = []
  for (const family of FAMILIES) {
    const own = ofFamily(family, addresses)
    if (own.length === 0) continue
    const { jumps, rules } = await saved(run, family, chain)
    const canonicalJumps = jumps.map(canonicalLine)
    for (const address of own) {
      if (!canonicalJumps.some((line) => line.startsWith(jumpStart(address)))) {
        says.push(`masquerade of ${address} is missing: no jump from POSTROUTING to iptables chain ${chain}`)
      }
    }
    const present = new Set(rules.map(canonicalLine))
    for (const line of chainLines(family, chain, own)) {
      if (!present.has(line)) says.push(`masquerade rule is missing from iptables: ${line}`)
    }
  }
  return says
}
