import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs'
import { getsockoptU64, SOL_SOCKET } from '../netlink/libc.ts'
import { errorCode, NetlinkSocket } from '../netlink/socket.ts'
import { NetnsError } from './error.ts'
import { inside } from './inside.ts'
import { type NetnsReference, OWN_NETNS, pathOf } from './reference.ts'

const NSFS_MAGIC = 0x6e736673
const PROC_SUPER_MAGIC = 0x9fa0
const SO_NETNS_COOKIE = 71

/** An open network namespace: its descriptor, one netlink socket inside it, and who it is. Close it after use. */
export class Netns {
  /** As the caller wrote it: for messages and CNI's `sandbox`. */
  readonly path: string
  readonly fd: number
  readonly socket: NetlinkSocket
  /** SO_NETNS_COOKIE: unique for this boot, never reused (unlike the inode). */
  readonly cookie: string
  /** True if this process runs in it. */
  readonly isOwn: boolean

  private constructor(path: string, fd: number, isOwn: boolean, isCurrent = isOwn) {
    this.path = path
    this.fd = fd
    this.isOwn = isOwn
    this.socket = isCurrent ? new NetlinkSocket() : inside(fd, () => new NetlinkSocket())
    try {
      this.cookie = readCookie(path, this.socket.fd)
    } catch (error) {
      this.socket.close()
      throw error
    }
  }

  /** @throws NetnsError if the reference does not lead to a network namespace that can be entered. */
  static open(reference: NetnsReference): Netns {
    const path = pathOf(reference)
    const isOwn = reference.kind === 'host'
    const fd = openNamespaceFile(path)
    try {
      return new Netns(path, fd, isOwn)
    } catch (error) {
      closeSync(fd)
      if (error instanceof NetnsError) throw error
      throw cannotEnter(path, error)
    }
  }

  /** The namespace at a path. @throws NetnsError */
  static at(path: string): Netns {
    return Netns.open({ kind: 'path', path })
  }

  /** The calling thread's own namespace: *host* is always where the caller runs. */
  static own(): Netns {
    return Netns.open({ kind: 'host' })
  }

  /** For messages. */
  get label(): string {
    return this.path === OWN_NETNS ? "the host's namespace" : this.path
  }

  /** The namespace that the thread is in at the moment, for use inside another one. */
  static current(): Netns {
    return new Netns(OWN_NETNS, openNamespaceFile(OWN_NETNS), false, true)
  }

  /**
   * The namespace of a descriptor, which is closed with the handle, or at once if this fails.
   *
   * @param path what it is called by the one who opened it; {@link OWN_NETNS} for the one that he runs in
   * @throws NetnsError
   */
  static ofDescriptor(path: string, fd: number): Netns {
    try {
      return new Netns(path, fd, isOwnDescriptor(fd))
    } catch (error) {
      closeSync(fd)
      if (error instanceof NetnsError) throw error
      throw cannotEnter(path, error)
    }
  }

  /** Runs a synchronous function with the thread inside the namespace. */
  inside<T>(fn: () => T extends PromiseLike<unknown> ? never : T): T {
    return this.isOwn ? fn() : inside(this.fd, fn)
  }

  close(): void {
    this.socket.close()
    closeSync(this.fd)
  }
}

/** Where a path can only lead to a namespace or to something harmless to open. */
const NAMESPACE_DIRECTORIES = ['/proc/', '/run/netns/', '/var/run/netns/']

function openNamespaceFile(path: string): number {
  try {
    // Elsewhere it is looked at first: opening a device may set it going.
    if (!NAMESPACE_DIRECTORIES.some((directory) => path.startsWith(directory))) refuseOrdinaryFile(path)
    // Not blocking, should it be a FIFO. Whether it is a namespace is then for setns to say.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    if (error instanceof NetnsError) throw error
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ESRCH') {
      throw new NetnsError('missing', path, 'it does not exist', 'is the container (still) running?')
    }
    throw cannotEnter(path, error)
  }
}

function refuseOrdinaryFile(path: string): void {
  const { type } = statfsSync(path)
  if (type === NSFS_MAGIC || type === PROC_SUPER_MAGIC) return
  const what = `unknown FS magic ${type.toString(16)}: an ordinary file or directory`
  throw new NetnsError(
    'not a namespace',
    path,
    what,
    'give a path such as /run/netns/NAME or /proc/PID/ns/net',
  )
}

function cannotEnter(path: string, error: unknown): NetnsError {
  const code = errorCode(error) ?? 'error'
  if (code === 'EPERM' || code === 'EACCES') {
    return new NetnsError('denied', path, `cannot be entered: ${code}`, 'run as root (CAP_SYS_ADMIN)')
  }
  if (code === 'EINVAL' || code === 'ENXIO') {
    try {
      refuseOrdinaryFile(path)
    } catch (refusal) {
      if (refusal instanceof NetnsError) return refusal
    }
    const advice = 'give its net file, such as /proc/PID/ns/net'
    return new NetnsError('not a namespace', path, 'it is not a network namespace', advice)
  }
  const what = error instanceof Error ? error.message : String(error)
  return new NetnsError('failed', path, what, 'the machine may be short of something: try again')
}

function readCookie(path: string, fd: number): string {
  try {
    return String(getsockoptU64(fd, SOL_SOCKET, SO_NETNS_COOKIE))
  } catch {
    throw new NetnsError(
      'unsupported',
      path,
      'this kernel cannot tell namespaces apart (SO_NETNS_COOKIE)',
      'nugator needs Linux 5.14 or newer: CentOS Stream 9, Debian 12, Ubuntu 22.04',
    )
  }
}

let bootId_: string | undefined

/** This boot's ID: a cookie means something only together with it. */
export function bootId(): string {
  bootId_ ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return bootId_
}

/**
 * The namespace at `path` if it is still the one of this cookie; a recorded path alone proves nothing.
 *
 * @returns undefined only if it is surely gone
 * @throws NetnsError if it cannot be told, for want of descriptors or rights
 */
export function openIfSame(path: string, cookie: string): Netns | undefined {
  if (path === '') return undefined
  let netns: Netns
  try {
    netns = Netns.at(path)
  } catch (error) {
    const gone =
      error instanceof NetnsError && (error.problem === 'missing' || error.problem === 'not a namespace')
    if (gone) return undefined
    throw error
  }
  if (netns.cookie === cookie) return netns
  netns.close()
  return undefined
}

let own: Stats | undefined

function isOwnDescriptor(fd: number): boolean {
  own ??= statSync(OWN_NETNS) // a thread's own namespace never changes
  const other = fstatSync(fd)
  return own.dev === other.dev && own.ino === other.ino
}

/** True if `path` is the namespace the calling thread is in, by device and inode; false if it cannot be read. */
export function isOwnNetns(path: string): boolean {
  try {
    const [own, other] = [statSync(OWN_NETNS), statSync(path)]
    return own.dev === other.dev && own.ino === other.ino
  } catch {
    return false
  }
}
