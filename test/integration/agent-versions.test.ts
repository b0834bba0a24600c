/** A client and an agent that do not speak the same version of the protocol: the client does the work itself. */
import t from 'tap'
import { Agent } from './rig/agent.ts'
import { added, silent } from './rig/cni/answer.ts'
import { newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { newHost } from './rig/host.ts'
import { encodeRequest, say } from './rig/raw-client.ts'
import { answering, ScriptedAgent } from './rig/scripted-agent.ts'

t.test('a new client and an agent of another version', async (t) => {
  const host = newHost(t)
  const { name, ...container } = newContainer(host)
  const script: Record<string, Parameters<typeof ScriptedAgent.start>[1]> = {
    'that answers in its own': answering({ version: 2, stdout: '{}' }),
    'older still': answering({ version: 0, stdout: '{}' }),
    'that hangs up on what it does not know': (socket) => socket.destroy(),
  }
  for (const [what, how] of Object.entries(script)) {
    const agent = await ScriptedAgent.start(t, how)
    const call = { ...container, env: { NUGATOR_AGENT_SOCKET: agent.path }, conf: netconf(host) }
    const result = added(t, await host.cni('ADD', call))
    t.match(result.ips?.[0]?.address, /^10\.1\.2\./, what)
    t.equal((await host.links(name)).length, 1)
    silent(t, await host.cni('DEL', call))
    t.equal(agent.frames.length, 2, 'it was asked')
    await nothingLeft(t, host, [name])
  }
})

t.test('a client of another version and a new agent: hung up on, at once', async (t) => {
  const host = newHost(t)
  const agent = await Agent.start(t, host)
  const { name, netns } = newContainer(host)
  for (const version of [0, 2, 256, 65535]) {
    for (const CNI_COMMAND of ['ADD', 'DEL', 'GC']) {
      const env = {
        CNI_COMMAND,
        CNI_CONTAINERID: 'ctr1',
        CNI_IFNAME: 'eth0',
        CNI_NETNS: netns,
        CNI_PATH: '/x',
      }
      const heard = await say(
        agent.socket,
        encodeRequest({ version, env, stdin: JSON.stringify(netconf(host)) }),
      )
      t.equal(heard.said.length, 0, `version ${version}: nothing is said that could be taken for an answer`)
      t.ok((heard.closed ?? Number.POSITIVE_INFINITY) < 1000, `version ${version}: after ${heard.closed} ms`)
    }
  }
  // What a later version may say after the number is its own business: it is not waited for.
  const header = encodeRequest({ version: 2 }).subarray(0, 6)
  t.not((await say(agent.socket, header)).closed, undefined, 'the number is enough')
  t.match((await agent.says('refused', 13)).at(-1), { why: 'protocol 2 is not spoken here, only 1' })
  t.same((await agent.status()).verbs, {})
  await nothingLeft(t, host, [name])
})
