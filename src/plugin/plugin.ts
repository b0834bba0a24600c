/** nugator as a CNI plugin: one function a verb. */
import type { Plugin } from '../cni/serve.ts'
import { add } from './add.ts'
import type { Caller } from './caller.ts'
import { check } from './check.ts'
import { del } from './del.ts'
import { gc } from './gc.ts'
import { report } from './report.ts'
import { status } from './status.ts'
import { VERSION } from './version.ts'

/** The plugin as one caller sees it. */
export function nugatorFor(caller: Caller): Plugin {
  return {
    about: `CNI nugator plugin version ${VERSION}`,
    add: (call) => add(call, caller),
    del: (call) => del(call, caller),
    check: (call) => check(call, caller),
    gc: (call) => gc(call, caller),
    status: (call) => status(call, caller),
    report,
  }
}
