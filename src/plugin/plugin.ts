/** nugator as a CNI plugin: one function a verb. */
import type { Plugin } from '../cni/serve.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { del } from './del.ts'
import { gc } from './gc.ts'
import { report } from './report.ts'
import { status } from './status.ts'
import { VERSION } from './version.ts'

export const nugator: Plugin = {
  about: `CNI nugator plugin version ${VERSION}`,
  add,
  del,
  check,
  gc,
  status,
  report,
}
