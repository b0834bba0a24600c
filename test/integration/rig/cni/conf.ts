/** Netconfs as the tests write them, and what the tests know about CNI versions. */
import type { Host } from '../host.ts'

export const VERSIONS: readonly string[] = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

/** True from CNI version `floor` on. */
export function since(version: string, floor: string): boolean {
  return VERSIONS.indexOf(version) >= VERSIONS.indexOf(floor)
}

export const versionsSince = (floor: string): string[] => VERSIONS.filter((version) => since(version, floor))

export const versionsBefore = (floor: string): string[] =>
  VERSIONS.filter((version) => !since(version, floor))

export type Netconf = Record<string, unknown>

/** host-local with one range set for each subnet; its leases are in the host's own directory. */
export function hostLocal(host: Host, subnets: string[] = ['10.1.2.0/24'], more: Netconf = {}): Netconf {
  return {
    type: 'host-local',
    dataDir: host.ipamDir,
    ranges: subnets.map((subnet) => [{ subnet }]),
    routes: [{ dst: '0.0.0.0/0' }],
    ...more,
  }
}

export function staticIpam(address: string, gateway?: string): Netconf {
  return { type: 'static', addresses: [gateway === undefined ? { address } : { address, gateway }] }
}

/** A host mode netconf; `more` replaces keys; a key that is undefined does not reach the plugin. */
export function netconf(host: Host, more: Netconf = {}): Netconf {
  return { cniVersion: '1.0.0', name: 'net1', type: 'nugator', ipam: hostLocal(host), ...more }
}

/** A netconf without IPAM that wires the container to an interface of another namespace. */
export function peerconf(host: Host, netns: string, more: Netconf = {}): Netconf {
  const peer = { netns, ifName: 'eth9', addresses: [{ address: '10.7.0.1/24' }] }
  return netconf(host, { ipam: undefined, addresses: [{ address: '10.7.0.2/24' }], peer, ...more })
}

export function withoutKey(conf: object, key: string): Netconf {
  return Object.fromEntries(Object.entries(conf).filter(([name]) => name !== key))
}
