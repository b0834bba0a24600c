/** What `nugator install` put where, in nugator.d/installed.json: what `uninstall` and the next `install` go by. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as z from 'zod/mini'
import type { WantedFile } from './install-files.ts'

const schema = z.object({
  /** Of nugator. */
  version: z.string(),
  /** False until all files are in place. */
  complete: z.boolean(),
  /** Where the systemd units are, if they were asked for. */
  unitDir: z.optional(z.string()),
  /** Whatever needs another comes after it; the hashes (SHA-256) are those of our versions of it. */
  files: z.array(z.object({ path: z.string(), hashes: z.array(z.string()) })),
  /** Those that were made for the files. */
  directories: z.array(z.string()),
})

export type Manifest = z.infer<typeof schema>

export function manifestPath(binDir: string): string {
  return join(binDir, 'nugator.d/installed.json')
}

/** True for the client and all in nugator.d; the rest is elsewhere on the host. */
export function isPart(path: string, binDir: string): boolean {
  return path === join(binDir, 'nugator') || path.startsWith(join(binDir, 'nugator.d/'))
}

/** @returns undefined if there is none, 'damaged' if it cannot be read */
export function readManifest(binDir: string): Manifest | 'damaged' | undefined {
  let text: string
  try {
    text = readFileSync(manifestPath(binDir), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code))) {
      return undefined
    }
    throw error
  }
  try {
    return z.parse(schema, JSON.parse(text))
  } catch {
    return 'damaged'
  }
}

export function manifestFile(binDir: string, manifest: Manifest): WantedFile {
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`
  return { path: manifestPath(binDir), bytes: Buffer.from(text), mode: 0o644 }
}

/** Every directory in which an install may have begun to write a file. */
export function placesOf(manifest: Manifest | undefined, binDir: string): Set<string> {
  const own = manifestPath(binDir)
  return new Set(
    [own, join(binDir, 'nugator'), ...(manifest?.files ?? []).map(({ path }) => path)].map((path) =>
      dirname(path),
    ),
  )
}
