/**
 * The handful of libc calls that Node does not offer. Everything else in nugator is TypeScript.
 *
 * Constants are those of Linux on every architecture with the generic ABI (x86-64, arm64, riscv64, loong64).
 */
import { constants as os } from 'node:os'
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

export const AF_UNIX = 1
export const AF_NETLINK = 16
export const SOCK_RAW = 3
export const SOCK_DGRAM = 2
export const SOCK_CLOEXEC = 0o2000000
export const SOCK_NONBLOCK = 0o4000
export const SOL_SOCKET = 1
export const CLONE_NEWNET = 0x40000000

// The program itself is linked to libc, glibc or musl: its own symbols are the portable way to it.
const libc = koffi.load(null)

const c = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  unshare: libc.func('int unshare(int flags)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, void *value, uint32 length)'),
  flock: libc.func('int flock(int fd, int operation)'),
  fcntl: libc.func('int fcntl(int fd, int command, void *argument)'),
  mount: libc.func('int mount(str source, str target, str type, ulong flags, void *data)'),
  umount2: libc.func('int umount2(str target, int flags)'),
  recv: libc.func('long recv(int fd, void *buffer, ulong length, int flags)'),
  bind: libc.func('int bind(int fd, void *address, uint32 length)'),
  sendto: libc.func('long sendto(int fd, void *data, ulong length, int flags, void *to, uint32 tolen)'),
  getrandom: libc.func('long getrandom(void *buffer, ulong length, uint32 flags)'),
  clock_gettime: libc.func('int clock_gettime(int clock, void *time)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, void *argument)'),
}

const malloc_trim = optional('int malloc_trim(ulong pad)')

/** A function that not every libc has. */
function optional(prototype: string): ((...args: unknown[]) => unknown) | undefined {
  try {
    return libc.func(prototype)
  } catch {
    return undefined
  }
}

/** A failed system call: which one, on what, and the kernel's errno by name (`EPERM`). */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError'
  readonly call: string
  readonly code: string

  constructor(call: string, errno: number) {
    const code = errnoName(errno)
    super(`${call}: ${errnoText(code)}`)
    this.call = call
    this.code = code
  }
}

/** The symbolic name of a positive errno, or `E<number>` for one Node does not know. */
export function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `E${errno}`
  }
}

const errnoWords: Readonly<Record<string, string>> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EEXIST: 'already exists',
  ENODEV: 'no such device',
  EINVAL: 'invalid argument',
  EBUSY: 'busy',
  ESRCH: 'no such process or entry',
  ENETUNREACH: 'network is unreachable',
  EADDRNOTAVAIL: 'address not available',
  EOPNOTSUPP: 'not supported by this kernel',
  ENOPROTOOPT: 'not known to this kernel',
  ENOTSUP: 'not supported by this kernel',
  ERANGE: 'out of range',
  ENETDOWN: 'the interface is down',
}

/** `EPERM (operation not permitted)`: the name with the words a person reads. */
export function errnoText(code: string): string {
  const words = errnoWords[code]
  return words === undefined ? code : `${code} (${words})`
}

function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno())
  return result
}

/** socket(2). @returns a file descriptor that the caller closes. */
export function socket(domain: number, type: number, protocol: number): number {
  return check('socket', c.socket(domain, type, protocol))
}

/** setns(2) to a network namespace: moves the *calling thread* only. */
export function setns(fd: number): void {
  check('setns', c.setns(fd, CLONE_NEWNET))
}

/** unshare(2) of the network namespace: moves the *calling thread* into a new one. */
export function unshareNet(): void {
  check('unshare', c.unshare(CLONE_NEWNET))
}

/** An unsigned 64-bit socket option, such as SO_NETNS_COOKIE. */
export function getsockoptU64(fd: number, level: number, name: number): bigint {
  const value = Buffer.alloc(8)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(8)
  check('getsockopt', c.getsockopt(fd, level, name, value, length))
  return value.readBigUInt64LE()
}

export function setsockoptInt(fd: number, level: number, name: number, value: number): void {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32LE(value)
  setsockoptBytes(fd, level, name, buffer)
}

export function setsockoptBytes(fd: number, level: number, name: number, value: Buffer): void {
  check('setsockopt', c.setsockopt(fd, level, name, value, value.length))
}

const SO_PEERCRED = 17

/** Who is at the other end of a Unix socket, as the kernel saw him connect. pid 0: in a namespace not seen from here. */
export function peerCredentials(fd: number): { readonly pid: number; readonly uid: number } {
  const value = Buffer.alloc(12)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(12)
  check('getsockopt', c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length))
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4) }
}

const MSG_PEEK = 2
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

/** True unless the other end of a stream socket has closed it. */
export function isConnected(fd: number): boolean {
  const result = Number(c.recv(fd, Buffer.alloc(1), 1, MSG_PEEK | MSG_DONTWAIT))
  return result > 0 || (result < 0 && koffi.errno() === os.errno.EAGAIN)
}

/** What a socket holds by now. @returns the number of bytes, undefined if there is nothing yet */
export function receiveNow(fd: number, buffer: Buffer): number | undefined {
  const result = Number(c.recv(fd, buffer, buffer.length, MSG_DONTWAIT))
  if (result >= 0) return result
  if (koffi.errno() === os.errno.EAGAIN) return undefined
  throw new SystemCallError('recv', koffi.errno())
}

export function bind(fd: number, address: Buffer): void {
  check('bind', c.bind(fd, address, address.length))
}

/** One datagram to a Unix socket; a name that begins with `@` is abstract. */
export function sendToUnixSocket(fd: number, name: string, text: string): void {
  const address = Buffer.alloc(2 + Buffer.byteLength(name) + (name.startsWith('@') ? 0 : 1))
  address.writeUInt16LE(AF_UNIX)
  address.write(name.replace(/^@/, '\0'), 2)
  const data = Buffer.from(text)
  check('sendto', Number(c.sendto(fd, data, data.length, MSG_NOSIGNAL, address, address.length)))
}

/** Bytes of the kernel's randomness, at most 256: then they are never fewer than asked for. */
export function randomBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  check('getrandom', Number(c.getrandom(bytes, length, 0)))
  return bytes
}

/** A random number from 1 to 65535. */
export function randomGroup(): number {
  return randomBytes(2).readUInt16LE() || randomGroup()
}

/** Gives the heap's free pages back to the kernel; glibc alone has a call for it. */
export function releaseMemory(): void {
  malloc_trim?.(0)
}

const CLOCK_BOOTTIME = 7

/** CLOCK_BOOTTIME in ns: the one clock that all processes of a boot share, suspended or not. */
export function bootTime(): bigint {
  const time = Buffer.alloc(16)
  check('clock_gettime', c.clock_gettime(CLOCK_BOOTTIME, time))
  return time.readBigInt64LE(0) * 1_000_000_000n + time.readBigInt64LE(8)
}

const LOCK_EX = 2
const LOCK_NB = 4

/** flock(2), exclusive, never blocking. @returns false if another descriptor holds the lock. */
export function tryFlock(fd: number): boolean {
  if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const errno = koffi.errno()
  if (errno === os.errno.EWOULDBLOCK || errno === os.errno.EINTR) return false
  throw new SystemCallError('flock', errno)
}

const F_OFD_SETLK = 37
const F_WRLCK = 1
/** struct flock of a 64-bit machine: l_type, l_whence, l_start at 8, l_len at 16, l_pid. */
const FLOCK_LENGTH = 32

/**
 * An open file description lock (fcntl(2)) on one byte, exclusive, never blocking; it goes with the descriptor.
 *
 * @returns false if another descriptor, of whatever process, holds the lock
 */
export function tryLockByte(fd: number, offset: bigint): boolean {
  const lock = Buffer.alloc(FLOCK_LENGTH)
  lock.writeInt16LE(F_WRLCK, 0)
  lock.writeBigInt64LE(offset, 8)
  lock.writeBigInt64LE(1n, 16)
  if (c.fcntl(fd, F_OFD_SETLK, lock) === 0) return true
  const errno = koffi.errno()
  if (errno === os.errno.EAGAIN || errno === os.errno.EACCES || errno === os.errno.EINTR) return false
  throw new SystemCallError('fcntl F_OFD_SETLK', errno)
}

export const MS_BIND = 0x1000
export const MS_REC = 0x4000
export const MS_SHARED = 0x100000

/** mount(2) without data. */
export function mount(source: string, target: string, type: string, flags: number): void {
  check(`mount ${target}`, c.mount(source, target, type, flags, null))
}

const MNT_DETACH = 2

/** umount2(2), lazily, as `ip netns del` does. */
export function unmountLazily(target: string): void {
  check(`umount ${target}`, c.umount2(target, MNT_DETACH))
}

/** ioctl(2) with a pointer argument. @returns what the call returns. */
export function ioctl(fd: number, request: number, argument: Uint8Array | null): number {
  return check('ioctl', c.ioctl(fd, request, argument))
}

/** ioctl(2) whose failure is an answer: the negative errno, without an exception's cost. */
export function tryIoctl(fd: number, request: number, argument: Uint8Array): number {
  const result: number = c.ioctl(fd, request, argument)
  return result < 0 ? -koffi.errno() : result
}

/** The address of a buffer, for structures that hold pointers. The caller keeps the buffer alive. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer)
}
