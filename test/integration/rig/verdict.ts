/** Whether a plugin's answer is one that CNI allows, whatever the input was. */
import type { CommandResult } from './host.ts'

const TRACE = /\n\s+at \S+.*[):]|node:internal|\.m?[jt]s:\d+/
/** Words of a JavaScript error that nobody meant to show. */
const ACCIDENT =
  /TypeError|RangeError|SyntaxError|Cannot (read|set|convert|destructure)|is not (a function|iterable)|undefined|Maximum call stack|\[object Object\]/

function rightCode(code: unknown): boolean {
  if (!Number.isInteger(code)) return false
  const number = Number(code)
  return (number >= 1 && number <= 11) || number === 50 || number === 51 || number >= 100
}

/** What is wrong with an error object. */
export function errorProblems(error: unknown): string[] {
  if (typeof error !== 'object' || error === null || Array.isArray(error)) return ['the error is no object']
  const { cniVersion, code, msg, details } = error as Record<string, unknown>
  const problems: string[] = []
  if (!rightCode(code)) problems.push(`code ${code}`)
  if (typeof msg !== 'string' || msg === '') problems.push(`msg ${JSON.stringify(msg)}`)
  if (details !== undefined && typeof details !== 'string') problems.push('details is no string')
  if (typeof cniVersion !== 'string') problems.push(`cniVersion ${JSON.stringify(cniVersion)}`)
  const said = `${msg} ${details ?? ''}`
  if (code === 999 && ACCIDENT.test(said)) problems.push(`an accident: ${said}`)
  return problems
}

function successProblems(command: string, value: unknown): string[] {
  if (command === 'ADD' || command === 'VERSION') {
    const version = (value as Record<string, unknown> | undefined)?.cniVersion
    return typeof version === 'string' ? [] : [`${command} succeeds and prints no version`]
  }
  return value === undefined ? [] : [`${command} succeeds and prints something`]
}

/** Everything that is wrong with an answer; an empty list if it is a proper success or a proper refusal. */
export function answerProblems(command: string, done: CommandResult): string[] {
  if (done.signal !== null) return [`ended by ${done.signal}`]
  if (done.code !== 0 && done.code !== 1) return [`exit code ${done.code}: ${done.stderr}`]
  const problems = TRACE.test(done.stdout) ? ['a stack trace on stdout'] : []
  let value: unknown
  try {
    value = done.stdout.trim() === '' ? undefined : JSON.parse(done.stdout)
  } catch {
    return [...problems, `stdout is not one JSON value: ${done.stdout.slice(0, 200)}`]
  }
  return [...problems, ...(done.code === 0 ? successProblems(command, value) : errorProblems(value))]
}
