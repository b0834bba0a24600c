/** Which Node.js the installed plugin will run on: only its launcher can say. */
import { execa } from 'execa'
import { InstallError } from './install-error.ts'

const OLDEST = 22
const TIMEOUT_MS = 20_000
/** As a service has it; a runtime may have more. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** One word each: the launcher splits them at spaces. */
const QUESTION = '-p process.execPath+"@"+process.versions.node'

export interface FoundNode {
  readonly path: string
  readonly version: string
}

/**
 * @param cold nugator.d/cold
 * @throws InstallError if it finds none that is new enough
 */
export async function nodeOf(cold: string): Promise<FoundNode> {
  const env = { PATH, NUGATOR_NODE_OPTIONS: QUESTION }
  const done = await execa(cold, {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: TIMEOUT_MS,
  })
  const [, path, version] = /^(.*)@([\d.]+)$/m.exec(done.stdout) ?? []
  if (done.failed || path === undefined || version === undefined) {
    throw new InstallError(
      `${cold} finds no Node.js: ${done.stderr.trim()}`,
      `install one, or add --with-node`,
    )
  }
  if (Number.parseInt(version, 10) < OLDEST) {
    const advice = `install version ${OLDEST} or newer, or add --with-node`
    throw new InstallError(`${cold} would run on ${path}, which is version ${version}`, advice)
  }
  return { path, version }
}

/** Why this Node may be gone one day. */
export function doubtAbout({ path }: FoundNode): string | undefined {
  if (path.includes('/node_modules/')) return 'it is in the tree that nugator was built in, which may go'
  return /^\/(home|root|tmp|var\/tmp)\//.test(path) ? 'it is in a directory that may go' : undefined
}
