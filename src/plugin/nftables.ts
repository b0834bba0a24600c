/**
 * Masquerade by nftables, in a table of our own: a chain for each attachment, reached through a map from the host
 * interface that packets come in by. So removal needs no address, and a packet meets one look-up however many
 * attachments there are. (The postrouting hook knows the incoming interface since Linux 5.7.)
 */
import * as z from 'zod/mini'
import { formatCidr, networkOf, parseCidr } from '../koko/cidr.ts'
import type { Identity } from './attachment.ts'
import { findTool, runTool } from './tool.ts'

const TABLE = { family: 'inet', table: 'nugator' }
const MAP = 'attachments'
const ROOT = 'postrouting'
/** NF_IP_PRI_NAT_SRC */
const PRIORITY = 100
const COMMENT_MAX = 128

function chainOf(identity: Identity): string {
  return `masq-${identity.key.slice(0, 32)}`
}

function match(protocol: string, field: string, op: '==' | '!=', right: unknown): object {
  return { match: { op, left: { payload: { protocol, field } }, right } }
}

function prefix(cidr: string): object {
  const [addr = '', length = ''] = cidr.split('/')
  return { prefix: { addr, len: Number(length) } }
}

function rule(chain: string, expr: object[], comment?: string): object {
  return { add: { rule: { ...TABLE, chain, expr, ...(comment === undefined ? {} : { comment }) } } }
}

function masqueradeRule(chain: string, address: string, comment: string): object {
  const cidr = parseCidr(address)
  const protocol = cidr.family === 4 ? 'ip' : 'ip6'
  const ip = address.slice(0, address.lastIndexOf('/'))
  const whole = cidr.prefix === cidr.bytes.length * 8
  const network = whole ? ip : prefix(formatCidr(networkOf(cidr)))
  return rule(
    chain,
    [match(protocol, 'saddr', '==', ip), match(protocol, 'daddr', '!=', network), { masquerade: null }],
    comment,
  )
}

async function transaction(commands: readonly object[]): Promise<void> {
  // As an argument: nft opens /dev/stdin anew, which it cannot if that is a socket, as under Node.
  await runTool('nft', ['-j', JSON.stringify({ nftables: commands })])
}

export async function add(
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<void> {
  const chain = chainOf(identity)
  const comment = identity.words.slice(0, COMMENT_MAX)
  const root = { ...TABLE, name: ROOT }
  const own = { ...TABLE, name: chain }
  await transaction([
    { add: { table: { family: TABLE.family, name: TABLE.table } } },
    { add: { map: { ...TABLE, name: MAP, type: 'ifname', map: 'verdict' } } },
    { add: { chain: { ...root, type: 'nat', hook: 'postrouting', prio: PRIORITY, policy: 'accept' } } },
    { flush: { chain: root } },
    rule(ROOT, [match('ip', 'daddr', '==', prefix('224.0.0.0/4')), { return: null }]),
    rule(ROOT, [match('ip6', 'daddr', '==', prefix('ff00::/8')), { return: null }]),
    rule(ROOT, [{ vmap: { key: { meta: { key: 'iifname' } }, data: `@${MAP}` } }]),
    { add: { chain: own } },
    { flush: { chain: own } },
    ...addresses.map((address) => masqueradeRule(chain, address, comment)),
    { add: { element: { ...TABLE, name: MAP, elem: [[hostIfName, { jump: { target: chain } }]] } } },
  ])
}

const listing = z.object({
  nftables: z.array(
    z.looseObject({
      map: z.optional(z.looseObject({ name: z.string(), elem: z.optional(z.array(z.unknown())) })),
      chain: z.optional(z.looseObject({ name: z.string() })),
      rule: z.optional(z.looseObject({ chain: z.string(), expr: z.array(z.unknown()) })),
    }),
  ),
})

const elementSchema = z.tuple([z.string(), z.object({ jump: z.object({ target: z.string() }) })])

interface Present {
  readonly chains: readonly string[]
  /** Host interface name → chain. */
  readonly elements: readonly (readonly [string, string])[]
  /** Rules of each chain, as JSON text. */
  readonly rules: readonly (readonly [string, string])[]
}

async function present(): Promise<Present> {
  const text = await runTool('nft', ['-j', 'list', 'ruleset', 'inet'])
  const { nftables } = z.parse(listing, JSON.parse(text))
  const ours = nftables.filter((entry) =>
    [entry.map, entry.chain, entry.rule].some((object) => object?.table === TABLE.table),
  )
  return {
    chains: ours.flatMap(({ chain }) => (chain === undefined ? [] : [chain.name])),
    elements: ours.flatMap(({ map }) =>
      (map?.elem ?? []).flatMap((element) => {
        const parsed = z.safeParse(elementSchema, element)
        return parsed.success ? [[parsed.data[0], parsed.data[1].jump.target] as const] : []
      }),
    ),
    rules: ours.flatMap(({ rule: found }) =>
      found === undefined ? [] : [[found.chain, JSON.stringify(found.expr)] as const],
    ),
  }
}

/**
 * The table goes with the last chain. Does nothing where there is nothing, or no nft (then nothing can have been
 * added).
 */
export async function remove(identity: Identity): Promise<void> {
  if (findTool('nft') === undefined) return
  const chain = chainOf(identity)
  const { chains, elements } = await present()
  if (chains.length > 0 && chains.every((name) => name === ROOT || name === chain)) {
    await transaction([{ delete: { table: { family: TABLE.family, name: TABLE.table } } }])
    return
  }
  const own = { ...TABLE, name: chain }
  const commands: object[] = elements
    .filter(([, target]) => target === chain)
    .map(([name]) => ({
      delete: { element: { ...TABLE, name: MAP, elem: [[name, { jump: { target: chain } }]] } },
    }))
  if (chains.includes(chain)) commands.push({ flush: { chain: own } }, { delete: { chain: own } })
  if (commands.length > 0) await transaction(commands)
}

export async function check(
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  const chain = chainOf(identity)
  const { elements, rules, chains } = await present()
  const says: string[] = []
  const reached =
    chains.includes(ROOT) && rules.some(([of, text]) => of === ROOT && text.includes(`"@${MAP}"`))
  if (!reached || !elements.some(([name, target]) => name === hostIfName && target === chain)) {
    says.push(`masquerade of ${hostIfName} is missing from nftables table inet ${TABLE.table}`)
  }
  for (const address of addresses) {
    const ip = address.slice(0, address.lastIndexOf('/'))
    const found = rules.some(
      ([of, text]) => of === chain && text.includes(`"${ip}"`) && text.includes('"masquerade"'),
    )
    if (!found) says.push(`masquerade rule for ${ip} is missing from nftables table inet ${TABLE.table}`)
  }
  return says
}
