/**
 * Masquerade by nftables, in a table of our own: a chain for each attachment, reached through a map from the host
 * interface that packets come in by. So removal needs no address, and a packet meets one look-up however many
 * attachments there are. (The postrouting hook knows the incoming interface since Linux 5.7.)
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod/mini'
import { CniError } from '../cni/error.ts'
import { canonicalIp, formatCidr, formatIp, isIp, networkOf, parseCidr } from '../koko/cidr.ts'
import type { Identity } from './attachment.ts'
import { findTool, type RunTool } from './tool.ts'

const TABLE = { family: 'inet', table: 'nugator' }
const MAP = 'attachments'
const ROOT = 'postrouting'
/** NF_IP_PRI_NAT_SRC */
const PRIORITY = 100
const COMMENT_MAX = 128
/** The kernel takes 128 KiB in one argument. */
const ARGUMENT_MAX = 100_000

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

const ROOT_RULES: readonly object[][] = [
  [match('ip', 'daddr', '==', prefix('224.0.0.0/4')), { return: null }],
  [match('ip6', 'daddr', '==', prefix('ff00::/8')), { return: null }],
  [{ vmap: { key: { meta: { key: 'iifname' } }, data: `@${MAP}` } }],
]

/** The rule for one address of a container; its own network sees it as it is. */
function masqueradeExpr(address: string): object[] {
  const cidr = parseCidr(address)
  const protocol = cidr.family === 4 ? 'ip' : 'ip6'
  const ip = formatIp(cidr.bytes)
  const whole = cidr.prefix === cidr.bytes.length * 8
  const network = whole ? ip : prefix(formatCidr(networkOf(cidr)))
  return [match(protocol, 'saddr', '==', ip), match(protocol, 'daddr', '!=', network), { masquerade: null }]
}

function change(verb: 'add' | 'delete', element: Element): object {
  return { [verb]: { element: { ...TABLE, name: MAP, elem: [element] } } }
}

async function transaction(run: RunTool, commands: readonly object[]): Promise<void> {
  const json = JSON.stringify({ nftables: commands })
  // Not by stdin: nft opens /dev/stdin anew, which it cannot if that is a socket, as under Node.
  if (Buffer.byteLength(json) <= ARGUMENT_MAX) {
    await run('nft', ['-j', json])
    return
  }
  const directory = mkdtempSync(join(tmpdir(), 'nugator-'))
  try {
    const file = join(directory, 'nft.json')
    writeFileSync(file, json, { mode: 0o600 })
    await run('nft', ['-j', '-f', file])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

export async function add(
  run: RunTool,
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<void> {
  const chain = chainOf(identity)
  const comment = identity.words.slice(0, COMMENT_MAX)
  const root = { ...TABLE, name: ROOT }
  const own = { ...TABLE, name: chain }
  const replacing = (stale: readonly Element[]) =>
    transaction(run, [
      { add: { table: { family: TABLE.family, name: TABLE.table } } },
      { add: { map: { ...TABLE, name: MAP, type: 'ifname', map: 'verdict' } } },
      { add: { chain: { ...root, type: 'nat', hook: 'postrouting', prio: PRIORITY, policy: 'accept' } } },
      { flush: { chain: root } },
      ...ROOT_RULES.map((expr) => rule(ROOT, expr)),
      { add: { chain: own } },
      { flush: { chain: own } },
      ...addresses.map((address) => rule(chain, masqueradeExpr(address), comment)),
      ...stale.map((element) => change('delete', element)),
      change('add', elementTo(hostIfName, chain)),
    ])
  try {
    await replacing([])
  } catch (error) {
    if (!complains(error, 'File exists')) throw error
    // Another attachment had an interface of this name, and was not removed by a DEL.
    const { elements } = await present(run)
    await replacing(elements.filter(([name]) => name === hostIfName))
  }
}

function complains(error: unknown, words: string): boolean {
  return error instanceof CniError && error.msg.includes(words)
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

/** Host interface name and what is done with packets from there. */
const elementSchema = z.tuple([z.string(), z.unknown()])
type Element = readonly [hostIfName: string, verdict: unknown]

function elementTo(hostIfName: string, chain: string): Element {
  return [hostIfName, { jump: { target: chain } }]
}

interface Present {
  readonly chains: readonly string[]
  readonly elements: readonly Element[]
  readonly rules: readonly { readonly chain: string; readonly expr: readonly unknown[] }[]
}

/** nft writes some IPv6 addresses in another way than we do (`::ffff:10.0.0.5`). */
function canonical(_key: string, value: unknown): unknown {
  return typeof value === 'string' && isIp(value) ? canonicalIp(value) : value
}

async function present(run: RunTool): Promise<Present> {
  let text: string
  try {
    text = await run('nft', ['-j', 'list', 'table', TABLE.family, TABLE.table])
  } catch (error) {
    if (complains(error, 'No such file or directory')) return { chains: [], elements: [], rules: [] }
    throw error
  }
  const { nftables } = z.parse(listing, JSON.parse(text, canonical))
  return {
    chains: nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain.name])),
    elements: nftables.flatMap(({ map }) =>
      (map?.name === MAP ? (map.elem ?? []) : []).flatMap((element) => {
        const parsed = z.safeParse(elementSchema, element)
        return parsed.success ? [parsed.data] : []
      }),
    ),
    rules: nftables.flatMap(({ rule: found }) => (found === undefined ? [] : [found])),
  }
}

/**
 * The table goes with the last chain. Does nothing where there is nothing, or no nft (then nothing can have been
 * added).
 */
export async function remove(run: RunTool, identity: Identity): Promise<void> {
  if (findTool('nft') === undefined) return
  const chain = chainOf(identity)
  const { chains, elements } = await present(run)
  if (chains.length > 0 && chains.every((name) => name === ROOT || name === chain)) {
    await transaction(run, [{ delete: { table: { family: TABLE.family, name: TABLE.table } } }])
    return
  }
  const own = { ...TABLE, name: chain }
  const commands = elements
    .filter((element) => isDeepStrictEqual(element, elementTo(element[0], chain)))
    .map((element) => change('delete', element))
  if (chains.includes(chain)) commands.push({ flush: { chain: own } }, { delete: { chain: own } })
  if (commands.length > 0) await transaction(run, commands)
}

export async function check(
  run: RunTool,
  identity: Identity,
  hostIfName: string,
  addresses: readonly string[],
): Promise<string[]> {
  const chain = chainOf(identity)
  const { elements, rules } = await present(run)
  /** Others may put a counter into a rule; what is ours must be in it. */
  const holds = (of: string, expr: readonly object[]) =>
    rules.some(
      (found) =>
        found.chain === of &&
        expr.every((wanted) => found.expr.some((part) => isDeepStrictEqual(part, wanted))),
    )
  const says: string[] = []
  const jump = elementTo(hostIfName, chain)
  const reached = elements.some((element) => isDeepStrictEqual(element, jump))
  if (!reached || !ROOT_RULES.every((expr) => holds(ROOT, expr))) {
    says.push(`masquerade of ${hostIfName} is missing from nftables table inet ${TABLE.table}`)
  }
  for (const address of addresses) {
    if (holds(chain, masqueradeExpr(address))) continue
    says.push(`masquerade rule for ${address} is missing from nftables table inet ${TABLE.table}`)
  }
  return says
}
