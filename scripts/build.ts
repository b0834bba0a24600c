/**
 * Builds the plugin: dist/bin/nugator (the client; where there is no C compiler the launcher) and, beside it,
 * nugator.d with the launcher, the bundle, its bytecode, the native part of koffi and the licences of what is
 * bundled. Both can be copied or linked into a CNI bin directory.
 *
 *   node scripts/build.ts [--out DIR]
 */
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type BuildResult, build, type Plugin } from 'esbuild'
import { bytecode, compilable, recordedCall, recordedCommand } from './bytecode.ts'
import { compileClient } from './client.ts'
import { checkLayers, readSources } from './layers.ts'
import { licences } from './licences.ts'

const ROOT = resolve(import.meta.dirname, '..')
/** koffi's loader looks for its binary in node_modules; ours is beside the bundle, and nothing else is needed. */
const koffiBeside: Plugin = {
  name: 'koffi-beside',
  setup(build) {
    build.onResolve({ filter: /^koffi$/ }, () => ({ path: 'koffi', namespace: 'koffi-beside' }))
    build.onLoad({ filter: /.*/, namespace: 'koffi-beside' }, () => ({
      contents: "module.exports = require('./koffi.node')",
      loader: 'js',
    }))
    build.onResolve({ filter: /^\.\/koffi\.node$/, namespace: 'koffi-beside' }, (args) => ({
      path: args.path,
      external: true,
    }))
  },
}

/** Of netlink only the encoders are ours to use; an import of its index or sockets would need its binary. */
const netlinkPure: Plugin = {
  name: 'netlink-pure',
  setup(build) {
    build.onResolve({ filter: /^node-gyp-build$/ }, (args) => ({
      errors: [
        {
          text: `${relative(ROOT, args.importer)} loads a native part; import netlink/dist/rt/structs.js and its like, not netlink itself`,
        },
      ],
    }))
  },
}

function koffiBinary(): string {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const libc = report.header?.glibcVersionRuntime === undefined ? 'musl' : 'linux'
  const path = join(
    ROOT,
    `node_modules/@koromix/koffi-linux-${process.arch}/${libc}_${process.arch}/koffi.node`,
  )
  if (!existsSync(path)) throw new Error(`koffi has no binary for this machine: ${path} is missing`)
  return path
}

/** What the program consists of, each by what is recorded of it: packaging/loader.cjs starts one of them. */
const BUNDLES = { call: recordedCall, shell: recordedCommand } as const

/** Quotes for sh. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function launcher(): string {
  return readFileSync(join(ROOT, 'packaging/launcher.sh'), 'utf8').replaceAll(
    '@NODE@',
    quoted(process.execPath),
  )
}

const written = new Set<string>()

/** Written beside and renamed: a plugin that starts meanwhile sees the old file or the new one. */
function put(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  const beside = `${path}.${process.pid}.tmp`
  writeFileSync(beside, content)
  chmodSync(beside, mode)
  renameSync(beside, path)
  written.add(path)
}

/** What an older build left would be installed, too. */
function removeOthers(dir: string): void {
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !written.has(path) && !path.endsWith('.tmp')) rmSync(path, { force: true })
  }
}

async function bundle(entry: string, version: string): Promise<BuildResult> {
  return await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: join(ROOT, 'nugator.cjs'), // never written there: it only names the output
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node22',
    format: 'cjs',
    minify: true,
    keepNames: true,
    legalComments: 'external',
    metafile: true,
    supported: { 'dynamic-import': false }, // all in one file: import() is a require there
    define: { __NUGATOR_VERSION__: JSON.stringify(version) },
    plugins: [koffiBeside, netlinkPure],
    logLevel: 'warning',
  })
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { out: { type: 'string' } } })
  const started = new Date()
  const out = resolve(values.out ?? join(ROOT, 'dist'))
  const problems = checkLayers(readSources(join(ROOT, 'src')))
  if (problems.length > 0) {
    for (const problem of problems) console.error(problem)
    return 1
  }
  const about = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const beside = join(out, 'bin/nugator.d')
  put(join(beside, 'koffi.node'), readFileSync(koffiBinary()))
  const results: BuildResult[] = []
  for (const [name, recording] of Object.entries(BUNDLES)) {
    const result = await bundle(join(ROOT, `src/cli/${name}.ts`), about.version)
    results.push(result)
    const code = result.outputFiles?.find((file) => file.path.endsWith('.cjs'))
    if (code === undefined) throw new Error(`esbuild gave no bundle of ${name}`)
    const { source, digest } = compilable(code.text)
    const cache = bytecode(source, beside, recording)
    if (cache === undefined) rmSync(join(beside, `${name}.cache`), { force: true })
    else put(join(beside, `${name}.cache`), Buffer.concat([Buffer.from(digest), cache]))
    put(join(beside, `${name}.js`), source)
  }
  const client = compileClient(ROOT)
  put(join(beside, 'LICENSES.txt'), `${licences(ROOT, results)}${client.licence}`)
  put(join(beside, 'nugator.cjs'), readFileSync(join(ROOT, 'packaging/loader.cjs')))
  put(join(beside, 'cold'), launcher(), 0o755)
  // What `nugator install` puts elsewhere on a host.
  const packaging = join(ROOT, 'packaging')
  for (const name of globSync('*.{service,socket,link,network,conf,conflist}', { cwd: packaging }))
    put(join(beside, 'host', name), readFileSync(join(packaging, name)))
  put(join(out, 'bin/nugator'), client.program ?? launcher(), 0o755)
  if (client.program === undefined) {
    console.error(`build: bin/nugator is a script, which starts a Node.js for every call: ${client.why}`)
  }
  removeOthers(beside)
  // For packaging/setup.sh: which tree this is, by which compiler, and up to when its sources were read.
  put(join(out, '.built'), `${ROOT}\n${client.compiler}\n`)
  utimesSync(join(out, '.built'), started, started)
  return 0
}

process.exitCode = await main().catch((error: unknown) => {
  // esbuild has printed its own errors already
  if (!(error instanceof Error && 'errors' in error)) console.error(error)
  return 1
})
