/**
 * Records on disk: what was begun, before the first change, and what stands, after the last. File names are
 * hashes. No fsync: after a crash of the machine the wires are gone as well, and a damaged record is survivable.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorCode } from '../netlink/socket.ts'
import { step } from '../netlink/steps.ts'
import { WireError } from './error.ts'

const SUFFIX = '.json'
const TEMPORARY = '.new'

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

  /** Writes a record that must not exist yet (O_EXCL). */
  create(key: string, record: T): void {
    const file = this.#file(key)
    this.#guard(file, () => {
      step()
      writeFileSync(file, JSON.stringify(record), { mode: 0o600, flag: 'wx' })
    })
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
    let text: string
    try {
      text = readFileSync(this.#file(key), 'utf8')
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
    rmSync(file + TEMPORARY, { force: true })
    rmSync(file, { force: true })
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
  #guard(file: string, write: () => void): void {
    try {
      const own = dirname(this.directory)
      mkdirSync(dirname(own), { recursive: true }) // not ours: left to the umask
      mkdirSync(this.directory, { recursive: true, mode: 0o700 })
      write()
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      // What a full disk took of it. An existing one (EEXIST) is not ours to remove.
      if (errorCode(error) !== 'EEXIST') rmSync(file, { force: true })
      throw new WireError(
        'failed',
        `cannot write the record in ${this.directory}: ${what}`,
        'is it writable?',
      )
    }
  }
}
