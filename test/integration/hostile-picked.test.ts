/** Hostile input picked by hand: paths, names, sizes, numbers and what has been a hole elsewhere. */
import t from 'tap'
import { delegates } from './rig/cni/reference.ts'
import { bodies } from './rig/hostile-bodies.ts'
import { HostileGround, type RawCall } from './rig/hostile-ground.ts'
import { picked } from './rig/hostile-picked.ts'
import { errorProblems } from './rig/verdict.ts'

t.test('each case is answered properly and changes nothing', async (t) => {
  const ground = await new HostileGround(t).settle()
  const { stage } = ground
  const path = delegates(stage.host)
  for (const { what, codes, env, stdin } of picked(ground)) {
    const call: RawCall = {
      env: {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'hostile1',
        CNI_IFNAME: 'eth0',
        CNI_NETNS: stage.pathOf('ctr'),
        CNI_PATH: path,
        ...env,
      },
      stdin,
    }
    const { done, problems } = await ground.problems(call)
    t.same(problems, [], what)
    const code = done.code === 0 ? 0 : JSON.parse(done.stdout || '{}').code
    t.ok(codes.includes(code), `${what}: code ${code} of [${codes}] ${done.stdout.slice(0, 300)}`)
  }
  t.equal(
    await stage.host.exec('cat', ['/proc/sys/net/ipv4/ip_default_ttl']),
    '64\n',
    'no sysctl but its own',
  )
})

t.test('big and deep input is answered, not died of', async (t) => {
  const ground = await new HostileGround(t).settle()
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'hostile1',
    CNI_IFNAME: 'eth0',
    CNI_NETNS: ground.stage.pathOf('ctr'),
    CNI_PATH: delegates(ground.stage.host),
  }
  for (const { what, codes, stdin } of bodies()) {
    for (const CNI_COMMAND of ['ADD', 'DEL']) {
      const { done, problems } = await ground.problems({ env: { ...env, CNI_COMMAND }, stdin })
      t.same(problems, [], `${CNI_COMMAND}: ${what}`)
      if (done.code === 0) continue
      const error = JSON.parse(done.stdout)
      t.same(errorProblems(error), [])
      t.ok(
        codes.includes(error.code),
        `${what}: code ${error.code} of [${codes}]: ${error.msg.slice(0, 200)}`,
      )
      t.ok(done.stdout.length < 100_000, 'the error does not repeat the input')
    }
  }
})
