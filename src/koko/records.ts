/**
 * Records on disk: what was begun, before the first change, and what stands, after the last. File names are
 * hashes. No fsync: after a crash of the machine the wires are gone as well, and a damaged record is survivable.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { errorCode } from '../netlink/socket.ts'
import { step } from '../netlink/steps.ts'
import { WireError } from './error.ts'
import { makePrivate, removeFile } from './private-files.ts'

const SUFFIX = '.json'
const TEMPORARY = '.new'

/** A record that was begun, and is completed in place: a file less to make on the way of every ADD. */
export interface Draft<T> {
  /** Writes what the record says in the end, and moves it into `directory`. @throws WireError */
  complete(record: T, directory: RecordDirectory<T>): void
  /** Lets go of the file; the record stays what it is. */
  close(): void
}

/** A directory of JSON files, one a key. `parse` throws on anything that is not a whole record. */
export class RecordDirectory<T> {
  readonly directory: string
  readonly #parse: (value: unknown) => T

  constructor(directory: string, parse: (value: unknown) => T) {
    this.directory = directory
    this.#parse = parse
  }

  #file(key: string): string {
    if (!/^[0-9a-f]{64}$/.test(key)) throw new RangeError(`not a record key: ${key}`)
    return `${this.directory}/${key}${SUFFIX}`
  }

  /** Writes a record that must not exist yet (O_EXCL). @throws WireError */
  create(key: string, record: T): Draft<T> {
    const file = this.#file(key)
    const fd = this.#guard(file, () => {
      step()
      const fd = openSync(file, 'wx', 0o600)
      try {
        writeAt0(fd, record)
      } catch (error) {
        closeSync(fd)
        throw error
      }
      return fd
    })
    return {
      complete(complete, directory) {
        const target = directory.#file(key)
        directory.#guard(target, () => {
          step()
          writeAt0(fd, complete)
          step()
          renameSync(file, target)
        })
      },
      close: () => closeSync(fd),
    }
  }

  /** Writes or replaces a record atomically. */
  write(key: string, record: T): void {
    const file = this.#file(key)
    const temporary = file + TEMPORARY
    this.#guard(temporary, () => {
      step()
      writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 })
      step()
      renameSync(temporary, file)
    })
  }

  /** @returns undefined if there is no record, 'damaged' if there is one that cannot be read */
  read(key: string): T | 'damaged' | undefined {
    const file = this.#file(key)
    if (!existsSync(file)) return undefined // an exception takes ten times as long
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      return this.#parse(JSON.parse(text))
    } catch {
      return 'damaged'
    }
  }

  has(key: string): boolean {
    return this.read(key) !== undefined
  }

  /** Removes the record and a half-written successor. */
  remove(key: string): void {
    const file = this.#file(key)
    step()
    removeFile(file + TEMPORARY)
    removeFile(file)
  }

  /** Every key that has a file of any sort. */
  keys(): string[] {
    let names: string[]
    try {
      names = readdirSync(this.directory)
    } catch {
      return []
    }
    const keys = names.map((name) => /^([0-9a-f]{64})\.json(\.new)?$/.exec(name)?.[1])
    return [...new Set(keys.filter((key) => key !== undefined))]
  }

  /** The directory is made on the first write; a failure says which path and what to do. */
  #guard<R>(file: string, write: () => R): R {
    try {
      try {
        return write()
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error
        makePrivate(this.directory)
        return write()
      }
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      // What a full disk took of it. An existing one (EEXIST) is not ours to remove.
      if (errorCode(error) !== 'EEXIST') removeFile(file)
      throw new WireError(
        'failed',
        `cannot write the record in ${this.directory}: ${what}`,
        'is it writable?',
      )
    }
  }
}

/** In one write, which no signal divides. The file may have been longer. */
function writeAt0(fd: number, record: unknown): void {
  const bytes = Buffer.from(JSON.stringify(record))
  if (writeSync(fd, bytes, 0, bytes.length, 0) < bytes.length) throw new Error('no space left for it')
  ftruncateSync(fd, bytes.length)
}
