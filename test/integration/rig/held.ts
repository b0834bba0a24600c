/** What a process holds, as /proc tells it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Held {
  /** MiB. */
  readonly rss: number
  readonly descriptors: number
  readonly threads: number
  /** Netlink sockets in its network namespace, of whomever. */
  readonly netlink: number
  /** Network namespaces other than its own that it has a thread in, or open. */
  readonly namespaces: readonly string[]
}

/** A descriptor may be closed, and a thread may end, while one looks. */
function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

export function held(pid: number): Held {
  const proc = `/proc/${pid}`
  const status = readFileSync(`${proc}/status`, 'utf8')
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  const own = link(`${proc}/ns/net`)
  const descriptors = readdirSync(`${proc}/fd`)
  const places = [
    ...descriptors.map((fd) => link(`${proc}/fd/${fd}`)),
    ...readdirSync(`${proc}/task`).map((task) => link(`${proc}/task/${task}/ns/net`)),
  ]
  return {
    rss: number('VmRSS') / 1024,
    descriptors: descriptors.length,
    threads: number('Threads'),
    netlink: readFileSync(`${proc}/net/netlink`, 'utf8').trim().split('\n').length - 1,
    namespaces: places.filter((place) => place.startsWith('net:') && place !== own),
  }
}
