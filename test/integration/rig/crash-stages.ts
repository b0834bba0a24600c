/** What the crash tests kill at: an attachment in each mode, and what is true of it when it stands. */
import type { Scenario } from './crash.ts'
import { type End, linkProblems, linkStage } from './link-stage.ts'
import { hostConf, peerConf } from './modes.ts'
import { leases, masquerade } from './snapshot.ts'
import { Stage } from './stage.ts'
import { deviations } from './wire.ts'

type Base = Omit<Scenario, 'name' | 'arrange' | 'act'>

/** With a lease and masquerade. */
export const HOST: Base = {
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

export const PEER: Base = {
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

export const LINK: Base = {
  victim: 'r2',
  survivors: [],
  stage: () => linkStage(),
  problems: (stage, attached) => linkProblems(stage, attached as End[]),
}
