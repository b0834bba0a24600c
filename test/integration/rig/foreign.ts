/** Devices that are none of nugator's business, placed beforehand: they must outlive everything unchanged. */
import { setTimeout as pause } from 'node:timers/promises'
import { run } from './host.ts'
import { lasting, look } from './snapshot.ts'

/** Their names in every namespace they were placed in. */
export const FOREIGN: ReadonlySet<string> = new Set(['fveth0', 'fveth1', 'fbr0', 'falt0', 'falt1'])
/** The altname that `falt0` has. */
export const FOREIGN_ALTNAME = 'foreign-alt'

async function batch(netns: string, lines: readonly string[]): Promise<void> {
  const done = await run('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` })
  if (done.code !== 0) throw new Error(`in ${netns}: ${done.stderr}`)
}

/** Foreign devices with their addresses and routes, as one comparable text. */
export async function foreignState(netns: string): Promise<string> {
  const { links, routes } = await look(netns)
  const devices = links.filter((link) => FOREIGN.has(link.ifname))
  const ways = routes.filter((route) => route.dev !== undefined && FOREIGN.has(route.dev))
  return JSON.stringify([devices, ways], lasting)
}

/** Carrier and bridge ports come up by themselves, up to a second later. */
async function settled(netns: string): Promise<void> {
  for (;;) {
    const { links } = await look(netns)
    const devices = links.filter((link) => FOREIGN.has(link.ifname))
    if (devices.every((link) => link.operstate === 'UP')) return
    await pause(50)
  }
}

/** A veth pair, a bridge with a port, and a device with an altname; returns their state when they have settled. */
export async function placeForeign(netns: string, altname: string = FOREIGN_ALTNAME): Promise<string> {
  await placeForeignDown(netns, altname)
  await batch(netns, [
    ...[...FOREIGN].map((name) => `link set ${name} up`),
    'route add 203.0.113.0/24 via 192.0.2.9',
  ])
  await settled(netns)
  return await foreignState(netns)
}

/** The same devices, left down: nothing about them changes by itself, so there is nothing to wait for. */
export async function placeForeignDown(netns: string, altname: string = FOREIGN_ALTNAME): Promise<string> {
  await batch(netns, [
    'link add fbr0 type bridge',
    'link add fveth0 type veth peer name fveth1',
    'link add falt0 type veth peer name falt1',
    ...[...FOREIGN].map((name) => `link set ${name} addrgenmode none`),
    `link property add dev falt0 altname ${altname}`,
    'link set fveth1 master fbr0',
    'addr add 192.0.2.1/24 dev fveth0',
    'addr add 198.51.100.1/24 dev falt0',
  ])
  return await foreignState(netns)
}
