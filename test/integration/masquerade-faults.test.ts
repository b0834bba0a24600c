/** ipMasq where something is in its way: leftovers, very many addresses, odd spellings, rules that others took away. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { refused, silent } from './rig/cni/answer.ts'
import { attach, newContainer, nothingLeft } from './rig/cni/attachment.ts'
import { netconf } from './rig/cni/conf.ts'
import { masquerade } from './rig/cni/nat.ts'
import { connect, HOST4, OUTSIDE4, outside, UPLINK } from './rig/cni/outside.ts'
import { type Host, newHost } from './rig/host.ts'

const BACKENDS = ['nftables', 'iptables'] as const

/** What another attachment with a host interface of the same name left behind. */
const LEFTOVER = `table inet nugator {
  map attachments { type ifname : verdict; }
  chain masq-left { ip saddr 10.9.9.9 masquerade; }
}
add element inet nugator attachments { "nghost" : jump masq-left, "other" : jump masq-left }`

function nft(host: Host, ...commands: string[]): Promise<string> {
  return host.exec('nft', [commands.join('\n')])
}

/** Netconf of a container with these addresses and no IPAM; the first family's gateway serves all. */
function fixed(addresses: string[], gateway = '10.1.0.1', more: Record<string, unknown> = {}) {
  const [first = '', ...rest] = addresses
  return {
    ipam: undefined,
    ipMasq: true,
    addresses: [{ address: first, gateway }, ...rest.map((address) => ({ address }))],
    ...more,
  }
}

t.test('a stale element for the same host interface gives way', async (t) => {
  const host = newHost(t)
  const world = await outside(host)
  await nft(host, LEFTOVER)
  const conf = fixed(['10.1.0.2/24'], undefined, {
    hostIfName: 'nghost',
    routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }],
  })
  const one = await attach(t, host, conf)
  t.equal(one.hostEnd, 'nghost')
  const map = await nft(host, 'list map inet nugator attachments')
  t.match(map, /"other" : jump masq-left/, 'the other element of the leftover is not ours to judge')
  t.notMatch(map, /"nghost" : jump masq-left/)
  t.equal((await connect(world, one.netns.name, OUTSIDE4)).source, HOST4, 'and the world sees the host')
  silent(t, await one.later('CHECK'))
  silent(t, await one.later('DEL'))
  t.notMatch(await nft(host, 'list map inet nugator attachments'), /nghost/)
  await nft(host, 'delete table inet nugator')
  await nothingLeft(t, host, [one.netns.name], [UPLINK])
})

t.test('a failure that no stale element explains is told in few words, and leaves nothing', async (t) => {
  const host = newHost(t)
  await nft(host, 'table inet nugator { set attachments { type ifname; }; }')
  const { name, ...container } = newContainer(host)
  const many = Array.from({ length: 200 }, (_, index) => `10.1.1.${1 + index}/16`)
  const conf = netconf(host, fixed(many))
  const done = await host.cni('ADD', { ...container, conf })
  refused(t, done, { code: 999, msg: /nft failed/ })
  t.ok(done.stdout.length < 1000, `short: ${done.stdout.length}`)
  t.notMatch(done.stdout, /masquerade.*null/)
  await nft(host, 'delete table inet nugator')
  await nothingLeft(t, host, [name])
})

for (const ipMasqBackend of BACKENDS) {
  t.test(`700 addresses, by ${ipMasqBackend}`, async (t) => {
    const host = newHost(t)
    const TMPDIR = join(host.dir, 'tmp')
    mkdirSync(TMPDIR)
    const many = Array.from({ length: 700 }, (_, index) => `10.1.${1 + (index >> 7)}.${1 + (index & 127)}/16`)
    const one = await attach(t, host, fixed(many, undefined, { ipMasqBackend }), { env: { TMPDIR } })
    const rules = await masquerade(host)
    t.ok(
      many.every((address) => rules.some((rule) => rule.includes(` ${address.replace('/16', '')} `))),
      'each address has its rule',
    )
    t.same(readdirSync(TMPDIR), [], 'no temporary file is left')
    silent(t, await one.later('CHECK'))
    silent(t, await one.later('DEL'))
    t.same(await masquerade(host), [])
    await nothingLeft(t, host, [one.netns.name])
  })

  for (const address of ['::ffff:10.0.0.5/120', '::10.0.0.5/112', '2001:db8:0:0:1:0:0:5/80', '10.1.0.2/32']) {
    t.test(`CHECK knows ${address} again, by ${ipMasqBackend}`, async (t) => {
      const host = newHost(t)
      const conf = { ipam: undefined, ipMasq: true, ipMasqBackend, addresses: [{ address }] }
      const one = await attach(t, host, conf)
      silent(t, await one.later('CHECK'))
      silent(t, await one.later('DEL'))
      await nothingLeft(t, host, [one.netns.name])
    })
  }
}

t.test('a table of our own that is gone is missed, and the tables of others are no part of it', async (t) => {
  const host = newHost(t)
  const one = await attach(t, host, fixed(['10.1.0.2/24']))
  await nft(host, 'table inet foreign { map attachments { type ifname : verdict; }; chain postrouting {}; }')
  silent(t, await one.later('CHECK'))
  await nft(host, 'delete table inet nugator')
  const done = await one.later('CHECK')
  refused(t, done, { code: 999, details: /masquerade rule for 10\.1\.0\.2.* is missing/ })
  silent(t, await one.later('DEL'))
  t.match(await nft(host, 'list tables'), /inet foreign/)
})

const chainOf = (rules: string) => /(masq|CNI)-[0-9a-f]+/.exec(rules)?.[0] ?? ''

/** Changes to the rules of an attachment with 10.1.0.2/24 and 2001:db8::2/64 that CHECK has to see. */
const nftChanges = {
  'the chain is flushed': (chain: string) => `flush chain inet nugator ${chain}`,
  'another source': (chain: string) =>
    `flush chain inet nugator ${chain}
     add rule inet nugator ${chain} ip saddr 10.1.0.20 ip daddr != 10.1.0.0/24 masquerade
     add rule inet nugator ${chain} ip6 saddr 2001:db8::2 ip6 daddr != 2001:db8::/64 masquerade`,
  'another network': (chain: string) =>
    `flush chain inet nugator ${chain}
     add rule inet nugator ${chain} ip saddr 10.1.0.2 ip daddr != 10.1.0.0/16 masquerade
     add rule inet nugator ${chain} ip6 saddr 2001:db8::2 ip6 daddr != 2001:db8::/64 masquerade`,
  'the base chain is flushed': () => 'flush chain inet nugator postrouting',
}

for (const [title, change] of Object.entries(nftChanges)) {
  t.test(`CHECK by nftables: ${title}`, async (t) => {
    const host = newHost(t)
    const one = await attach(t, host, fixed(['10.1.0.2/24', '2001:db8::2/64']))
    silent(t, await one.later('CHECK'))
    await nft(host, change(chainOf(await nft(host, 'list map inet nugator attachments'))))
    refused(t, await one.later('CHECK'), { code: 999, details: /masquerade.* is missing from nftables/ })
    silent(t, await one.later('DEL'))
    await nothingLeft(t, host, [one.netns.name])
  })
}

t.test('CHECK by nftables: a counter in our rule is no difference', async (t) => {
  const host = newHost(t)
  const one = await attach(t, host, fixed(['10.1.0.2/24']))
  const chain = chainOf(await nft(host, 'list map inet nugator attachments'))
  await nft(
    host,
    `flush chain inet nugator ${chain}`,
    `add rule inet nugator ${chain} ip saddr 10.1.0.2 ip daddr != 10.1.0.0/24 counter masquerade`,
  )
  silent(t, await one.later('CHECK'))
})

const iptablesChanges: Record<string, (chain: string) => string[][]> = {
  'the chain is flushed': (chain) => [['-F', chain]],
  'no ACCEPT of the network': (chain) => [['-D', chain, '1']],
  'no MASQUERADE': (chain) => [['-D', chain, '2']],
  'ACCEPT of another network': (chain) => [['-R', chain, '1', '-d', 'NETWORK', '-j', 'ACCEPT']],
  'no jump': () => [['-F', 'POSTROUTING']],
}

for (const [tool, address, gateway, network] of [
  ['iptables', '10.1.0.2/24', '10.1.0.1', '10.1.0.0/16'],
  ['ip6tables', '2001:db8::2/64', '2001:db8::1', '2001:db8::/48'],
] as const) {
  for (const [title, changes] of Object.entries(iptablesChanges)) {
    t.test(`CHECK by ${tool}: ${title}`, async (t) => {
      const host = newHost(t)
      const one = await attach(t, host, fixed([address], gateway, { ipMasqBackend: 'iptables' }))
      silent(t, await one.later('CHECK'))
      const chain = chainOf(await host.exec(tool, ['-t', 'nat', '-S']))
      for (const change of changes(chain)) {
        await host.exec(tool, ['-t', 'nat', ...change.map((word) => (word === 'NETWORK' ? network : word))])
      }
      refused(t, await one.later('CHECK'), { code: 999, details: /masquerade.* is missing/ })
      silent(t, await one.later('DEL'))
      t.same(await masquerade(host), [])
      await nothingLeft(t, host, [one.netns.name])
    })
  }
}
