/** kill -9 at every step of a call, in host mode and peer mode: DEL or GC leaves nothing, then ADD works again. */
import t from 'tap'
import { type Scenario, survives } from './rig/crash.ts'
import { HOST, PEER } from './rig/crash-stages.ts'
import type { Stage } from './rig/stage.ts'

const gcAll = (stage: Stage, env: Record<string, string>) =>
  stage.gc(stage.attachment('web').conf, [], { env })

for (const [mode, base] of Object.entries({ host: HOST, peer: PEER })) {
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
