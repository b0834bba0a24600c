/** kill -9 at every step of a call, in host mode and peer mode: DEL or GC leaves nothing, then ADD works again. */
import t from 'tap'
import { type Scenario, survives } from './rig/crash.ts'
import { hostConf, peerConf } from './rig/modes.ts'
import { leases, masquerade } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'
import { deviations } from './rig/wire.ts'

const host: Omit<Scenario, 'name' | 'arrange' | 'act'> = {
  victim: 'web',
  survivors: [],
  stage() {
    const stage = new Stage().containers('web')
    const conf = hostConf(stage.host, { ipMasq: true })
    return stage.cast({ web: { conf, containerID: 'web', on: 'web' } })
  },
  async problems(stage) {
    const problems: string[] = []
    if (!(await stage.host.ping(stage.netns('web').name, '10.88.0.1'))) problems.push('the gateway is silent')
    const addresses = leases(stage.host)
    if (addresses.length !== 1) problems.push(`leases [${addresses}] instead of one`)
    const rules = await masquerade(stage.host)
    if (!rules.some((rule) => rule.includes(addresses[0] ?? '?'))) problems.push('no masquerade')
    return problems
  },
}

const peer: Omit<Scenario, 'name' | 'arrange' | 'act'> = {
  victim: 'web',
  survivors: [],
  stage() {
    const stage = new Stage().containers('web', 'db')
    return stage.cast({ web: { conf: peerConf(stage.pathOf('db')), containerID: 'web', on: 'web' } })
  },
  async problems(stage) {
    const problems = [
      ...(await deviations(stage.netns('web').name, 'eth0', { addresses: ['10.9.0.1/24', 'fd00:9::1/64'] })),
      ...(await deviations(stage.netns('db').name, 'eth1', { addresses: ['10.9.0.2/24', 'fd00:9::2/64'] })),
    ]
    if (!(await stage.host.ping(stage.netns('web').name, '10.9.0.2'))) problems.push('the peer is silent')
    return problems
  },
}

const gcAll = (stage: Stage, env: Record<string, string>) =>
  stage.gc(stage.attachment('web').conf, [], { env })

for (const [mode, base] of Object.entries({ host, peer })) {
  const there = async (stage: Stage) => [await stage.add('web')]
  const scenarios: Scenario[] = [
    {
      ...base,
      name: `${mode} mode: ADD`,
      fresh: true,
      arrange: async () => [],
      act: (stage, env) => stage.add('web', { env }),
    },
    { ...base, name: `${mode} mode: DEL`, arrange: there, act: (stage, env) => stage.del('web', { env }) },
    { ...base, name: `${mode} mode: GC`, arrange: there, act: gcAll },
  ]
  for (const scenario of scenarios) survives(t, scenario)
}
