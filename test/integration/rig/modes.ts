/** The netconfs that the attachment tests start from, one a mode. */
import type { Host } from './host.ts'

export type Conf = Record<string, unknown>

const BASE = { cniVersion: '1.1.0', type: 'nugator' }

/** Host mode with leases from the real host-local. */
export function hostConf(host: Host, more: Conf = {}): Conf {
  const ranges = [[{ subnet: '10.88.0.0/16' }]]
  const ipam = { type: 'host-local', dataDir: host.ipamDir, ranges, routes: [{ dst: '0.0.0.0/0' }] }
  return { ...BASE, name: 'hostnet', ipam, ...more }
}

/** Peer mode: the other end is `eth1` of the namespace that `netns` refers to. */
export function peerConf(netns: string, more: Conf = {}, peer: Conf = {}): Conf {
  return {
    ...BASE,
    name: 'peernet',
    addresses: [{ address: '10.9.0.1/24' }, { address: 'fd00:9::1/64' }],
    routes: [{ dst: '10.77.0.0/16', gw: '10.9.0.2' }],
    peer: {
      netns,
      ifName: 'eth1',
      addresses: [{ address: '10.9.0.2/24' }, { address: 'fd00:9::2/64' }],
      routes: [{ dst: '10.78.0.0/16', gw: '10.9.0.1' }],
      ...peer,
    },
    ...more,
  }
}

export const LINK_NAME = 'r1-r2'

/** What each end of {@link linkConf} brings along. */
export const ENDS = {
  r1: {
    addresses: [{ address: '10.1.0.1/30' }, { address: 'fd00:1::1/64' }],
    routes: [
      { dst: '10.101.0.0/16', gw: '10.1.0.2' },
      { dst: 'fd00:101::/48', gw: 'fd00:1::2' },
    ],
  },
  r2: {
    addresses: [{ address: '10.1.0.2/30' }, { address: 'fd00:1::2/64' }],
    routes: [{ dst: '10.102.0.0/16', gw: '10.1.0.1' }],
  },
}

/** Link mode with two named ends. */
export function linkConf(more: Conf = {}): Conf {
  return { ...BASE, name: 'linknet', link: { name: LINK_NAME, ends: ENDS }, ...more }
}
