/** A container attached by an ADD, and the calls a runtime makes about it afterwards. */
import type { Test } from 'tap'
import type { Call, CniResult, Host } from '../host.ts'
import { residue } from '../snapshot.ts'
import { added, type Result } from './answer.ts'
import { type Netconf, netconf } from './conf.ts'

export interface Attachment {
  netns: { name: string; path: string }
  /** The netconf of the ADD. */
  conf: Netconf
  call: Call
  result: Result
  /** Calls the plugin as libcni does after an ADD: with the result as prevResult. `more` replaces keys. */
  later(command: string, more?: Netconf, call?: Call): Promise<CniResult>
  /** Names of the interface's other end. */
  hostEnd: string
}

/** The call of a runtime for a new container. */
export function newContainer(host: Host, containerID = 'ctr1'): Call & { netns: string; name: string } {
  const netns = host.netns(containerID)
  return { containerID, netns: netns.path, name: netns.name }
}

export async function attach(t: Test, host: Host, more: Netconf = {}, over: Call = {}): Promise<Attachment> {
  const { name, ...container } = newContainer(host, over.containerID)
  const call: Call = { ...container, ...over }
  const conf = netconf(host, more)
  const result = added(t, await host.cni('ADD', { ...call, conf }))
  return {
    netns: { name, path: container.netns },
    conf,
    call,
    result,
    hostEnd: result.interfaces?.[0]?.name ?? '',
    later: (command, changes = {}, lateCall = {}) =>
      host.cni(command, { ...call, conf: { ...conf, prevResult: result, ...changes }, ...lateCall }),
  }
}

/** Nothing but `spared` interfaces may be left on the host and in these containers. */
export async function nothingLeft(
  t: Test,
  host: Host,
  namespaces: string[],
  spared: string[] = [],
): Promise<void> {
  t.same(await residue(host, namespaces, new Set(spared)), [], 'nothing is left')
}
