/**
 * How nugator knows its own interfaces again: a group, set by the creating message, and an alias that names the
 * owner, sent together with it. Nothing without both is ever deleted in the host's namespace.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import type { Link } from '../netlink/link-info.ts'

/** High half of the device group: "ng". Low half 0: live; otherwise part of a doomed batch. */
export const LIVE_GROUP = 0x6e670000
const GROUP_MASK = 0xffff0000

const IFALIASZ = 255
const PREFIX = 'nugator:'

/** 64 hex digits naming an owner: also its file names, so that no ID ever becomes a path. */
export function keyOf(...parts: readonly string[]): string {
  // Not by node:crypto: to load it takes longer than all else that a plugin call does.
  return Buffer.from(sha256(Buffer.from(parts.join('\0')))).toString('hex')
}

/** `nugator:<key>:<words>`, cut to what an alias holds; the key alone decides. */
export function aliasOf(key: string, words: string): string {
  return Buffer.from(`${PREFIX}${key}:${words}`)
    .subarray(0, IFALIASZ)
    .toString('utf8')
    .replace(/\ufffd+$/, '')
}

/** The key and words of an alias of ours, undefined for any other. */
export function parseAlias(alias: string): { readonly key: string; readonly words: string } | undefined {
  const match = /^nugator:([0-9a-f]{64}):(.*)$/s.exec(alias)
  return match?.[1] === undefined ? undefined : { key: match[1], words: match[2] ?? '' }
}

export function hasOurGroup(link: Link): boolean {
  return ((link.group & GROUP_MASK) | 0) === (LIVE_GROUP | 0)
}

/** True if the interface is a veth of ours that belongs to this owner. */
export function isMarked(link: Link, key: string): boolean {
  return link.kind === 'veth' && hasOurGroup(link) && link.alias.startsWith(`${PREFIX}${key}:`)
}

/**
 * True also for one that a killed process made and had not yet named: then its recorded MAC (46 random bits,
 * chosen by us) stands in for the alias.
 */
export function isMarkedOrNewborn(link: Link, key: string, mac: string): boolean {
  return (
    isMarked(link, key) ||
    (link.kind === 'veth' && hasOurGroup(link) && link.alias === '' && link.mac === mac)
  )
}

/** A host-side interface name: `veth` (which network managers leave alone) and hex digits of the owner's key. */
export function hostIfNameOf(key: string, attempt: number): string {
  return `veth${(attempt === 0 ? key : keyOf(key, String(attempt))).slice(0, 8)}`
}
