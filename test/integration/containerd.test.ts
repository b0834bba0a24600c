/** `ctr run --cni`, which calls DEL without a namespace once the container's is gone. */
import { test } from 'tap'
import { type Containerd, newContainerd } from './rig/containerd.ts'
import { type Machine, newMachine } from './rig/machine.ts'

/** A link of the containers r1 and r2, whose ends are chosen by container ID. */
function wire(machine: Machine, containerd: Containerd): void {
  const ends = {
    [containerd.cniID('r1')]: { addresses: [{ address: '10.77.1.1/24' }] },
    [containerd.cniID('r2')]: { addresses: [{ address: '10.77.1.2/24' }] },
  }
  machine.network('wire', { link: { name: 'r1-r2', ends } })
}

test('a container on a host-mode network', async (t) => {
  const machine = await newMachine(t)
  machine.network('hosted', { ipam: machine.ipam('10.88.8.0/24') })
  const containerd = await newContainerd(machine)

  const done = await containerd.ctrRun('c1', 'ping', '-c', '1', '-W', '2', '10.88.8.1')
  t.equal(done.code, 0, done.stderr + done.stdout)
  const [del] = machine.calls.all('DEL', containerd.cniID('c1'))
  t.equal(del?.netns, '', 'DEL names no namespace')
  t.same(machine.calls.failed(), [])
  await containerd.stop()
  t.same(await machine.leftovers(), [])
})

test('a survivor is healed', async (t) => {
  const machine = await newMachine(t)
  const containerd = await newContainerd(machine)
  wire(machine, containerd)

  const r1 = await containerd.ctrStart('r1')
  const r2 = await containerd.ctrStart('r2')
  const before = await machine.iface(r2.pid)
  t.same(before?.addresses, ['10.77.1.2/24'])
  t.same(await machine.host.links(), [], 'nothing of the link is in the host')
  t.ok(await machine.ping(r1.pid, '10.77.1.2'))
  t.ok(await machine.ping(r2.pid, '10.77.1.1'))

  await r1.kill()
  const [del] = machine.calls.all('DEL', containerd.cniID('r1'))
  t.equal(del?.netns, '', 'DEL names no namespace')
  const after = await machine.iface(r2.pid)
  t.same(after?.addresses, before?.addresses, 'r2 has its interface and address again')
  t.equal(after?.mac, before?.mac, 'and its MAC')
  t.equal((await machine.host.links()).length, 1, 'the free end is parked in the host')

  const again = await containerd.ctrStart('r1')
  t.ok(await machine.ping(again.pid, '10.77.1.2'))
  t.ok(await machine.ping(r2.pid, '10.77.1.1'))
  t.same(await machine.host.links(), [])

  await Promise.all([again.kill(), r2.kill()])
  t.same(machine.calls.failed(), [])
  await containerd.stop()
  t.same(await machine.leftovers(), [])
})

test('a container that went without a DEL', async (t) => {
  const machine = await newMachine(t)
  const containerd = await newContainerd(machine)
  wire(machine, containerd)

  const r2 = await containerd.ctrStart('r2')
  const before = await machine.iface(r2.pid)
  await containerd.ctrVanish('r1')
  t.same(machine.calls.all('DEL'), [])

  const r1 = await containerd.ctrStart('r1')
  const after = await machine.iface(r2.pid)
  t.same(after?.addresses, ['10.77.1.2/24'], 'the next ADD heals r2')
  t.equal(after?.mac, before?.mac)
  t.ok(await machine.ping(r1.pid, '10.77.1.2'))
  t.ok(await machine.ping(r2.pid, '10.77.1.1'))

  await r1.kill()
  await r2.kill()
  t.same(machine.calls.failed(), [])
  await containerd.stop()
  t.same(await machine.leftovers(), [])
})
