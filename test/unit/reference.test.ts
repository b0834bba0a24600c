import { test } from 'tap'
import { parseReference, pathOf } from '../../src/netns/reference.ts'

test('every form of a namespace reference', async (t) => {
  const cases: Record<string, string> = {
    host: '/proc/thread-self/ns/net',
    '/run/netns/db': '/run/netns/db',
    db: '/run/netns/db',
    'netns:db': '/run/netns/db',
    'netns:/proc/1/ns/net': '/proc/1/ns/net',
    'pid:17': '/proc/17/ns/net',
  }
  for (const [text, path] of Object.entries(cases)) t.equal(pathOf(parseReference(text)), path, text)
})

test('what is no reference is refused, nothing above all', async (t) => {
  for (const text of ['', 'netns:', 'pid:0', 'pid:-1', 'pid:1x', 'pid:', 'docker:web', '..', 'a/b', 'x\0y']) {
    t.throws(
      () => parseReference(text),
      { name: 'NetnsError', problem: 'bad reference' },
      JSON.stringify(text),
    )
  }
})

test('the error says what was given and what to do', async (t) => {
  t.throws(() => parseReference('pid:zero'), { message: /"pid:zero"/, advice: /no process/ })
})
