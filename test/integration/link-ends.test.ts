/** Link mode: which container gets which end, and who is turned away. */
import t, { type Test } from 'tap'
import { complaint, linkProblems, linkStage } from './rig/link-stage.ts'
import { type Conf, ENDS, hostConf, LINK_NAME, linkConf } from './rig/modes.ts'
import { addressesOf, leases, linkNamed, look, residue, snapshot } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'

const AT_R1 = '10.1.0.1/30'

/** What names an end, in the order in which it is asked. */
interface Hints {
  cni?: string
  END?: string
  pod?: string
  id?: string
}

function told(hints: Hints): { conf: Conf; args: string; containerID: string } {
  const args = ['IgnoreUnknown=1', 'K8S_POD_NAMESPACE=default']
  if (hints.END !== undefined) args.push(`END=${hints.END}`)
  if (hints.pod !== undefined) args.push(`K8S_POD_NAME=${hints.pod}`)
  return {
    conf: linkConf(hints.cni === undefined ? {} : { args: { cni: { end: hints.cni } } }),
    args: args.join(';'),
    containerID: hints.id ?? '0123456789abcdef',
  }
}

/** The address that the container got, or the refusal. */
async function outcome(t: Test, stage: Stage, hints: Hints): Promise<string> {
  const { conf, args, containerID } = told(hints)
  stage.cast({ it: { conf, args, containerID, on: 'ctr' } })
  const done = await stage.add('it')
  if (done.code !== 0) return `code ${done.json.code}: ${done.json.msg} ${done.json.details ?? ''}`
  const link = linkNamed(await look(stage.netns('ctr').name), 'eth0')
  t.same(complaint('DEL', await stage.del('it')), [])
  return addressesOf(link)[0] ?? 'no address'
}

t.test('each way to choose an end', async (t) => {
  const stage = new Stage(t).containers('ctr')
  const choices: Hints[] = [
    { cni: 'r1' },
    { END: 'r1' },
    { pod: 'r1' },
    { id: 'r1' },
    { cni: 'r1', END: 'r2', pod: 'r2', id: 'r2' },
    { END: 'r1', pod: 'r2', id: 'r2' },
    { pod: 'r1', id: 'r2' },
    { pod: 'no-end', id: 'r1' },
  ]
  for (const hints of choices) t.equal(await outcome(t, stage, hints), AT_R1, JSON.stringify(hints))
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('an unknown end is refused with the names of the ends', async (t) => {
  const stage = new Stage(t).containers('ctr')
  const before = await snapshot(stage.host, stage.namespaces)
  const unknown: Hints[] = [
    { cni: 'r3', END: 'r1', id: 'r1' },
    { END: 'r3', pod: 'r1', id: 'r1' },
    { pod: 'r3' },
    {},
    { cni: '__proto__' },
    { END: 'constructor' },
    { pod: 'toString', id: 'hasOwnProperty' },
  ]
  for (const hints of unknown) {
    const said = await outcome(t, stage, hints)
    t.match(said, /^code 7: .*\br1\b.*\br2\b/s, JSON.stringify(hints))
  }
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
})

t.test('a third comer is told the link and who holds its ends', async (t) => {
  const stage = linkStage(t).containers('r3')
  const conf = linkConf()
  stage.cast({ r3: { conf, containerID: 'ctr-three', on: 'r3', args: 'END=r2' } })
  for (const who of ['r1', 'r2']) t.same(complaint('ADD', await stage.add(who)), [])
  const before = await snapshot(stage.host, stage.namespaces)
  const { code, json } = await stage.add('r3')
  t.match({ code, json }, { code: 1, json: { code: 101 } })
  for (const word of [LINK_NAME, 'ctr-two']) t.match(`${json.msg} ${json.details}`, word, `names ${word}`)
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
  t.same(complaint('DEL of the third', await stage.del('r3')), [])
  t.same(await linkProblems(stage, ['r1', 'r2']), [], 'the two go on')
  for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
})

t.test('without ends: first come, first served, with addresses from host-local', async (t) => {
  const stage = new Stage(t).containers('a', 'b', 'c')
  const conf = hostConf(stage.host, { name: 'linknet', link: { name: 'free' } })
  const ipam = { ...(conf.ipam as Conf), routes: [] }
  for (const on of ['a', 'b', 'c'])
    stage.cast({ [on]: { conf: { ...conf, ipam }, containerID: `ctr-${on}`, on } })
  const got = new Map<string, string>()
  for (const who of ['a', 'b']) {
    const done = await stage.add(who)
    t.same(complaint('ADD', done), [])
    t.notMatch(JSON.stringify(done.json), /gateway/, 'no gateway')
    got.set(who, String(done.json?.ips[0].address))
    t.same(addressesOf(linkNamed(await look(stage.netns(who).name), 'eth0')), [got.get(who)])
  }
  t.equal(leases(stage.host).length, 2)
  t.ok(await stage.host.ping(stage.netns('a').name, String(got.get('b')).replace(/\/.*/, '')), 'a reaches b')
  const before = await snapshot(stage.host, stage.namespaces)
  const { code, json } = await stage.add('c')
  t.match({ code, json }, { code: 1, json: { code: 101 } }, 'both ends are taken')
  for (const word of ['free', 'ctr-a', 'ctr-b']) t.match(`${json.msg} ${json.details}`, word, `names ${word}`)
  t.same(await snapshot(stage.host, stage.namespaces), before, 'no lease is left either')
  t.same(complaint('DEL', await stage.del('a')), [])
  t.equal(leases(stage.host).length, 1, 'its lease is free')
  const link = linkNamed(await look(stage.netns('b').name), 'eth0')
  t.same(addressesOf(link), [got.get('b')], 'the survivor keeps its address')
  t.same(complaint('ADD', await stage.add('c')), [], 'the third takes the free end')
  for (const who of ['b', 'c']) t.same(complaint('DEL', await stage.del(who)), [])
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('the MTU belongs to the link', async (t) => {
  const stage = linkStage(t, { mtu: 1400 })
  t.same(complaint('ADD', await stage.add('r1')), [])
  const before = await snapshot(stage.host, stage.namespaces)
  const { code, json } = await stage.add('r2', { conf: linkConf({ mtu: 1300 }) })
  t.match({ code, json }, { code: 1, json: { code: 7 } }, 'another explicit one is refused')
  for (const mtu of ['1400', '1300']) t.match(`${json.msg} ${json.details}`, mtu, `names ${mtu}`)
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
  t.same(complaint('ADD without mtu', await stage.add('r2', { conf: linkConf() })), [])
  for (const on of ['r1', 'r2']) t.equal(linkNamed(await look(stage.netns(on).name), 'eth0')?.mtu, 1400)
  for (const who of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(who)), [])
  t.same(complaint('ADD', await stage.add('r2', { conf: linkConf({ mtu: 1300 }) })), [], 'a new link is free')
  t.same(complaint('DEL', await stage.del('r2')), [])
  t.same(await residue(stage.host, stage.namespaces), [])
})

t.test('bad netconfs', async (t) => {
  const stage = new Stage(t).containers('ctr')
  const link = (value: unknown, more: Conf = {}): Conf => linkConf({ link: value, ...more })
  const noWay = { r1: { ...ENDS.r1, routes: [{ dst: '10.5.0.0/16', gw: '172.31.0.1' }] }, r2: ENDS.r2 }
  const cases: Record<string, Conf> = {
    'dhcp cannot work': link({ name: 'x' }, { ipam: { type: 'dhcp' } }),
    'no name': link({ ends: ENDS }),
    'empty name': link({ name: '', ends: ENDS }),
    'name is a number': link({ name: 5, ends: ENDS }),
    'link is no object': link('r1-r2'),
    'one end': link({ name: 'x', ends: { r1: ENDS.r1 } }),
    'three ends': link({ name: 'x', ends: { ...ENDS, r3: { addresses: [] } } }),
    'ends are a list': link({ name: 'x', ends: [ENDS.r1, ENDS.r2] }),
    'both ends one address': link({ name: 'x', ends: { r1: ENDS.r1, r2: ENDS.r1 } }),
    'an address that is none': link({
      name: 'x',
      ends: { ...ENDS, r2: { addresses: [{ address: '10.1/30' }] } },
    }),
    'an end that is no object': link({ name: 'x', ends: { ...ENDS, r2: 'here' } }),
    'a route via nobody': link({ name: 'x', ends: noWay }),
    'a bad MAC': link({ name: 'x', ends: { r1: { ...ENDS.r1, mac: 'ff:ff:ff:ff:ff:ff' }, r2: ENDS.r2 } }),
    'mtu out of range': link({ name: 'x', ends: ENDS }, { mtu: 65536 }),
  }
  const before = await snapshot(stage.host, stage.namespaces)
  for (const [what, conf] of Object.entries(cases)) {
    stage.cast({ it: { conf, containerID: 'ctr', on: 'ctr', args: 'END=r1' } })
    const { code, json } = await stage.add('it')
    t.equal(code, 1, what)
    if (code === 0) await stage.del('it')
    // Of a value of the wrong type, either is said.
    t.ok([6, 7].includes(json?.code), `${what}: code ${json?.code} “${json?.msg}”`)
  }
  t.same(await snapshot(stage.host, stage.namespaces), before, 'nothing changed')
})
