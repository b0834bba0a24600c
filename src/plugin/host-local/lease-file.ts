/** Making a lease's file, whole or not at all. */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { step } from '../../netlink/steps.ts'
import { errnoOf, pathRefusal } from './wording.ts'

/**
 * The lease is written under this name and linked to its own, for one without its content, which a process killed
 * between creating and writing leaves, could never be released. A draft left behind is in nobody's way: it is no address,
 * its owner's DEL takes it like any file that says so, and so does the next ADD of ours.
 */
const DRAFT = '.nugator'

/**
 * @param name the address
 * @returns false if there is something of this name
 * @throws CniError (internal) in host-local's words
 */
export function createLease(directory: string, name: string, content: string): boolean {
  const path = `${directory}/${name}`
  // Before anything is tried that a full or read-only disk would refuse.
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return false
  const draft = `${directory}/${DRAFT}`
  let isDrafted = write(draft, path, content)
  if (!isDrafted) {
    discard(draft) // a killed process's; not to be written over, for it may be a lease's second name
    isDrafted = write(draft, path, content)
  }
  return (isDrafted ? link(draft, path) : undefined) ?? write(path, path, content)
}

/** @returns undefined if that cannot be done here: not every file system has links, and tmpfs counts them */
function link(draft: string, path: string): boolean | undefined {
  step()
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    return errnoOf(error) === 'EEXIST' ? false : undefined
  } finally {
    discard(draft)
  }
}

const { O_CREAT, O_EXCL, O_NONBLOCK, O_WRONLY } = constants

/**
 * @param shown the path that errors name
 * @returns false if there is something of this name
 */
function write(path: string, shown: string, content: string): boolean {
  step()
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o644)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw pathRefusal('open', shown, error)
  }
  try {
    step()
    writeFileSync(fd, content)
    return true
  } catch (error) {
    discard(path)
    throw pathRefusal('write', shown, error)
  } finally {
    closeSync(fd)
  }
}

function discard(path: string): void {
  step()
  try {
    unlinkSync(path)
  } catch {
    // then it is left behind: what it was for is done, or the first error says more
  }
}

/**
 * Replaces what a file says, in place: to empty it first, as the real one does, makes ext4 write to disk at once. Killed
 * between the two a cursor may say something else, and the round robin goes on from elsewhere.
 *
 * @throws CniError (internal)
 */
export function writeOver(path: string, content: string): void {
  step()
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_NONBLOCK, 0o644)
  } catch (error) {
    throw pathRefusal('open', path, error)
  }
  try {
    const { size } = fstatSync(fd)
    writeFileSync(fd, content)
    if (size > content.length) ftruncateSync(fd, content.length)
  } catch (error) {
    throw pathRefusal('write', path, error)
  } finally {
    closeSync(fd)
  }
}
