/** Bodies on stdin that are too deep, too big, or no JSON at all. */
import { plain } from './hostile-picked.ts'

export interface Body {
  what: string
  codes: readonly number[]
  stdin: string | Buffer
}

/** Bodies that are too much of something; success is right where the excess is in an unknown key. */
export function bodies(): Body[] {
  const close = (inside: string) => JSON.stringify(plain()).replace(/}$/, `,${inside}}`)
  const deep = (open: string, shut: string) => `${open.repeat(100_000)}1${shut.repeat(100_000)}`
  const big = 'x'.repeat(10 << 20)
  const any = [5, 6, 7]
  return [
    { what: 'a list 100,000 deep in an unknown key', codes: any, stdin: close(`"x":${deep('[', ']')}`) },
    {
      what: 'an object 100,000 deep in an unknown key',
      codes: any,
      stdin: close(`"x":${deep('{"a":', '}')}`),
    },
    ...['addresses', 'peer', 'link', 'args', 'runtimeConfig', 'prevResult', 'sysctl', 'ipam'].map((key) => ({
      what: `${key} 100,000 deep`,
      codes: any,
      stdin: close(`"${key}":${deep('{"a":', '}')}`),
    })),
    { what: 'nothing but 100,000 brackets', codes: [6], stdin: '['.repeat(100_000) },
    { what: '10 MB in an unknown key', codes: any, stdin: close(`"x":"${big}"`) },
    { what: '10 MB of network name', codes: any, stdin: JSON.stringify(plain({ name: `${big}/` })) },
    {
      what: '10 MB of spaces before the netconf',
      codes: any,
      stdin: `${' '.repeat(10 << 20)}${JSON.stringify(plain())}`,
    },
    { what: '10 MB of garbage', codes: [6], stdin: big },
    { what: '10 MB of zeros', codes: [6], stdin: Buffer.alloc(10 << 20) },
    { what: 'broken UTF-8', codes: [6, 7], stdin: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]) },
    {
      what: '100,000 addresses',
      codes: [6, 7],
      stdin: JSON.stringify(plain({ addresses: Array(100_000).fill({}) })),
    },
    { what: 'two netconfs', codes: [6], stdin: JSON.stringify(plain()) + JSON.stringify(plain()) },
    { what: 'a byte order mark', codes: [6], stdin: `\ufeff${JSON.stringify(plain())}` },
  ]
}
