/** The netconf as host-local reads it: what is asked for, or why not, in its order and words. */
import type { ResultRoute } from '../../cni/result.ts'
import { type Address, formatAddress, formatSubnet } from './address.ts'
import { parseRequest, requestedByArgs } from './args.ts'
import { GoJson, type Place } from './go-json.ts'
import { canonicalSet, type RangeSet, setsOverlap, type WrittenRange } from './range.ts'
import { refusal } from './wording.ts'

export interface IpamConf {
  /** Network and directory: the leases are in `<dataDir>/<name>`. */
  readonly name: string
  readonly dataDir: string
  /** One address is allocated from each. */
  readonly sets: readonly RangeSet[]
  /** By their canonical spelling, in the order in which they were asked for. */
  readonly requested: ReadonlyMap<string, Address>
  readonly routes: ResultRoute[]
  /** A file, or empty. */
  readonly resolvConf: string
}

/** The configuration as it is written, before anything is checked but the kinds of its values. */
interface Written {
  name: string
  cniVersion: string
  hasIpam: boolean
  dataDir: string
  resolvConf: string
  single: WrittenRange | undefined
  ranges: WrittenRange[][]
  /** Those of the capability, which come first. */
  ipRanges: WrittenRange[][]
  routes: ResultRoute[]
  /** `undefined` is an empty text. */
  argIps: (Address | undefined)[]
  capabilityIps: (Address | undefined)[]
}

const RUNTIME_CONFIG =
  'struct { IPRanges []allocator.RangeSet "json:\\"ipRanges,omitempty\\""; IPs []*ip.IP "json:\\"ips,omitempty\\"" }'
const ARGS = 'struct { A *allocator.IPAMArgs "json:\\"cni\\"" }'

/** @param args CNI_ARGS @throws CniError (internal) */
export function readConf(netconf: object, args: string): IpamConf {
  const written = read(netconf)
  if (!written.hasIpam) throw refusal("IPAM config missing 'ipam' key")
  const byArgs = requestedByArgs(args)
  const wanted = [...(byArgs === undefined ? [] : [byArgs]), ...written.argIps, ...written.capabilityIps]
  const requested = new Map<string, Address>()
  for (const address of wanted) {
    if (address === undefined) throw refusal('cannot understand ip: IP <nil> not v4 nor v6')
    requested.set(formatAddress(address), address)
  }
  const { name, dataDir, routes, resolvConf } = written
  return { name, dataDir, sets: canonicalSets(written), requested, routes, resolvConf }
}

/** The capability's sets, then the single range of old, then `ranges`. */
function canonicalSets({ ipRanges, single, ranges, cniVersion }: Written): RangeSet[] {
  const written = [...ipRanges, ...(single?.subnet === undefined ? [] : [[single]]), ...ranges]
  if (written.length === 0) throw refusal('no IP ranges specified')
  const sets = written.map((set, index) => {
    try {
      return canonicalSet(set)
    } catch (error) {
      throw refusal(`invalid range set ${index}: ${error instanceof Error ? error.message : error}`)
    }
  })
  const ofFamily = (family: number) => sets.filter((set) => set[0]?.start.family === family).length
  if ((ofFamily(4) > 1 || ofFamily(6) > 1) && ['', '0.1.0', '0.2.0'].includes(cniVersion)) {
    throw refusal(`CNI version ${cniVersion} does not support more than 1 address per family`)
  }
  for (const [index, set] of sets.entries()) {
    const other = sets.findIndex((other, at) => at > index && setsOverlap(set, other))
    if (other >= 0) throw refusal(`range set ${index} overlaps with ${other}`)
  }
  return sets
}

function read(netconf: object): Written {
  const json = new GoJson()
  const written: Written = {
    name: '',
    cniVersion: '',
    hasIpam: false,
    dataDir: '',
    resolvConf: '',
    single: undefined,
    ranges: [],
    ipRanges: [],
    routes: [],
    argIps: [],
    capabilityIps: [],
  }
  json.struct(netconf, { struct: '', path: '' }, 'allocator.Net', 'Net', {
    name: (value, place) => {
      written.name = json.text(value, place) ?? written.name
    },
    cniVersion: (value, place) => {
      written.cniVersion = json.text(value, place) ?? written.cniVersion
    },
    ipam: (value, place) => {
      written.hasIpam = value !== null
      readIpam(json, value, place, written)
    },
    runtimeConfig: (value, place) =>
      json.struct(value, place, RUNTIME_CONFIG, '', {
        ipRanges: (value, place) => {
          written.ipRanges = readSets(json, value, place)
        },
        ips: (value, place) => {
          written.capabilityIps = readRequests(json, value, place)
        },
      }),
    args: (value, place) =>
      json.struct(value, place, ARGS, '', {
        cni: (value, place) =>
          json.struct(value, place, 'allocator.IPAMArgs', 'IPAMArgs', {
            ips: (value, place) => {
              written.argIps = readRequests(json, value, place)
            },
          }),
      }),
  })
  json.finish()
  return written
}

function readIpam(json: GoJson, value: unknown, place: Place, written: Written): void {
  const single: WrittenRange = {}
  json.struct(value, place, 'allocator.IPAMConfig', 'IPAMConfig', {
    ...rangeMembers(json, single),
    // The network's own name takes the place of both, but their kinds are checked.
    Name: (value, place) => void json.text(value, place),
    type: (value, place) => void json.text(value, place),
    routes: (value, place) => {
      written.routes = readRoutes(json, value, place)
    },
    dataDir: (value, place) => {
      written.dataDir = json.text(value, place) ?? written.dataDir
    },
    resolvConf: (value, place) => {
      written.resolvConf = json.text(value, place) ?? written.resolvConf
    },
    ranges: (value, place) => {
      written.ranges = readSets(json, value, place)
    },
  })
  written.single = single
}

function rangeMembers(json: GoJson, range: WrittenRange) {
  return {
    rangeStart: (value: unknown, place: Place) => {
      range.rangeStart = json.address(value, place)
    },
    rangeEnd: (value: unknown, place: Place) => {
      range.rangeEnd = json.address(value, place)
    },
    subnet: (value: unknown, place: Place) => {
      range.subnet = json.subnet(value, place)
    },
    gateway: (value: unknown, place: Place) => {
      range.gateway = json.address(value, place)
    },
  }
}

function readSets(json: GoJson, value: unknown, place: Place): WrittenRange[][] {
  const sets: WrittenRange[][] = []
  json.list(value, place, '[]allocator.RangeSet', (value) => {
    const set: WrittenRange[] = []
    sets.push(set)
    json.list(value, place, 'allocator.RangeSet', (value) => {
      const range: WrittenRange = {}
      set.push(range)
      json.struct(value, place, 'allocator.Range', 'Range', rangeMembers(json, range))
    })
  })
  return sets
}

function readRequests(json: GoJson, value: unknown, place: Place): (Address | undefined)[] {
  const requests: (Address | undefined)[] = []
  json.list(value, place, '[]*ip.IP', (value) => {
    const request = json.parsed(value, place, '*ip.IP', (text) => {
      const address = parseRequest(text)
      if (address === undefined) throw refusal(`invalid IP address ${text}`)
      return address
    })
    requests.push(request)
  })
  return requests
}

function readRoutes(json: GoJson, value: unknown, place: Place): ResultRoute[] {
  const routes: ResultRoute[] = []
  json.list(value, place, '[]*types.Route', (value) => {
    if (value === null) throw refusal('a route is null') // the real one answers null, which nobody can use
    routes.push(readRoute(value, place))
  })
  return routes
}

/** A route reads itself: whatever is wrong with it is reported at once, and by its place in the whole. */
function readRoute(value: unknown, place: Place): ResultRoute {
  const json = new GoJson()
  const route: ResultRoute = { dst: formatSubnet(undefined) }
  /** Zero is "not given", except where it means something. */
  const number =
    (key: 'mtu' | 'advmss' | 'priority' | 'table' | 'scope') => (value: unknown, within: Place) => {
      const given = json.whole(value, within)
      if (given === undefined || (given === 0 && key !== 'table' && key !== 'scope')) delete route[key]
      else route[key] = given
    }
  json.struct(value, place, 'types.route', place.struct, {
    dst: (value) => {
      route.dst = formatSubnet(json.subnet(value, place))
    },
    gw: (value) => {
      const gateway = json.address(value, place)
      if (gateway === undefined) delete route.gw
      else route.gw = formatAddress(gateway)
    },
    mtu: number('mtu'),
    advmss: number('advmss'),
    priority: number('priority'),
    table: number('table'),
    scope: number('scope'),
  })
  json.finish()
  return route
}
