/** Why `nugator install` or `uninstall` could not do something, and what to do about it. */
export class InstallError extends Error {
  override readonly name = 'InstallError'
  readonly advice: string

  constructor(message: string, advice: string) {
    super(message)
    this.advice = advice
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'only root can write there, and not everywhere (network file systems)',
  EPERM: 'is it immutable (lsattr)?',
  EROFS: 'the file system is read-only: name another directory, for example the bin_dir of your runtime',
  ENOSPC: 'the disk is full: make room and do it again',
  EDQUOT: 'the quota is used up: make room and do it again',
  ENOTDIR: 'a file is where a directory is to be: remove it or name another directory',
  EEXIST: 'a file is where a directory is to be: remove it or name another directory',
  EISDIR: 'a directory is where a file is to be: remove it',
}

/**
 * The error as it is told to people; anything that is not from a file system comes back as it is.
 *
 * @param path what it was about, where the error does not know (a write to a full disk)
 */
export function explained(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const where = 'dest' in error ? error.dest : 'path' in error ? error.path : path
  const advice = ADVICE[String(error.code)]
  if (advice === undefined || where === undefined) return error
  return new InstallError(`${where}: ${error.message.split(',')[0]}`, advice)
}
