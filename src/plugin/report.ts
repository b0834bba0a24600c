/** The one place where errors become CNI codes. */
import { CniError, Code } from '../cni/error.ts'
import { WireError, type WireProblem } from '../koko/error.ts'
import { NetlinkError } from '../netlink/error.ts'
import { SystemCallError } from '../netlink/libc.ts'
import { NetnsError } from '../netns/error.ts'

const WIRE_CODES: Readonly<Record<WireProblem, number>> = {
  invalid: Code.invalidConfig,
  exists: Code.interfaceExists,
  'link full': Code.linkFull,
  live: Code.alreadyAttached,
  busy: Code.tryAgainLater,
  failed: Code.internal,
}

export function report(error: unknown): CniError {
  if (error instanceof CniError) return error
  if (error instanceof WireError) return new CniError(WIRE_CODES[error.problem], error.message, error.advice)
  if (error instanceof NetnsError) {
    const code = error.problem === 'bad reference' ? Code.invalidConfig : Code.invalidNetns
    return new CniError(code, `failed to open ${error.message}`, error.advice)
  }
  if (error instanceof NetlinkError || error instanceof SystemCallError) {
    const advice = error.code === 'EPERM' || error.code === 'EACCES' ? 'run as root (CAP_NET_ADMIN)' : ''
    return new CniError(Code.internal, error.message, advice)
  }
  if (error instanceof Error) {
    const io = 'code' in error && typeof error.code === 'string' && 'syscall' in error
    return new CniError(io ? Code.io : Code.internal, error.message || error.name)
  }
  return new CniError(Code.internal, String(error))
}

/** Several failures of one clean-up as one: the first one's code, all their messages. */
export function joinErrors(errors: readonly unknown[]): CniError | undefined {
  const [first, ...rest] = errors.map(report)
  if (first === undefined) return undefined
  if (rest.length === 0) return first
  const all = [first, ...rest]
  return new CniError(
    first.code,
    all.map(({ msg }) => msg).join(' / '),
    all
      .map(({ details }) => details)
      .filter((details) => details !== '')
      .join(' / '),
  )
}
