/** What is installed: the program that runs, as the build made it. */
import { lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { InstallError } from './install-error.ts'
import type { WantedFile } from './install-files.ts'

export interface Source {
  /** The directory that holds nugator and nugator.d. */
  readonly directory: string
  /** Paths below it. */
  readonly files: readonly string[]
  /** No C compiler was there when it was built. */
  readonly clientIsScript: boolean
}

/** Without these it does nothing. */
const ESSENTIAL = ['cold', 'nugator.cjs', 'call.js', 'shell.js', 'koffi.node'].map(
  (name) => `nugator.d/${name}`,
)
/** Written by an install, or by a build that is under way. */
const NOT_PART = /(^|\/)(installed\.json|\..*\.nugator-new|.*\.tmp)$/

/** @param script what Node was told to run: nugator.d/nugator.cjs of a build */
export function sourceOf(script = process.argv[1] ?? ''): Source {
  if (basename(script) !== 'nugator.cjs') {
    throw new InstallError(
      'run from source there is nothing to install',
      'npm run build; dist/bin/nugator install',
    )
  }
  const beside = realpathSync(dirname(script))
  const directory = dirname(beside)
  const names = readdirSync(beside, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .filter((path) => !NOT_PART.test(path))
    .sort()
  const files = [...names, 'nugator']
  const lacking =
    ESSENTIAL.find((path) => !names.includes(path)) ?? (isFile(directory, 'nugator') ? undefined : 'nugator')
  if (lacking !== undefined) {
    throw new InstallError(
      `${directory} is not a whole nugator: ${lacking} is missing`,
      'build it again: npm run build',
    )
  }
  return {
    directory,
    files,
    clientIsScript: readFileSync(join(directory, 'nugator')).subarray(0, 2).equals(Buffer.from('#!')),
  }
}

function isFile(directory: string, name: string): boolean {
  return lstatSync(join(directory, name), { throwIfNoEntry: false })?.isFile() ?? false
}

/** The files of a source as they shall be in a bin directory. */
export function programFiles({ directory, files }: Source, binDir: string): WantedFile[] {
  return files.map((path) => {
    const from = join(directory, path)
    const executable = (lstatSync(from).mode & 0o100) !== 0
    return { path: join(binDir, path), bytes: readFileSync(from), mode: executable ? 0o755 : 0o644 }
  })
}
