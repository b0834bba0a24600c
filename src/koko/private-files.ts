/** Files that only root may see. */
import { mkdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorCode } from '../netlink/socket.ts'

/** A directory in one of ours, such as `…/nugator/records`. */
export function makePrivate(directory: string): void {
  mkdirSync(dirname(dirname(directory)), { recursive: true }) // not ours: left to the umask
  mkdirSync(directory, { recursive: true, mode: 0o700 })
}

/** Removes a file if it is there: rmSync asks twice before it does. */
export function removeFile(file: string): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  }
}
