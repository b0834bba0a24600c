/** Golden cases: what the plugin must refuse, with which code and words. */
import type { Test } from 'tap'
import type { Call, Host } from '../host.ts'
import { type Refusal, refused } from './answer.ts'
import { newContainer, nothingLeft } from './attachment.ts'

export interface Golden extends Refusal {
  id: string
  title: string
  verbs: readonly string[]
  call: Call
}

export const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const

/** Runs each case with each of its verbs, and looks whether one of them changed anything. */
export function refuseAll(t: Test, host: Host, goldens: readonly Golden[]): void {
  const { name, ...container } = newContainer(host)
  for (const { id, title, verbs, call, ...wanted } of goldens) {
    for (const verb of verbs) {
      t.test(`${id} ${verb}: ${title}`, async (t) => {
        refused(t, await host.cni(verb, { ...container, ...call }), wanted)
      })
    }
  }
  t.test('refusals change nothing', (t) => nothingLeft(t, host, [name]))
}
