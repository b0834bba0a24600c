/** What is wrong in the environment is refused before stdin is looked at (conformance 1.2, C04 to C10). */
import t from 'tap'
import type { Refusal } from './rig/cni/answer.ts'
import { netconf } from './rig/cni/conf.ts'
import { type Golden, refuseAll, VERBS } from './rig/cni/golden.ts'
import { newHost } from './rig/host.ts'

const host = newHost(t)
const conf = netconf(host, { cniVersion: '1.1.0' })
const ATTACHING = ['ADD', 'CHECK', 'DEL']
type Env = Record<string, string | undefined>

function golden(id: string, title: string, verbs: readonly string[], env: Env, wanted: Refusal): Golden {
  return { id, title, verbs, call: { env, conf }, ...wanted }
}

/** Unset and empty are the same. */
const nothing = [undefined, ''].map(
  (value): Env => ({ CNI_CONTAINERID: value, CNI_NETNS: value, CNI_IFNAME: value, CNI_PATH: value }),
)
const missing = (names: string) => ({ code: 4, msg: `required env variables [${names}] missing` })

const containerID = { code: 4, msg: 'invalid characters in containerID' }
const tooLong = {
  code: 4,
  msg: 'interface name is too long',
  details: 'interface name should be less than 16 characters',
}
const dots = { code: 4, msg: 'interface name is . or ..' }
const characters = { code: 4, msg: 'interface name contains / or : or whitespace characters' }

const names = (id: string, list: string[], wanted: Refusal): Golden[] =>
  list.map((name) => {
    return golden(id, `interface name ${JSON.stringify(name)}`, ATTACHING, { CNI_IFNAME: name }, wanted)
  })

const containers = (id: string, list: string[]): Golden[] =>
  list.map((name) => {
    const wanted = { ...containerID, details: name }
    return golden(id, `container ID ${JSON.stringify(name)}`, ATTACHING, { CNI_CONTAINERID: name }, wanted)
  })

refuseAll(t, host, [
  ...nothing.flatMap((env) => {
    const all = missing('CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH')
    return [
      golden('C04', 'only the command', ['ADD', 'CHECK'], env, all),
      golden('C04', 'only the command', ['DEL'], env, missing('CNI_CONTAINERID,CNI_IFNAME,CNI_PATH')),
      golden('C04', 'only the command', ['GC', 'STATUS'], env, missing('CNI_PATH')),
    ]
  }),
  golden('C05', 'no CNI_PATH', VERBS, { CNI_PATH: undefined }, missing('CNI_PATH')),
  golden('C05', 'no CNI_NETNS', ['ADD', 'CHECK'], { CNI_NETNS: undefined }, missing('CNI_NETNS')),
  ...containers('C06', ['a%b', '-a', '.a', '../a', 'a/b', 'a b', 'é', 'a\n']),
  ...[{ CNI_IFNAME: undefined }, { CNI_IFNAME: '..' }, { CNI_PATH: undefined }].map((env) => {
    const title = `container ID -a and ${JSON.stringify(env)}`
    return golden('C07', title, ATTACHING, { CNI_CONTAINERID: '-a', ...env }, containerID)
  }),
  golden(
    'C08',
    'too long a name and no container ID',
    ATTACHING,
    { CNI_CONTAINERID: undefined, CNI_IFNAME: 'e123456789012345' },
    tooLong,
  ),
  ...names('C08', ['e123456789012345', 'éééééééé'], tooLong),
  ...names('C09', ['.', '..'], dots),
  ...names(
    'C10',
    ['a/b', 'a:b', 'a b', 'a\tb', 'a\nb', 'a\u00a0b', 'a\u2003b', '\u3000', 'a\u0085b'],
    characters,
  ),
])
