/** Where a program is: a shell looks once and remembers, so the bench does not make anybody look. */
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

const found = new Map<string, string>()

/** The program's path. */
export function program(name: string): string {
  const path = found.get(name) ?? look(name)
  found.set(name, path)
  return path
}

function look(name: string): string {
  for (const dir of [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']) {
    const path = join(dir, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not there
    }
  }
  throw new Error(`${name} is not installed`)
}
