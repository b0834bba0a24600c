/** Named namespaces, the same ones that `ip netns` makes, shows and deletes (iproute2, ip/ipnetns.c). */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { MS_BIND, MS_REC, MS_SHARED, mount, SystemCallError, unmountLazily } from '../netlink/libc.ts'
import { getLinkByName, setLink } from '../netlink/link.ts'
import { errorCode } from '../netlink/socket.ts'
import { NetnsError } from './error.ts'
import { insideNew } from './inside.ts'
import { Netns } from './netns.ts'
import { checkNetnsName, NETNS_DIRECTORY, OWN_NETNS } from './reference.ts'

const NSFS_MAGIC = 0x6e736673

/**
 * Makes a namespace called `name` and brings its `lo` up.
 *
 * @throws NetnsError if the name is taken or not allowed, or root's rights are missing
 */
export function createNetns(name: string): void {
  checkNetnsName(name, name)
  const file = `${NETNS_DIRECTORY}/${name}`
  shareDirectory(name)
  try {
    closeSync(openSync(file, 'wx', 0o444))
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw denied(name, error)
    throw new NetnsError('bad reference', name, 'a namespace of this name exists', 'choose another name')
  }
  try {
    insideNew(() => mount(OWN_NETNS, file, 'none', MS_BIND))
    const netns = Netns.at(file)
    try {
      const [lo] = netns.socket.request(getLinkByName('lo'))
      if (lo !== undefined) netns.socket.request(setLink(lo.index, { up: true }, 'lo'))
    } finally {
      netns.close()
    }
  } catch (error) {
    rmSync(file, { force: true })
    throw denied(name, error)
  }
}

/** Unmounts and removes the name; the namespace itself ends when nothing else holds it. @throws NetnsError */
export function deleteNetns(name: string): void {
  checkNetnsName(name, name)
  const file = `${NETNS_DIRECTORY}/${name}`
  if (!existsSync(file)) {
    throw new NetnsError('missing', name, 'it does not exist', '`ip netns list` shows what there is')
  }
  try {
    unmountLazily(file)
  } catch (error) {
    // EINVAL: a left-over file that nothing is mounted on; removing it is what `ip netns del` does, too.
    if (errorCode(error) !== 'EINVAL') throw denied(name, error)
  }
  rmSync(file, { force: true })
}

/** The names, sorted; files in the directory that are no namespaces are left out. */
export function listNetns(): string[] {
  if (!existsSync(NETNS_DIRECTORY)) return []
  return readdirSync(NETNS_DIRECTORY).filter(isNamespace).sort()
}

function isNamespace(name: string): boolean {
  try {
    return statfsSync(`${NETNS_DIRECTORY}/${name}`).type === NSFS_MAGIC
  } catch {
    return false
  }
}

/** Mounts made in the directory must reach other mount namespaces, or `ip netns del` elsewhere cannot free them. */
function shareDirectory(name: string): void {
  mkdirSync(NETNS_DIRECTORY, { recursive: true, mode: 0o755 })
  try {
    mount('', NETNS_DIRECTORY, 'none', MS_SHARED | MS_REC)
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== 'EINVAL') throw denied(name, error)
    mount(NETNS_DIRECTORY, NETNS_DIRECTORY, 'none', MS_BIND | MS_REC)
    mount('', NETNS_DIRECTORY, 'none', MS_SHARED | MS_REC)
  }
}

function denied(name: string, error: unknown): Error {
  if (error instanceof NetnsError) return error
  const what = error instanceof Error ? error.message : String(error)
  return new NetnsError('denied', name, what, 'run as root')
}
