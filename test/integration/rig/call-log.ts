/**
 * Between a runtime and the plugin: notes each call and how it ended, then hands on what the plugin said.
 * It shows what the runtime really sent, such as a DEL without a namespace.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Host, PLUGIN } from './host.ts'

export interface LoggedCall {
  command: string
  containerID: string
  netns: string
  code: number
  /** What the plugin printed, if it failed. */
  error: string
}

// One printf to a file opened for appending: lines of calls made at the same time do not mix.
const script = (plugin: string, log: string) => `#!/bin/sh
out=$('${plugin}')
code=$?
error=
[ $code = 0 ] || error=$(printf %s "$out" | tr '\\n\\t' '  ')
printf '%s\\t%s\\t%s\\t%s\\t%s\\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$code" "$error" >>'${log}'
printf '%s\\n' "$out"
exit $code
`

export class CallLog {
  readonly binDir: string
  readonly #file: string

  constructor(host: Host) {
    this.#file = join(host.dir, 'calls.log')
    appendFileSync(this.#file, '')
    // another plugin may stand in, to see whether it is the rig that fails
    this.binDir = host.fakePlugin('nugator', script(process.env.RIG_PLUGIN ?? PLUGIN, this.#file))
  }

  all(command?: string, containerID?: string): LoggedCall[] {
    const lines = readFileSync(this.#file, 'utf8').split('\n').slice(0, -1)
    const calls = lines.map((line): LoggedCall => {
      const [name = '', id = '', netns = '', code = '', error = ''] = line.split('\t')
      return { command: name, containerID: id, netns, code: Number(code), error }
    })
    return calls
      .filter((call) => command === undefined || call.command === command)
      .filter((call) => containerID === undefined || call.containerID === containerID)
  }

  failed(): LoggedCall[] {
    return this.all().filter((call) => call.code !== 0)
  }
}
