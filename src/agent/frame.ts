/**
 * What the native client and the agent say to each other (client/nugator.c has the other half): one request and one
 * answer a connection, numbers in the machine's own byte order, for both are always on the same machine.
 */
export const PROTOCOL = 1

const MAGIC = 'NGAT'
const REQUEST_HEADER = 40
const ANSWER_HEADER = 20
const ENVIRONMENT_MAX = 256 * 1024
const STDIN_MAX = 16 * 1024 * 1024

/** A call as the client hands it over. */
export interface CallFrame {
  /** CLOCK_BOOTTIME in ns: after it nobody waits for the answer any more. */
  readonly deadline: bigint
  /** CLOCK_BOOTTIME in ns. */
  readonly began: bigint
  /** Descriptors in the client: its own network namespace, and that of CNI_NETNS (-1: not opened). */
  readonly hostFd: number
  readonly containerFd: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Buffer
}

/** Thrown for what is no request of this protocol. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/** How many bytes the request has in all; undefined while too few are there to tell. @throws FrameError */
export function frameLength(bytes: Buffer): number | undefined {
  const magic = bytes.subarray(0, 4).toString('latin1')
  if (!MAGIC.startsWith(magic)) throw new FrameError('not a request of the native client')
  if (bytes.length >= 6 && bytes.readUInt16LE(4) !== PROTOCOL) {
    throw new FrameError(`protocol ${bytes.readUInt16LE(4)} is not spoken here, only ${PROTOCOL}`)
  }
  if (bytes.length < REQUEST_HEADER) return undefined
  const [environment, stdin] = [bytes.readUInt32LE(32), bytes.readUInt32LE(36)]
  if (environment > ENVIRONMENT_MAX || stdin > STDIN_MAX) throw new FrameError('a request that is too long')
  return REQUEST_HEADER + environment + stdin
}

/** Reads a whole request. */
export function parseFrame(bytes: Buffer): CallFrame {
  const stdinAt = REQUEST_HEADER + bytes.readUInt32LE(32)
  return {
    deadline: bytes.readBigUInt64LE(8),
    began: bytes.readBigUInt64LE(16),
    hostFd: bytes.readInt32LE(24),
    containerFd: bytes.readInt32LE(28),
    env: parseEnvironment(bytes.toString('utf8', REQUEST_HEADER, stdinAt)),
    stdin: bytes.subarray(stdinAt),
  }
}

/** The first of two equal names counts, as for getenv(3). */
function parseEnvironment(block: string): Record<string, string> {
  const env = new Map<string, string>()
  for (const entry of block.split('\0')) {
    const at = entry.indexOf('=', 1)
    if (at > 0 && !env.has(entry.slice(0, at))) env.set(entry.slice(0, at), entry.slice(at + 1))
  }
  return Object.fromEntries(env)
}

export interface Answer {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export function formatAnswer({ exitCode, stdout, stderr }: Answer): Buffer {
  return answer(0, exitCode, Buffer.from(stdout), Buffer.from(stderr))
}

/** Tells the client that nothing was done, or all undone, and that the work is his. */
export function goCold(): Buffer {
  return answer(1, 0, Buffer.alloc(0), Buffer.alloc(0))
}

function answer(verdict: 0 | 1, exitCode: number, stdout: Buffer, stderr: Buffer): Buffer {
  const header = Buffer.alloc(ANSWER_HEADER)
  header.write(MAGIC, 0, 'latin1')
  header.writeUInt16LE(PROTOCOL, 4)
  header.writeUInt16LE(verdict, 6)
  header.writeInt32LE(exitCode, 8)
  header.writeUInt32LE(stdout.length, 12)
  header.writeUInt32LE(stderr.length, 16)
  return Buffer.concat([header, stdout, stderr])
}
