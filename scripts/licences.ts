/** The licences of everything that is in the bundles, in one text. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { BuildResult } from 'esbuild'

/** The directories of the packages that went into the bundle. */
function bundledPackages(root: string, results: readonly BuildResult[]): Map<string, string> {
  const packages = new Map<string, string>([['koffi', join(root, 'node_modules/koffi')]])
  for (const input of results.flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}))) {
    const match = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(input)
    if (match?.[1] !== undefined && match[2] !== undefined) packages.set(match[2], resolve(root, match[1]))
  }
  return new Map([...packages].sort(([a], [b]) => a.localeCompare(b)))
}

export function licences(root: string, results: readonly BuildResult[]): string {
  const parts = ['nugator is licensed under the Apache License 2.0. It includes the following packages.\n']
  for (const [name, dir] of bundledPackages(root, results)) {
    const about = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, unknown>
    const file = ['LICENSE', 'LICENSE.txt', 'LICENSE.md', 'license', 'LICENCE', 'license.md']
      .map((name) => join(dir, name))
      .find((path) => existsSync(path))
    const text = file === undefined ? `Licence: ${about.license}` : readFileSync(file, 'utf8').trim()
    parts.push(`${'='.repeat(78)}\n${name} ${about.version} (${about.license})\n\n${text}\n`)
  }
  const legal = results
    .flatMap(({ outputFiles }) => outputFiles ?? [])
    .map(({ path, text }) => ({ path, text }))
  for (const text of new Set(
    legal.filter(({ path }) => path.endsWith('.LEGAL.txt')).map(({ text }) => text),
  )) {
    if (text.trim() !== '') parts.push(text)
  }
  return parts.join('\n')
}
