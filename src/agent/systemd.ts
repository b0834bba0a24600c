/** What systemd asks of a service: sockets that it hands over, and to be told when the service is ready. */
import { closeSync } from 'node:fs'
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, sendToUnixSocket, socket } from '../netlink/libc.ts'

/** sd_listen_fds(3): the first one. */
const LISTEN_FDS_START = 3

/** The listening socket that systemd opened for us, undefined if it did not. */
export function activatedSocket(env: NodeJS.ProcessEnv): number | undefined {
  const { LISTEN_PID, LISTEN_FDS } = env
  if (LISTEN_PID !== String(process.pid) || !(Number(LISTEN_FDS) >= 1)) return undefined
  return LISTEN_FDS_START
}

/** sd_notify(3); nothing where nobody wants to know, or nobody listens. */
export function notify(env: NodeJS.ProcessEnv, state: string): void {
  const name = env.NOTIFY_SOCKET
  if (!name) return
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  try {
    sendToUnixSocket(fd, name, state)
  } catch {
    // Whether anybody is told makes no difference to those who call.
  } finally {
    closeSync(fd)
  }
}
