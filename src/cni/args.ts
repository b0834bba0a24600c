/** CNI_ARGS: `KEY=VALUE;KEY=VALUE`, deprecated but what every runtime still sends. Untrusted text. */
import { CniError, Code } from './error.ts'

/** Keys that this plugin or an IPAM plugin below it knows. */
const KNOWN = new Set(['IgnoreUnknown', 'MAC', 'IP', 'GATEWAY', 'END'])

const TRUE = new Set(['1', 'true'])
const FALSE = new Set(['0', 'false'])

/** @throws CniError (invalid environment) for malformed pairs, and for unknown keys unless IgnoreUnknown is true */
export function parseArgs(text: string): ReadonlyMap<string, string> {
  const args = new Map<string, string>()
  if (text === '') return args
  for (const pair of text.split(';')) {
    const [key = '', value, ...rest] = pair.split('=')
    if (value === undefined || rest.length > 0) {
      throw new CniError(Code.invalidEnvironment, `CNI_ARGS: invalid pair ${JSON.stringify(pair)}`)
    }
    args.set(key, value)
  }
  const ignore = (args.get('IgnoreUnknown') ?? 'false').toLowerCase()
  if (!TRUE.has(ignore) && !FALSE.has(ignore)) {
    throw new CniError(Code.invalidEnvironment, `CNI_ARGS: IgnoreUnknown is not a boolean: ${ignore}`)
  }
  if (FALSE.has(ignore)) {
    const unknown = [...args].filter(([key]) => !KNOWN.has(key) && !key.startsWith('K8S_'))
    if (unknown.length > 0) {
      const list = unknown.map(([key, value]) => JSON.stringify(`${key}=${value}`)).join(' ')
      throw new CniError(Code.invalidEnvironment, `CNI_ARGS: unknown args [${list}]`)
    }
  }
  return args
}
