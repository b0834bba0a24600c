/** A fake IPAM plugin that notes every call and answers what the test told it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../host.ts'

export interface Reply {
  /** Text, or a value that is printed as JSON. */
  stdout?: unknown
  stderr?: string
  code?: number
  /** Shell commands to run first. */
  script?: string
}

export const ADDRESS = '10.1.2.2/24'
export const RESULT = { cniVersion: '1.0.0', ips: [{ address: ADDRESS, gateway: '10.1.2.1' }] }

export class FakeIpam {
  readonly type: string
  /** For CNI_PATH. */
  readonly path: string
  readonly #dir: string

  constructor(host: Host, type = 'fake-ipam') {
    this.type = type
    this.#dir = join(host.dir, `${type}-calls`)
    mkdirSync(this.#dir)
    this.path = host.fakePlugin(type, this.#text())
    this.reply('ADD', { stdout: RESULT })
  }

  #text(): string {
    return `#!/bin/sh
cd ${this.#dir} || exit 1
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >>calls
cat >"$CNI_COMMAND.stdin"
env >"$CNI_COMMAND.env"
[ -f "$CNI_COMMAND.reply" ] && . "./$CNI_COMMAND.reply"
exit 0
`
  }

  reply(command: string, { stdout = '', stderr = '', code = 0, script = '' }: Reply): this {
    const text = typeof stdout === 'string' ? stdout : JSON.stringify(stdout)
    writeFileSync(join(this.#dir, `${command}.out`), text)
    writeFileSync(join(this.#dir, `${command}.err`), stderr)
    const lines = [script, `cat ${command}.err >&2`, `cat ${command}.out`, `exit ${code}`, '']
    writeFileSync(join(this.#dir, `${command}.reply`), lines.join('\n'))
    return this
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.#dir, name), 'utf8')
    } catch {
      return ''
    }
  }

  /** Calls so far, as "ADD ctr1 eth0". */
  calls(): string[] {
    return this.#read('calls').split('\n').filter(Boolean)
  }

  /** What the last call of this verb read. */
  stdin(command: string): string {
    return this.#read(`${command}.stdin`)
  }

  env(command: string): Record<string, string> {
    const lines = this.#read(`${command}.env`).split('\n').filter(Boolean)
    return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)))
  }

  /** A file that a reply's script wrote. */
  note(name: string): string {
    return this.#read(name)
  }
}
