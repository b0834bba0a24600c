/** Pods as the kubelet makes them: many at once, and DEL again and again, without a namespace. */
import { test } from 'tap'
import { newContainerd } from './rig/containerd.ts'
import { Cri } from './rig/cri.ts'
import { newMachine } from './rig/machine.ts'

const PODS = 20

test(`${PODS} pods in parallel`, async (t) => {
  const machine = await newMachine(t)
  machine.network('pods', { ipam: machine.ipam('10.88.9.0/24') })
  const containerd = await newContainerd(machine)
  const cri = new Cri(containerd.socket, machine.cgroup)
  t.teardown(() => cri.close())

  const ids = await Promise.all(Array.from({ length: PODS }, (_, n) => cri.runPod(`pod-${n}`)))
  const pods = await Promise.all(ids.map((id) => cri.status(id)))
  t.equal(new Set(pods.map((pod) => pod.ip)).size, PODS, 'every pod has an address of its own')
  t.equal((await machine.host.links()).length, PODS)
  for (const pod of pods) t.same((await machine.iface(pod.pid))?.addresses, [`${pod.ip}/24`])
  const answers = await Promise.all(pods.map((pod) => machine.ping(pod.pid, '10.88.9.1')))
  t.notOk(answers.includes(false), 'every pod reaches the host')

  await Promise.all(
    ids.map(async (id) => {
      await cri.stopPod(id)
      await cri.stopPod(id)
      await cri.removePod(id)
    }),
  )
  t.same(machine.calls.failed(), [])
  t.equal(machine.calls.all('ADD').length, PODS)
  const dels = ids.map((id) => machine.calls.all('DEL', id).map((call) => call.netns !== ''))
  t.ok(
    dels.every(([first]) => first === true),
    'the first DEL of each names the namespace',
  )
  t.ok(
    dels.every(([, ...later]) => later.includes(false)),
    'a later one of each does not',
  )
  await containerd.stop()
  t.same(await machine.leftovers(), [])
})
