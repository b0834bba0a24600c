/** What a person or a netconf may write to mean a network namespace, and the path each form stands for. */
import { NetnsError } from './error.ts'

export type NetnsReference =
  | { readonly kind: 'host' }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'pid'; readonly pid: number }

/** Where `ip netns` keeps its names. */
export const NETNS_DIRECTORY = '/run/netns'

/** The calling thread's own namespace. */
export const OWN_NETNS = '/proc/thread-self/ns/net'

/**
 * Parses `host`, `/a/path`, `pid:N`, `netns:NAME`, `netns:/a/path`, or a bare name as `ip netns` has it.
 *
 * @throws NetnsError ('bad reference'), also for the empty text: nothing never means the host.
 */
export function parseReference(text: string): NetnsReference {
  const forms = 'write a path, a name that `ip netns list` shows, pid:N, or host'
  if (text === '') throw new NetnsError('bad reference', text, 'it is empty', forms)
  if (text.includes('\0')) throw new NetnsError('bad reference', text, 'it holds a NUL character', forms)
  if (text === 'host') return { kind: 'host' }
  if (text.startsWith('/')) return { kind: 'path', path: text }
  const colon = text.indexOf(':')
  const scheme = colon < 0 ? 'netns' : text.slice(0, colon)
  const rest = text.slice(colon + 1)
  if (scheme === 'pid') return parsePid(text, rest)
  if (scheme !== 'netns') {
    throw new NetnsError('bad reference', text, `"${scheme}:" is not a kind of reference`, forms)
  }
  if (rest.startsWith('/')) return { kind: 'path', path: rest }
  checkNetnsName(text, rest)
  return { kind: 'name', name: rest }
}

function parsePid(text: string, digits: string): NetnsReference {
  if (!/^[1-9][0-9]{0,9}$/.test(digits)) {
    throw new NetnsError(
      'bad reference',
      text,
      'the process ID must be a positive number',
      'a stopped container has no process',
    )
  }
  return { kind: 'pid', pid: Number(digits) }
}

/** @throws NetnsError if `ip netns` would not take this name. */
export function checkNetnsName(reference: string, name: string): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.length > 255) {
    throw new NetnsError(
      'bad reference',
      reference,
      'a name may not be empty, "." or "..", nor contain "/"',
      'names are those that `ip netns list` shows',
    )
  }
}

/** The file that stands for the namespace. New kinds of reference are resolved here, and only here. */
export function pathOf(reference: NetnsReference): string {
  switch (reference.kind) {
    case 'host':
      return OWN_NETNS
    case 'path':
      return reference.path
    case 'name':
      return `${NETNS_DIRECTORY}/${reference.name}`
    case 'pid':
      return `/proc/${reference.pid}/ns/net`
  }
}
