/** The rooms of src/ import each other only as DESIGN.md orders them; and the checker itself sees what it should. */
import { resolve } from 'node:path'
import t, { test } from 'tap'
import { checkLayers, circles, importsOf, readSources } from '../../scripts/layers.ts'

const SRC = resolve(import.meta.dirname, '../../src')

/** The violations that a planted tree has; paths below src. */
function violations(files: Record<string, string>): string[] {
  return checkLayers(new Map(Object.entries(files)))
}

test('src keeps the layers', async (t) => {
  const sources = readSources(SRC)
  t.ok(sources.size > 0, 'there are sources')
  t.same(checkLayers(sources), [], 'no violation')
})

test('every room is checked in both directions', async (t) => {
  const order = ['netlink', 'netns', 'koko', 'plugin', 'agent', 'cli']
  for (const [at, room] of order.entries()) {
    for (const higher of order.slice(at + 1)) {
      const found = violations({
        [`${room}/a.ts`]: `import { b } from '../${higher}/b.ts'\n`,
        [`${higher}/b.ts`]: '',
      })
      t.match(found, [`src/${room}/a.ts: imports ../${higher}/b.ts`], `${room} must not import ${higher}`)
    }
  }
  for (const room of ['netlink', 'netns', 'koko', 'plugin', 'lab', 'agent'])
    t.equal(violations({ 'cni/a.ts': `import '../${room}/b.ts'` }).length, 1, `cni must not import ${room}`)
  t.equal(violations({ 'lab/a.ts': "import '../plugin/b.ts'" }).length, 1, 'lab must not import plugin')
  t.equal(violations({ 'lab/a.ts': "import '../cni/b.ts'" }).length, 1, 'lab must not import cni')
  t.equal(violations({ 'cli/a.ts': "import '../netlink/b.ts'" }).length, 1, 'cli must not import netlink')
})

test('what is allowed passes', async (t) => {
  t.same(
    violations({
      'netlink/message.ts': "import { readSync } from 'node:fs'\nimport koffi from 'koffi'",
      'netns/inside.ts': "import { libc } from '../netlink/libc.ts'\nimport { x } from './deep/x.ts'",
      'netns/deep/x.ts': "import { y } from '../y.ts'",
      'netns/y.ts': '',
      'cni/exec.ts': "import { execa } from 'execa'\nimport { spawn } from 'node:child_process'",
      'plugin/add.ts': "import { a } from '../cni/exec.ts'\nimport type { b } from '../koko/plan.ts'",
      'koko/plan.ts': "import { c } from '../netns/inside.ts'",
      'cli/main.ts': "import('../plugin/add.ts')",
    }),
    [],
  )
})

test('every form of import is seen', async (t) => {
  const text = [
    "import a from './a.ts'",
    "import type { B } from './b.ts'",
    'import {',
    '  c,',
    '  type C,',
    "} from './c.ts'",
    "export * from './d.ts'",
    "export { e } from './e.ts'",
    "import './f.ts'",
    "const g = await import('./g.ts')",
    "type H = import('./h.ts').H",
    "const i = require('./i.ts')",
    "// import x from './x.ts'",
    "/** import y from './y.ts' */",
    " * await import('./z.ts')",
  ]
  const found = importsOf(text.join('\n')).sort()
  t.same(
    found,
    [...'abcdefghi'].map((name) => `./${name}.ts`),
  )
})

test('circles are found, also through types and several files', async (t) => {
  t.match(violations({ 'cni/a.ts': "import './b.ts'", 'cni/b.ts': "import type { A } from './a.ts'" }), [
    'circle: src/cni/a.ts → src/cni/b.ts → src/cni/a.ts',
  ])
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['a']],
    ['d', ['d']],
  ])
  t.same(circles(graph), [['a', 'b', 'c'], ['d']])
})

t.test('other planted violations', async (t) => {
  const planted: [string, Record<string, string>, RegExp][] = [
    [
      'a program started by the engine',
      { 'koko/a.ts': "import { spawn } from 'node:child_process'" },
      /start programs/,
    ],
    ['without the node: prefix', { 'cli/a.ts': "import { spawn } from 'child_process'" }, /start programs/],
    ['execa in the engine', { 'netns/a.ts': "import { execa } from 'execa'" }, /starts no programs/],
    ['out of src', { 'cli/a.ts': "import '../../scripts/build.ts'" }, /outside src/],
    ['a room of its own', { 'misc/a.ts': '' }, /not a room/],
    ['no room', { 'a.ts': '' }, /in no room/],
    ['utils', { 'koko/utils.ts': '' }, /says nothing/],
    ['a helpers directory', { 'koko/helpers/x.ts': '' }, /says nothing/],
    ['common', { 'koko/common.ts': '' }, /says nothing/],
    ['manager', { 'koko/manager.ts': '' }, /says nothing/],
  ]
  for (const [name, files, message] of planted) {
    const found = violations(files)
    t.equal(found.length, 1, `${name}: one violation`)
    t.match(found[0], message, name)
  }
})
