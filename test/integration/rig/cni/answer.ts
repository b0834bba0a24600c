/** What a plugin may answer: a result, nothing, or one error. */
import type { Test } from 'tap'
import type { CniResult } from '../host.ts'
import { VERSIONS } from './conf.ts'

export interface Refusal {
  /** One code, or those among which the specification leaves a choice. */
  code: number | readonly number[]
  msg?: string | RegExp
  details?: string | RegExp
}

function says(t: Test, found: unknown, wanted: string | RegExp | undefined, what: string): void {
  if (wanted instanceof RegExp) t.match(found, wanted, what)
  else if (wanted !== undefined) t.equal(found, wanted, what)
}

/** Exit 1, one JSON error on stdout with the code and words wanted. */
export function refused(t: Test, done: CniResult, wanted: Refusal): void {
  t.equal(done.code, 1, `exit code; ${done.signal ?? ''} ${done.stdout} ${done.stderr}`)
  const codes = [wanted.code].flat()
  t.ok(
    codes.includes(done.json?.code),
    `code ${done.json?.code} should be ${codes.join(' or ')}: ${done.stdout}`,
  )
  t.type(done.json?.msg, 'string', 'msg')
  t.not(done.json?.msg, '', 'msg says something')
  t.ok(VERSIONS.includes(done.json?.cniVersion), `error has a cniVersion: ${done.json?.cniVersion}`)
  says(t, done.json?.msg, wanted.msg, 'msg')
  says(t, done.json?.details, wanted.details, 'details')
}

/** Exit 0 and an empty stdout. */
export function silent(t: Test, done: CniResult): void {
  t.equal(done.code, 0, `exit code; ${done.stdout} ${done.stderr}`)
  t.equal(done.stdout, '', 'stdout')
}

/** A result of any version. */
export interface Result {
  cniVersion?: string
  interfaces?: { name: string; mac: string; sandbox?: string; mtu?: number }[]
  ips?: { address: string; gateway?: string; interface?: number; version?: string }[]
  routes?: Record<string, unknown>[]
  dns?: Record<string, unknown>
  ip4?: { ip: string; gateway?: string; routes?: unknown[] }
  ip6?: { ip: string; gateway?: string; routes?: unknown[] }
}

/** Exit 0 and a result, which is returned. */
export function added(t: Test, done: CniResult): Result {
  t.equal(done.code, 0, `exit code; ${done.stdout} ${done.stderr}`)
  t.ok(done.json, 'a result')
  return done.json ?? {}
}

/** Every word of an error, for faults whose place in it is not fixed. */
export function words(done: CniResult): string {
  return `${done.json?.msg} ${done.json?.details}`
}
