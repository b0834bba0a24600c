/** CNI_ARGS as host-local reads them: it knows `IP` and `IgnoreUnknown`, and minds everything else. */
import { type Address, parseAddress, parseSubnet } from './address.ts'
import { quote, refusal } from './wording.ts'

/** An address with or without a prefix length, which says nothing here. `undefined` for no address. */
export function parseRequest(text: string): Address | undefined {
  return text.includes('/') ? parseSubnet(text)?.address : parseAddress(text)
}

/** @returns the address that CNI_ARGS ask for. @throws CniError (internal) */
export function requestedByArgs(args: string): Address | undefined {
  if (args === '') return undefined
  let ip: Address | undefined
  let ignoreUnknown = false
  const unknown: string[] = []
  for (const pair of args.split(';')) {
    const [key = '', value, ...rest] = pair.split('=')
    if (value === undefined || rest.length > 0) throw refusal(`ARGS: invalid pair ${quote(pair)}`)
    if (key === 'IP') ip = value === '' ? undefined : addressOf(value, pair)
    else if (key === 'IgnoreUnknown') ignoreUnknown = booleanOf(value, pair)
    else if (key === 'CommonArgs') throw notText(key)
    else unknown.push(pair)
  }
  if (unknown.length > 0 && !ignoreUnknown) {
    throw refusal(`ARGS: unknown args [${unknown.map(quote).join(' ')}]`)
  }
  return ip
}

function addressOf(value: string, pair: string): Address {
  const ip = parseRequest(value)
  if (ip !== undefined) return ip
  throw refusal(`ARGS: error parsing value of pair ${quote(pair)}: invalid IP address ${value}`)
}

function booleanOf(value: string, pair: string): boolean {
  const lower = value.toLowerCase()
  if (lower === '1' || lower === 'true') return true
  if (lower === '0' || lower === 'false') return false
  throw refusal(
    `ARGS: error parsing value of pair ${quote(pair)}: boolean unmarshal error: invalid input ${lower}`,
  )
}

/** The name of the embedded Go struct, which reflection finds but cannot set. */
function notText(key: string): Error {
  return refusal(
    `ARGS: cannot unmarshal into field '${key}' - type '*types.${key}' does not implement encoding.TextUnmarshaler`,
  )
}
