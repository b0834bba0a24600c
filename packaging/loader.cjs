// Starts a runtime's call or a person's command, each a bundle of its own (call.js, shell.js), with the bytecode that V8
// made of it at build time (call.cache, …): that saves about a quarter of a start. V8 refuses a cache of another version
// of itself and compiles; it does not notice another bundle of the same length, so the bundle's last line and the cache's
// first bytes are the same digest.
'use strict'
const { readFileSync } = require('node:fs')
const { Script } = require('node:vm')

const name = !process.env.CNI_COMMAND && process.argv.length > 2 ? 'shell' : 'call'
const file = `${__dirname}/${name}.js`
const source = readFileSync(file, 'latin1') // esbuild escapes what is not ASCII
let cachedData
try {
  const cache = readFileSync(`${__dirname}/${name}.cache`)
  if (source.endsWith(`//${cache.latin1Slice(0, 16)}\n`)) cachedData = cache.subarray(16)
} catch {
  // without a cache it only takes longer
}
new Script(source, { filename: file, cachedData }).runInThisContext()(
  exports,
  require,
  module,
  file,
  __dirname,
)
