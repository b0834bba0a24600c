/** Where there is no agent to help, an answer through the client is the cold path's own. */
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { netconf } from './rig/cni/conf.ts'
import { type Call, type CniResult, newHost, PLUGIN } from './rig/host.ts'
import { ListeningProcess } from './rig/listening-process.ts'
import { answering, encode, ScriptedAgent } from './rig/scripted-agent.ts'

const COLD = join(dirname(PLUGIN), 'nugator.d/cold')

/** What a runtime sees; MAC addresses are new every time. */
function seen({ code, signal, stdout, stderr }: CniResult): unknown {
  return { code, signal, stderr, stdout: stdout.replaceAll(/"mac": "[^"]*"/g, '"mac": ""') }
}

t.test('every verb, cold by itself and through the client', async (t) => {
  const host = newHost(t)
  const container = host.netns('ctr')
  const agent = await ScriptedAgent.start(t, answering({ verdict: 1 }))
  const partly = await ScriptedAgent.start(t, (socket) =>
    socket.end(encode({ stdout: 'no' }).subarray(0, 21)),
  )
  const frozen = await ListeningProcess.start(t, join(host.dir, 'frozen.sock'))
  frozen.stop()
  const conf = netconf(host, {
    ipam: undefined,
    addresses: [{ address: '10.7.0.2/24', gateway: '10.7.0.1' }],
  })
  const calls: [string, Call][] = [
    ['STATUS', { conf: { ...conf, cniVersion: '1.1.0' } }],
    ['STATUS', { conf: { ...conf, cniVersion: '1.1.0', mtu: -1 } }],
    ['STATUS', { stdin: '{' }],
    ['ADD', { conf, containerID: '' }],
    ['ADD', { conf, netns: '/nowhere' }],
    ['ADD', { conf, netns: container.path }],
    ['DEL', { conf, netns: container.path }],
    ['DEL', { conf }],
    ['GC', { conf: { ...conf, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] } }],
    ['VERSION', {}],
    ['NOPE', { conf }],
  ]
  const answers = async (t: Test, plugin: string, socket: string | undefined): Promise<unknown[]> => {
    const all: unknown[] = []
    const env = { NUGATOR_AGENT_SOCKET: socket, NUGATOR_DEADLINE_MS: '300' }
    for (const [command, call] of calls) {
      // A frozen agent may have begun an ADD: that is not answered cold.
      const isLate = command === 'ADD' && socket === frozen.path
      all.push(
        seen(await host.cni(command, { ...call, plugin, env: isLate ? { NUGATOR_AGENT_SOCKET: '' } : env })),
      )
      if (command === 'ADD' && call.netns === container.path) {
        t.equal((await host.links(container.name)).length, 1, 'an interface is there')
      }
    }
    t.same([await host.links(), await host.links(container.name)], [[], []], 'and it is gone')
    return all
  }

  const direct = await answers(t, COLD, undefined)
  const sockets = {
    none: undefined,
    empty: '',
    'goes cold': agent.path,
    'dies half-way': partly.path,
    frozen: frozen.path,
  }
  for (const [what, socket] of Object.entries(sockets)) {
    await t.test(what, async (t) => {
      t.same(await answers(t, PLUGIN, socket), direct)
    })
  }
  t.ok(agent.frames.length > 5 && partly.frames.length > 5, 'they were asked')
})
