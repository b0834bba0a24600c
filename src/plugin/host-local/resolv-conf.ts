/** The file of `ipam.resolvConf`, read as host-local reads it. */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import type { Dns } from '../../cni/result.ts'
import { fields, pathRefusal, refusal, trimSpace } from './wording.ts'

/** bufio.MaxScanTokenSize: a line has to be shorter. */
const LINE_MAX = 64 * 1024

/** @throws CniError (internal) if it cannot be read */
export function readResolvConf(path: string): Dns {
  const dns: Dns = {}
  for (const line of readLines(path)) {
    const [keyword = '', ...values] = fields(line)
    const [value] = values
    if (value === undefined || /^[#;]/.test(keyword)) continue
    if (keyword === 'nameserver') dns.nameservers = [...(dns.nameservers ?? []), value]
    else if (keyword === 'domain') dns.domain = value
    else if (keyword === 'search') dns.search = [...(dns.search ?? []), ...values]
    else if (keyword === 'options') dns.options = [...(dns.options ?? []), ...values]
  }
  return dns
}

function readLines(path: string): string[] {
  const fd = open(path)
  try {
    const chunks: Buffer[] = []
    let line = 0 // length of the line that goes on
    for (;;) {
      const chunk = Buffer.allocUnsafe(LINE_MAX)
      const length = read(fd, chunk, path)
      if (length === 0) break
      const part = chunk.subarray(0, length)
      chunks.push(part)
      line = longestLine(part, line)
    }
    return Buffer.concat(chunks).toString('utf8').split('\n').map(trimSpace)
  } finally {
    closeSync(fd)
  }
}

/** @returns the length of the last line, which may go on. @throws CniError (internal) if one is too long */
function longestLine(part: Buffer, begun: number): number {
  let length = begun
  let from = 0
  for (;;) {
    const end = part.indexOf(10, from)
    length += (end < 0 ? part.length : end) - from
    if (length >= LINE_MAX) throw refusal('bufio.Scanner: token too long')
    if (end < 0) return length
    length = 0
    from = end + 1
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw pathRefusal('open', path, error)
  }
}

function read(fd: number, chunk: Buffer, path: string): number {
  try {
    return readSync(fd, chunk)
  } catch (error) {
    throw pathRefusal('read', path, error)
  }
}
