/** Many cold processes at once: names, MACs, addresses are unique, nothing is lost, nothing is left. */
import t, { type Test } from 'tap'
import type { CniResult } from './rig/host.ts'
import { complaint } from './rig/link-stage.ts'
import { hostConf, peerConf } from './rig/modes.ts'
import { addressesOf, leases, linkNamed, look, residue } from './rig/snapshot.ts'
import { type Attachment, Stage } from './rig/stage.ts'
import { together } from './rig/together.ts'
import { deviations } from './rig/wire.ts'

const CONTAINERS = Array.from({ length: 50 }, (_, index) => `c${index}`)
const AT_ONCE = 16

function fine(t: Test, done: readonly CniResult[], what: string): void {
  t.same(
    done.flatMap((each) => complaint(what, each)),
    [],
    `${done.length} ${what} succeed`,
  )
}

function distinct(t: Test, values: readonly string[], wanted: number, what: string): void {
  t.equal(new Set(values).size, wanted, `${wanted} different ${what} (of ${values.length})`)
}

t.test('100 attachments of 50 containers in host mode', async (t) => {
  const stage = new Stage(t).containers(...CONTAINERS)
  const conf = hostConf(stage.host, { ipMasq: true })
  // A second interface needs another gateway, and leaves the default route to the first.
  const ipam = { ...(conf.ipam as object), ranges: [[{ subnet: '10.89.0.0/16' }]], routes: [] }
  const second = { ...conf, name: 'secondnet', ipam }
  const cast: Record<string, Attachment> = {}
  for (const on of CONTAINERS) {
    for (const ifName of ['eth0', 'eth1']) {
      const own = ifName === 'eth0' ? conf : second
      cast[`${on}-${ifName}`] = { conf: own, containerID: on, on, ifName }
    }
  }
  stage.cast(cast)
  const all = Object.keys(cast)
  const added = await together(
    AT_ONCE,
    all.map((who) => () => stage.add(who)),
  )
  fine(t, added, 'ADDs')

  const host = await look(stage.host.name)
  const hostEnds = host.links.filter(({ ifname }) => ifname !== 'lo')
  t.equal(hostEnds.length, all.length, 'the host has an end of each')
  const macs: string[] = hostEnds.map(({ address }) => address)
  const addresses: string[] = []
  for (const on of CONTAINERS) {
    const holding = await look(stage.netns(on).name)
    for (const ifName of ['eth0', 'eth1']) {
      const link = linkNamed(holding, ifName)
      macs.push(link?.address ?? '')
      addresses.push(...addressesOf(link))
    }
  }
  const told = added.map(({ json }) => json.ips[0].address)
  t.same(addresses, told, 'each has the address that its result tells')
  distinct(t, addresses, all.length, 'addresses')
  distinct(t, macs, 2 * all.length, 'MACs')
  distinct(
    t,
    added.map(({ json }) => json.interfaces[0].name),
    all.length,
    'host names',
  )
  t.equal(leases(stage.host).length, all.length, 'leases')
  for (const address of told) {
    const bare = address.replace(/\/.*/, '')
    if (!host.routes.some(({ dst, dev }) => dst === bare && dev?.startsWith('veth'))) {
      t.fail(`the host has no route to ${bare}`)
    }
  }
  const gateways = CONTAINERS.flatMap((on) => ['10.88.0.1', '10.89.0.1'].map((gateway) => ({ on, gateway })))
  const heard = await together(
    AT_ONCE,
    gateways.map(
      ({ on, gateway }) =>
        () =>
          stage.host.ping(stage.netns(on).name, gateway),
    ),
  )
  t.ok(heard.every(Boolean), 'each container reaches its gateways')

  const deleted = await together(
    AT_ONCE,
    all.map((who) => () => stage.del(who)),
  )
  fine(t, deleted, 'DELs')
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
})

t.test('50 wires between neighbours in peer mode', async (t) => {
  const stage = new Stage(t).containers(...CONTAINERS)
  const neighbour = (index: number) => CONTAINERS[(index + 1) % CONTAINERS.length] ?? ''
  CONTAINERS.forEach((on, index) => {
    const conf = peerConf(
      stage.pathOf(neighbour(index)),
      { addresses: [{ address: `10.200.${index}.1/24` }], routes: [] },
      { ifName: 'left', addresses: [{ address: `10.200.${index}.2/24` }], routes: [] },
    )
    stage.cast({ [on]: { conf, containerID: on, on, ifName: 'right' } })
  })
  const added = await together(
    AT_ONCE,
    CONTAINERS.map((who) => () => stage.add(who)),
  )
  fine(t, added, 'ADDs')
  const macs: string[] = []
  for (const [index, on] of CONTAINERS.entries()) {
    const { name } = stage.netns(on)
    const other = stage.netns(neighbour(index)).name
    t.same(await deviations(name, 'right', { addresses: [`10.200.${index}.1/24`] }), [], `${on} right`)
    t.same(await deviations(other, 'left', { addresses: [`10.200.${index}.2/24`] }), [], `${on} left`)
    macs.push(
      ...(await look(name)).links.filter(({ ifname }) => ifname !== 'lo').map(({ address }) => address),
    )
  }
  distinct(t, macs, 2 * CONTAINERS.length, 'MACs')
  const heard = await together(
    AT_ONCE,
    CONTAINERS.map((on, index) => () => stage.host.ping(stage.netns(on).name, `10.200.${index}.2`)),
  )
  t.ok(heard.every(Boolean), 'each reaches its neighbour')
  const deleted = await together(
    AT_ONCE,
    CONTAINERS.map((who) => () => stage.del(who)),
  )
  fine(t, deleted, 'DELs')
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
})

t.test('ADDs and DELs of different attachments, mixed', async (t) => {
  const stage = new Stage(t).containers(...CONTAINERS.slice(0, 20))
  const conf = hostConf(stage.host, { ipMasq: true })
  const labels = CONTAINERS.slice(0, 20)
  for (const on of labels) stage.cast({ [on]: { conf, containerID: on, on } })
  const [these, those] = [labels.slice(0, 10), labels.slice(10)]
  fine(
    t,
    await together(
      AT_ONCE,
      these.map((who) => () => stage.add(who)),
    ),
    'ADDs',
  )
  for (const [leaving, coming] of [
    [these, those],
    [those, these],
  ] as const) {
    const tasks = coming.flatMap((who, index) => [
      () => stage.add(who),
      () => stage.del(leaving[index] ?? ''),
    ])
    fine(t, await together(AT_ONCE, tasks), 'mixed calls')
    t.equal(leases(stage.host).length, 10, 'ten leases')
    t.equal((await stage.host.links()).length, 10, 'ten host ends')
  }
  fine(
    t,
    await together(
      AT_ONCE,
      these.map((who) => () => stage.del(who)),
    ),
    'DELs',
  )
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
})
