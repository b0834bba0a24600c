import { CniError, Code } from '../cni/error.ts'
import type { CniCall } from '../cni/serve.ts'
import type { Caller } from './caller.ts'

/**
 * A container's namespace must not be the one the plugin runs in, unless CNI_NETNS_OVERRIDE says so: asked before
 * any work, so that nothing is made, leased or deleted. A path that cannot be read passes.
 *
 * @throws CniError (invalid netns)
 */
export function refuseOwnNetns(call: CniCall, caller: Caller): void {
  const override = (call.env.CNI_NETNS_OVERRIDE ?? '').toLowerCase()
  if (override === '1' || override === 'true') return
  if (call.netns === '' || !caller.isHost(call.netns)) return
  throw new CniError(
    Code.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `CNI_NETNS is ${call.netns}; set CNI_NETNS_OVERRIDE=1 if that is meant`,
  )
}
