/**
 * Taking a call over from a client: who he is, and the namespaces he has open. Whoever does not see the same files and
 * processes as the agent does his work himself, for paths and process IDs would mean something else here.
 */
import { closeSync, constants, openSync, readlinkSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { isConnected, peerCredentials } from '../netlink/libc.ts'
import { errorCode } from '../netlink/socket.ts'
import type { CallFrame } from './frame.ts'

/** What the agent holds of its client while it works for him. */
export interface Handover {
  /** Of this process: the namespace that the client runs in, and that of CNI_NETNS. */
  readonly hostFd: number
  readonly containerFd: number | undefined
  /** False as soon as the client is gone. */
  isWaiting(): boolean
  close(): void
}

/** A client may send the number of anything: opening it must not wait for a writer, nor make a terminal ours. */
const GENTLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** Another descriptor of what a process has open. @throws what open(2) says */
export function reopen(process: number | 'self', fd: number): number {
  return openSync(`/proc/${process}/fd/${fd}`, GENTLY)
}

/** The descriptor below a stream of Node's, undefined once it is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}

/** True if root is at the other end. */
export function isRoot(socket: Socket): boolean {
  const fd = descriptorOf(socket)
  return fd !== undefined && peerCredentials(fd).uid === 0
}

/** @returns undefined if the client has to do the work himself */
export function takeOver(socket: Socket, frame: CallFrame): Handover | undefined {
  const fd = descriptorOf(socket)
  if (fd === undefined || namesItself(frame)) return undefined
  const { pid } = peerCredentials(fd)
  const opened: number[] = []
  const close = () => {
    for (const one of opened.splice(0)) closeSync(one)
  }
  try {
    if (pid <= 0 || !seesWhatWeSee(pid)) return undefined
    const open = (number: number): number => {
      const own = reopen(pid, number)
      opened.push(own)
      return own
    }
    const hostFd = open(frame.hostFd)
    const containerFd = frame.containerFd < 0 ? undefined : open(frame.containerFd)
    const isWaiting = () => {
      const now = descriptorOf(socket)
      return now !== undefined && isConnected(now)
    }
    // As long as he is connected he lives, so nobody else can have been given his process ID.
    if (isWaiting()) return { hostFd, containerFd, isWaiting, close }
  } catch (error) {
    if (errorCode(error) === undefined) throw error // ours
  }
  close()
  return undefined
}

/** Of time: a deadline is one of the caller's clock. */
const NAMESPACES = ['mnt', 'pid', 'user', 'time'] as const

interface View {
  readonly root: string
  readonly namespaces: readonly string[]
}

function viewOf(process: string): View {
  const namespaces = NAMESPACES.map((kind) => {
    const { dev, ino } = statSync(`/proc/${process}/ns/${kind}`)
    return `${dev}:${ino}`
  })
  return { root: readlinkSync(`/proc/${process}/root`), namespaces }
}

let ownView: View | undefined

function seesWhatWeSee(pid: number): boolean {
  ownView ??= viewOf('self')
  const view = viewOf(String(pid))
  return view.root === ownView.root && view.namespaces.every((one, at) => one === ownView?.namespaces[at])
}

const RELATIVE_PATH = /"(?:dataDir|resolvConf|daemonSocketPath)"\s*:\s*"[^/"]/

/** /proc/self, /proc/thread-self however they are reached, and /dev/fd, which is the same. */
const ITSELF = /\/(?:thread-)?self(?:\/|")|\/dev\/fd/

/** Paths that mean something only to the process that has them: its working directory, and itself. */
function namesItself({ env, stdin }: CallFrame): boolean {
  const { CNI_PATH = '', NUGATOR_STATE_DIR = '', NUGATOR_RUN_DIR = '' } = env
  const directories = [...CNI_PATH.split(':'), NUGATOR_STATE_DIR, NUGATOR_RUN_DIR]
  if (directories.some((directory) => directory !== '' && !directory.startsWith('/'))) return true
  const conf = unescaped(stdin.toString('latin1'))
  return ITSELF.test(conf) || RELATIVE_PATH.test(conf)
}

/** JSON may write a slash, and any letter, in several ways. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text // no JSON: nothing will be done with it
  }
}
