/** Scene `agent`: what the agent costs while nothing happens, with 1000 attachments; and its very first ADD. */
import { Agent } from './agent.ts'
import { Host } from './host.ts'
import { nugatorHot } from './plugins.ts'
import { ms, type Scene } from './result.ts'

const ATTACHMENTS = 1000

/** A round is a second in which it is left alone. */
export const residentScene: Scene = {
  name: 'agent',
  rounds: { full: 10, quick: 4 },
  run: (rounds) =>
    Host.with((host) =>
      Agent.with(host, async (agent) => {
        const hot = nugatorHot(host)
        const fresh = agent.rss
        const containers = await host.containers(ATTACHMENTS)
        await host.quiet(1000)
        const [first, ...others] = containers.map(hot.add)
        const took = first === undefined ? Number.NaN : await host.caller.one(first)
        await host.caller.many(others, 8)
        await host.quiet(2000)
        const before = { rss: agent.rss, cpu: agent.cpu }
        await host.quiet(rounds * 1000)
        const cpu = agent.cpu - before.cpu
        const { rss } = agent
        return {
          title: `the agent with ${ATTACHMENTS} attachments`,
          groups: [],
          claims: [
            {
              what: `agent RSS with ${ATTACHMENTS} attachments, ${rounds} s later`,
              ours: `${mb(rss).toFixed(0)} MB`,
              theirs: '',
              value: mb(rss),
              unit: 'MB',
              target: 90,
            },
          ],
          notes: [
            `idle: ${cpu} ms of CPU time (user and system) in ${rounds} s with ${ATTACHMENTS} attachments`,
            `RSS just after its start: ${mb(fresh).toFixed(0)} MB; 2 s after the last ADD: ${mb(before.rss).toFixed(0)} MB`,
            `its very first ADD after its start, nothing compiled yet: ${ms(took)}`,
          ],
        }
      }),
    ),
}

function mb(bytes: number): number {
  return bytes / 1e6
}
