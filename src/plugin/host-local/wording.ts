/**
 * Go's words for what can go wrong, for host-local's errors reach people and scripts as they are: errno texts,
 * %q, what counts as a space.
 */
import { CniError, Code } from '../../cni/error.ts'

/** What host-local says of itself; its own errors have no other code (skel: ErrInternal). */
export function refusal(msg: string): CniError {
  return new CniError(Code.internal, msg)
}

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EDQUOT: 'disk quota exceeded',
  EEXIST: 'file exists',
  EFBIG: 'file too large',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'file name too long',
  ENFILE: 'too many open files in system',
  ENODEV: 'no such device',
  ENOENT: 'no such file or directory',
  ENOMEM: 'cannot allocate memory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENXIO: 'no such device or address',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ESTALE: 'stale NFS file handle',
}

/** The errno of a failed call by name (`ENOSPC`); EINVAL for what Node refuses before the kernel can (a NUL). */
export function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error
  return error.code.startsWith('ERR_') ? 'EINVAL' : error.code
}

/** The kernel's reason alone, as Go's syscall.Errno prints it. */
export function reasonOf(error: unknown): string {
  const errno = errnoOf(error)
  return ERRNO_WORDS[errno] ?? errno
}

/** `open /x/10.0.0.2: no space left on device`: Go's fs.PathError. */
export function pathRefusal(call: string, path: string, error: unknown): CniError {
  return refusal(`${call} ${path}: ${reasonOf(error)}`)
}

/** unicode.IsSpace, which is not what JavaScript's \s is. */
const SPACE = '[\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
const SPACES = new RegExp(`${SPACE}+`)
const OUTER_SPACES = new RegExp(`^${SPACE}+|${SPACE}+$`, 'g')

const isPlain = (code: number) => code > 0x20 && code < 0x7f

/** strings.TrimSpace */
export function trimSpace(text: string): string {
  if (text === '' || (isPlain(text.charCodeAt(0)) && isPlain(text.charCodeAt(text.length - 1)))) return text
  return text.replace(OUTER_SPACES, '')
}

/** strings.Fields */
export function fields(text: string): string[] {
  return text.split(SPACES).filter((field) => field !== '')
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
}

/** strconv.Quote, which is %q */
export function quote(text: string): string {
  const inner = Array.from(text, (char) => {
    const short = ESCAPES[char]
    if (short !== undefined) return short
    if (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char)) return char
    const code = char.codePointAt(0) ?? 0
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`
    if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`
    return `\\U${code.toString(16).padStart(8, '0')}`
  })
  return `"${inner.join('')}"`
}
