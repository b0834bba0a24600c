/** Podman with the CNI backend runs containers on nugator networks. */
import { type Test, test } from 'tap'
import { type Machine, newMachine } from './rig/machine.ts'
import { Podman } from './rig/podman.ts'

async function newPodman(t: Test): Promise<{ machine: Machine; podman: Podman }> {
  const machine = await newMachine(t)
  const podman = new Podman(machine)
  await podman.load()
  return { machine, podman }
}

test('a container on a host-mode network', async (t) => {
  const { machine, podman } = await newPodman(t)
  machine.network('hosted', { ipam: machine.ipam('10.88.7.0/24') })

  await podman.start('web', 'hosted')
  const web = await machine.iface(await podman.pid('web'))
  t.same(web?.addresses, ['10.88.7.2/24'])
  t.equal((await machine.host.links()).length, 1, 'one end is in the host')
  await podman.exec('exec', 'web', 'ping', '-c', '1', '-W', '2', '10.88.7.1')
  t.ok(await machine.host.ping(machine.host.name, '10.88.7.2'))
  const shown = await podman.exec('inspect', '-f', '{{.NetworkSettings.Networks.hosted.MacAddress}}', 'web')
  t.equal(shown.trim(), web?.mac, 'Podman knows the MAC')

  await podman.exec('rm', '-f', '-t', '0', 'web')
  t.same(machine.calls.failed(), [])
  t.same(await machine.leftovers(), [])
})

test('a container whose command cannot be started', async (t) => {
  const { machine, podman } = await newPodman(t)
  machine.network('hosted', { ipam: machine.ipam('10.88.7.0/24') })

  const done = await podman.tryStart('broken', 'hosted', '/no/such/command')
  t.not(done.code, 0)
  t.equal(machine.calls.all('ADD').length, 1, 'it was given a network')
  await podman.exec('rm', '-f', '-t', '0', 'broken')
  t.same(machine.calls.failed(), [])
  t.same(await machine.leftovers(), [])
})

test('two containers wired to each other', async (t) => {
  const { machine, podman } = await newPodman(t)
  const ends = {
    r1: { addresses: [{ address: '10.77.0.1/24' }] },
    r2: { addresses: [{ address: '10.77.0.2/24' }] },
  }
  machine.network('wire', { link: { name: 'r1-r2', ends } })
  const pingsBothWays = async () => {
    const there = await machine.ping(await podman.pid('r1'), '10.77.0.2')
    return there && (await machine.ping(await podman.pid('r2'), '10.77.0.1'))
  }

  await podman.start('r1', 'wire')
  await podman.start('r2', 'wire')
  const r1 = await machine.iface(await podman.pid('r1'))
  t.same(r1?.addresses, ['10.77.0.1/24'])
  t.same((await machine.iface(await podman.pid('r2')))?.addresses, ['10.77.0.2/24'])
  t.same(await machine.host.links(), [], 'nothing of the link is in the host')
  t.ok(await pingsBothWays())
  await podman.exec('exec', 'r1', 'ping', '-c', '1', '-W', '2', '10.77.0.2')

  await podman.exec('stop', '-t', '0', 'r2')
  t.same(await machine.iface(await podman.pid('r1')), r1, 'r1 keeps its interface and address')
  t.equal((await machine.host.links()).length, 1, 'the free end is parked in the host')

  await podman.exec('start', 'r2')
  t.ok(await pingsBothWays(), 'started again')
  t.same(await machine.host.links(), [])

  await podman.exec('rm', '-f', '-t', '0', 'r2')
  t.same(await machine.iface(await podman.pid('r1')), r1)
  await podman.start('r2', 'wire')
  t.ok(await pingsBothWays(), 'a new container takes the free end')

  await podman.exec('stop', '-t', '0', 'r1')
  t.same((await machine.iface(await podman.pid('r2')))?.addresses, ['10.77.0.2/24'])
  await podman.exec('stop', '-t', '0', 'r2')
  t.same(await machine.leftovers(), [], 'nothing is left of stopped containers')

  await podman.exec('start', 'r2', 'r1')
  t.ok(await pingsBothWays(), 'both started again, in the other order')
  await podman.exec('rm', '-f', '-t', '0', 'r1', 'r2')
  t.same(machine.calls.failed(), [])
  t.same(await machine.leftovers(), [])
})
