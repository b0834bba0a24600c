/** nugator's network configuration: what each key may be, and what is taken when it is absent. */
import * as z from 'zod/mini'
import { CniError, Code } from '../cni/error.ts'
import { describeIssues } from '../cni/issues.ts'
import type { Dns } from '../cni/result.ts'
import type { RouteSpec } from '../koko/endpoint.ts'

const route = z.object({
  dst: z.string(),
  gw: z.nullish(z.string()),
  mtu: z.nullish(z.int()),
  advmss: z.nullish(z.int()),
  priority: z.nullish(z.int()),
  table: z.nullish(z.int()),
  scope: z.nullish(z.int()),
  onlink: z.nullish(z.boolean()),
})

const address = z.object({ address: z.string(), gateway: z.nullish(z.string()) })

const end = z.object({
  addresses: z.nullish(z.array(address)),
  routes: z.nullish(z.array(route)),
  mac: z.nullish(z.string()),
})

const dns = z.object({
  nameservers: z.nullish(z.array(z.string())),
  domain: z.nullish(z.string()),
  search: z.nullish(z.array(z.string())),
  options: z.nullish(z.array(z.string())),
})

const schema = z.object({
  ...end.shape,
  ipam: z.nullish(z.looseObject({ type: z.nullish(z.string()), exec: z.nullish(z.boolean()) })),
  exec: z.nullish(z.boolean()),
  ipMasq: z.nullish(z.boolean()),
  ipMasqBackend: z.nullish(z.enum(['nftables', 'iptables', ''])),
  mtu: z.nullish(z.int()),
  qlen: z.nullish(z.int()),
  txOffload: z.nullish(z.boolean()),
  sysctl: z.nullish(z.record(z.string(), z.string())),
  hostIfName: z.nullish(z.string()),
  ifName: z.nullish(z.string()),
  dns: z.nullish(dns),
  peer: z.nullish(z.object({ ...end.shape, netns: z.string(), ifName: z.string() })),
  link: z.nullish(
    z.object({ name: z.string().check(z.minLength(1)), ends: z.nullish(z.record(z.string(), end)) }),
  ),
  stateDir: z.nullish(z.string()),
  runDir: z.nullish(z.string()),
  allowPurge: z.nullish(z.boolean()),
  runtimeConfig: z.nullish(
    z.looseObject({
      ips: z.nullish(z.array(z.string())),
      mac: z.nullish(z.string()),
      dns: z.nullish(
        z.object({
          servers: z.nullish(z.array(z.string())),
          searches: z.nullish(z.array(z.string())),
          options: z.nullish(z.array(z.string())),
        }),
      ),
    }),
  ),
  args: z.nullish(
    z.looseObject({
      cni: z.nullish(
        z.looseObject({
          ips: z.nullish(z.array(z.string())),
          mac: z.nullish(z.string()),
          end: z.nullish(z.string()),
        }),
      ),
    }),
  ),
  prevResult: z.nullish(z.unknown()),
})

export type Netconf = z.output<typeof schema>
export type EndConf = z.output<typeof end>
type RouteConf = z.output<typeof route>

export interface GivenAddress {
  readonly address: string
  readonly gateway?: string
}

/** @throws CniError: decoding for a wrong type, invalid config for a wrong value */
export function parseNetconf(conf: Readonly<Record<string, unknown>>): Netconf {
  const parsed = z.safeParse(schema, conf)
  if (!parsed.success) {
    const wrongType = parsed.error.issues.some(({ code }) => code === 'invalid_type')
    const backend = parsed.error.issues.find(({ path }) => path[0] === 'ipMasqBackend')
    if (backend !== undefined) {
      throw new CniError(
        Code.invalidConfig,
        `unknown ipmasq backend ${JSON.stringify(conf.ipMasqBackend)}`,
        'ipMasqBackend is "nftables" or "iptables"',
      )
    }
    throw new CniError(
      wrongType ? Code.decoding : Code.invalidConfig,
      `failed to load netconf: ${describeIssues(parsed.error)}`,
      'docs/netconf.md lists every key',
    )
  }
  refuseContradictions(parsed.data)
  return parsed.data
}

function refuseContradictions(conf: Netconf): void {
  const refuse = (msg: string, details: string) => {
    throw new CniError(Code.invalidConfig, msg, details)
  }
  if (conf.peer && conf.link) {
    refuse('"peer" and "link" exclude each other', 'peer names the other end now, link lets it come later')
  }
  if ((conf.peer || conf.link) && (conf.ipMasq || conf.hostIfName)) {
    refuse(
      '"ipMasq" and "hostIfName" need an end in the host',
      'leave them out, or leave out "peer" and "link"',
    )
  }
  if (conf.link && conf.ipam?.type === 'dhcp') {
    refuse('"dhcp" cannot be the IPAM of a link', 'its server would have to be the other container')
  }
  if (conf.link?.ends && Object.keys(conf.link.ends).length !== 2) {
    refuse(
      `link ${conf.link.name} has ${Object.keys(conf.link.ends).length} ends`,
      '"ends" names exactly two',
    )
  }
  for (const key of ['stateDir', 'runDir'] as const) {
    const directory = conf[key]
    if (directory && (!directory.startsWith('/') || directory.includes('\0'))) {
      refuse(`"${key}" must be an absolute path`, directory)
    }
  }
}

/** The IPAM plugin's name; undefined without IPAM. @throws CniError if there is an `ipam` without a type */
export function ipamType(conf: Netconf): string | undefined {
  if (conf.ipam === undefined || conf.ipam === null) return undefined
  if (!conf.ipam.type) throw new CniError(Code.invalidConfig, 'no plugin name provided', 'ipam has no "type"')
  return conf.ipam.type
}

export function givenAddresses(end: EndConf): GivenAddress[] {
  return (end.addresses ?? []).map(({ address: cidr, gateway }) =>
    gateway ? { address: cidr, gateway } : { address: cidr },
  )
}

export function givenRoutes(end: EndConf): RouteSpec[] {
  return (end.routes ?? []).map(routeSpec)
}

/** A CNI route as the engine has it: absent, null and (for mtu, advmss, priority, table) 0 all mean "not given". */
export function routeSpec(conf: RouteConf): RouteSpec {
  const { dst, gw, mtu, advmss, priority, table, scope, onlink } = conf
  return {
    dst,
    ...(gw ? { gw } : {}),
    ...(mtu ? { mtu } : {}),
    ...(advmss ? { advmss } : {}),
    ...(priority ? { priority } : {}),
    ...(table ? { table } : {}),
    ...(scope === undefined || scope === null ? {} : { scope }),
    ...(onlink ? { onlink } : {}),
  }
}

/**
 * The DNS part of the result: the runtime's, else the netconf's if it says anything (an empty list does), else
 * what IPAM gave.
 */
export function resultDns(conf: Netconf, fromIpam: Dns): Dns {
  const runtime = conf.runtimeConfig?.dns
  if (runtime) {
    return listsOnly({ nameservers: runtime.servers, search: runtime.searches, options: runtime.options })
  }
  const own = conf.dns
  if (own && (own.nameservers || own.search || own.options || own.domain)) {
    return { ...listsOnly(own), ...(own.domain ? { domain: own.domain } : {}) }
  }
  return fromIpam
}

function listsOnly(lists: Pick<z.output<typeof dns>, 'nameservers' | 'search' | 'options'>): Dns {
  const { nameservers, search, options } = lists
  return {
    ...(nameservers?.length ? { nameservers } : {}),
    ...(search?.length ? { search } : {}),
    ...(options?.length ? { options } : {}),
  }
}
