/** The bench's C programs, compiled when their source is newer. */
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './ground.ts'

const OUT = join(import.meta.dirname, 'out')

/** Path of the executable of bench/NAME.c. */
export function compiled(name: string): string {
  const source = join(import.meta.dirname, `${name}.c`)
  const program = join(OUT, name)
  const made = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (made >= statSync(source).mtimeMs) return program
  mkdirSync(OUT, { recursive: true })
  run('cc', ['-O2', '-pthread', '-o', program, source])
  return program
}
