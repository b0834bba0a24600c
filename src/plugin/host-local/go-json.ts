/**
 * JSON into a known shape as Go's encoding/json does it: keys in any case, null for "not given", and its words for
 * a value of the wrong kind. Such a fault is kept until the end, for a text that its type refuses is reported first.
 */
import { type Address, parseAddress, parseSubnet, type Subnet } from './address.ts'
import { refusal } from './wording.ts'

/** Where a value belongs: the Go struct that has the field, and the fields' names down to it. */
export interface Place {
  readonly struct: string
  readonly path: string
}

export type Member = (value: unknown, place: Place) => void

/** The members of a Go struct under their JSON names. */
export type Members = Readonly<Record<string, Member>>

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  return typeof value === 'boolean' ? 'bool' : typeof value
}

export class GoJson {
  #fault: string | undefined

  #mismatch(kind: string, { struct, path }: Place, type: string): void {
    this.#fault ??= `json: cannot unmarshal ${kind} into Go struct field ${struct}.${path} of type ${type}`
  }

  /** @throws CniError (internal) if a value was of the wrong kind */
  finish(): void {
    if (this.#fault !== undefined) throw refusal(this.#fault)
  }

  /** `type` is Go's name of the whole, `struct` of what has the fields. */
  struct(value: unknown, place: Place, type: string, struct: string, members: Members): void {
    if (value === null) return
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.#mismatch(kindOf(value), place, type)
      return
    }
    for (const [key, member] of Object.entries(value)) {
      const name = nameIn(members, key)
      if (name === undefined) continue
      members[name]?.(member, { struct, path: place.path === '' ? name : `${place.path}.${name}` })
    }
  }

  list(value: unknown, place: Place, type: string, each: Member): void {
    if (value === null) return
    if (Array.isArray(value)) for (const element of value) each(element, place)
    else this.#mismatch(kindOf(value), place, type)
  }

  text(value: unknown, place: Place): string | undefined {
    if (value === null || typeof value === 'string') return value ?? undefined
    this.#mismatch(kindOf(value), place, 'string')
    return undefined
  }

  whole(value: unknown, place: Place): number | undefined {
    if (value === null || (typeof value === 'number' && Number.isSafeInteger(value)))
      return value ?? undefined
    this.#mismatch(typeof value === 'number' ? `number ${value}` : kindOf(value), place, 'int')
    return undefined
  }

  /** net.IP; the empty text is none. @throws CniError (internal) for a text that is no address */
  address(value: unknown, place: Place): Address | undefined {
    return this.parsed(value, place, 'net.IP', (text) => {
      const address = parseAddress(text)
      if (address === undefined) throw refusal(`invalid IP address: ${text}`)
      return address
    })
  }

  /** A value that is written as text. `parse` gets no empty text. */
  parsed<T>(value: unknown, place: Place, type: string, parse: (text: string) => T): T | undefined {
    if (value === null || value === '') return undefined
    if (typeof value === 'string') return parse(value)
    this.#mismatch(kindOf(value), place, type)
    return undefined
  }

  /** types.IPNet, which reads its text itself, null too. @throws CniError (internal) for anything else */
  subnet(value: unknown, place: Place): Subnet {
    if (value !== null && typeof value !== 'string') {
      this.#fault = undefined // what a type says of itself comes first
      this.#mismatch(kindOf(value), place, 'string')
      this.finish()
    }
    const subnet = parseSubnet(typeof value === 'string' ? value : '')
    if (subnet === undefined) throw refusal(`invalid CIDR address: ${value ?? ''}`)
    return subnet
  }
}

function nameIn(members: Members, key: string): string | undefined {
  if (Object.hasOwn(members, key)) return key
  const folded = key.toLowerCase()
  return Object.keys(members).find((name) => name.toLowerCase() === folded)
}
