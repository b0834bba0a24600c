/** The hand-picked cases: what is sent, and the codes (0 is success) that are right for it. */
import { hostname } from 'node:os'
import type { HostileGround } from './hostile-ground.ts'
import { type Conf, linkConf, peerConf } from './modes.ts'

export interface Picked {
  what: string
  codes: readonly number[]
  env?: Record<string, string>
  stdin: string
}

const GOOD = { address: '10.7.0.2/24', gateway: '10.7.0.1' }
/** Of a value of the wrong type, either is said. */
const TYPE = [6, 7]
const LONG = 'n'.repeat(300)

/** A good netconf in host mode, with more keys or others. */
export function plain(more: Conf = {}): Conf {
  return {
    cniVersion: '1.1.0',
    name: 'hostile',
    type: 'nugator',
    addresses: [GOOD],
    ...more,
  }
}

/** A netconf that must be refused with 7, or the other codes. */
function conf(what: string, value: Conf, codes: readonly number[] = [7]): Picked {
  return { what, codes, stdin: JSON.stringify(value) }
}

function environment(
  what: string,
  env: Record<string, string>,
  codes: readonly number[],
  value = plain(),
): Picked {
  return { what, codes, env, stdin: JSON.stringify(value) }
}

function identities(): Picked[] {
  return [
    environment('container ID ../x', { CNI_CONTAINERID: '../x' }, [4]),
    environment('container ID a/../../b', { CNI_CONTAINERID: 'a/../../b' }, [4]),
    environment('container ID with a newline', { CNI_CONTAINERID: 'a\nb' }, [4]),
    environment('container ID ..', { CNI_CONTAINERID: '..' }, [4]),
    environment('container ID of 300 characters', { CNI_CONTAINERID: LONG }, [0]),
    environment('network name of 300 characters', { CNI_CONTAINERID: LONG }, [0], plain({ name: LONG })),
    environment('interface name of 300 characters', { CNI_IFNAME: LONG }, [4]),
    environment('interface name of 16 bytes in 8 characters', { CNI_IFNAME: 'éééééééé' }, [4]),
    environment('interface name ..', { CNI_IFNAME: '..' }, [4]),
    environment('interface name lo', { CNI_IFNAME: 'lo' }, [4, 100]),
    environment('interface name that is a foreign altname', { CNI_IFNAME: 'foreign-alt' }, [100]),
    environment('DEL of a foreign altname', { CNI_COMMAND: 'DEL', CNI_IFNAME: 'foreign-alt' }, [0]),
    environment('DEL of a foreign device', { CNI_COMMAND: 'DEL', CNI_IFNAME: 'fveth0' }, [0]),
    environment('DEL of lo', { CNI_COMMAND: 'DEL', CNI_IFNAME: 'lo' }, [0, 4]),
    environment('arguments that are prototype keys', { CNI_ARGS: '__proto__=1;IgnoreUnknown=1' }, [0]),
    environment('arguments without values', { CNI_ARGS: ';;=;a' }, [0, 4, 7]),
    environment('a multicast MAC in arguments', { CNI_ARGS: 'MAC=01:00:5e:00:00:01' }, [4, 7]),
    conf('network name ../x', plain({ name: '../x' })),
    conf('network name with NUL', plain({ name: 'a\u0000b' })),
    conf('network name __proto__', plain({ name: '__proto__' })),
    conf('link name ../../x', linkConf({ link: { name: '../../x' } }), [0, 7]),
    conf('link name of 300 characters', linkConf({ link: { name: LONG } }), [0, 7]),
    conf('link name with NUL', linkConf({ link: { name: 'a\u0000b' } }), [0, 7]),
    conf('IPAM type ../host-local', plain({ ipam: { type: '../host-local' } }), [7, 999]),
    conf('IPAM type with NUL', plain({ ipam: { type: 'static\u0000x' } }), [7, 999]),
    conf('GC of an attachment with a bad ID', plain({ 'cni.dev/valid-attachments': 'all' }), [0]),
  ]
}

function namespaces(ground: HostileGround): Picked[] {
  const { file, dir, fifo, loop, stage } = ground
  const none = { file, dir, fifo, loop, missing: '/nowhere', device: '/dev/zero', mnt: '/proc/self/ns/mnt' }
  const cases: Picked[] = []
  for (const [kind, path] of Object.entries(none)) {
    cases.push(environment(`CNI_NETNS is a ${kind}`, { CNI_NETNS: path }, [8]))
    cases.push(environment(`DEL where CNI_NETNS is a ${kind}`, { CNI_COMMAND: 'DEL', CNI_NETNS: path }, [0]))
    cases.push(conf(`the peer’s netns is a ${kind}`, peerConf(path, { name: 'hostile' }), [7, 8]))
  }
  const prevResult = { cniVersion: '1.1.0', interfaces: [{ name: 'eth0', sandbox: fifo }], ips: [] }
  const roundabout = `/run/netns/../../run/netns/${stage.host.name}-ctr`
  return [
    ...cases,
    environment('CNI_NETNS is empty', { CNI_NETNS: '' }, [4]),
    environment('CNI_NETNS is the host', { CNI_NETNS: stage.host.path }, [8]),
    environment('CNI_NETNS is the plugin’s own', { CNI_NETNS: '/proc/self/ns/net' }, [8]),
    environment('CNI_NETNS goes round by ..', { CNI_NETNS: roundabout }, [0]),
    environment(
      'CHECK with a fifo',
      { CNI_COMMAND: 'CHECK', CNI_NETNS: fifo },
      [8, 7],
      plain({ prevResult }),
    ),
    conf('the peer’s netns is empty', peerConf('', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is blank', peerConf(' ', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is null', peerConf('', { name: 'hostile' }, { netns: null }), TYPE),
    conf('the peer’s netns is netns:', peerConf('netns:', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is netns:../x', peerConf('netns:../x', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns has a NUL', peerConf(`${file}\u0000`, { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is pid:0', peerConf('pid:0', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is pid:-1', peerConf('pid:-1', { name: 'hostile' }), [7, 8]),
    conf('the peer’s netns is pid:1/../2', peerConf('pid:1/../2', { name: 'hostile' }), [7, 8]),
    conf('the state directory is a file', plain({ stateDir: file }), [5, 7, 999]),
    conf('the state directory is a fifo', plain({ stateDir: fifo }), [5, 7, 999]),
    conf('the state directory is a number', plain({ stateDir: 7 }), TYPE),
    conf('the run directory is a file', plain({ runDir: file }), [5, 7, 999]),
  ]
}

function numbersAndAddresses(): Picked[] {
  const at = (address: unknown, gateway: unknown = '10.7.0.1') => plain({ addresses: [{ address, gateway }] })
  const via = (route: Conf) => plain({ routes: [route] })
  return [
    ...[67, 65536, -1, 1.5, 1e308, 2 ** 32 + 1500, '1500', null, [1500], Number.NaN].map((mtu) =>
      conf(`mtu ${JSON.stringify(mtu)}`, plain({ mtu }), Number.isFinite(mtu) ? TYPE : [0, ...TYPE]),
    ),
    ...[-1, 2 ** 32, 1.5, 2 ** 53, 'x'].map((qlen) => conf(`qlen ${qlen}`, plain({ qlen }), TYPE)),
    {
      what: 'mtu 1e999',
      codes: [6, 7],
      stdin: JSON.stringify(plain({ mtu: 7777 })).replace('7777', '1e999'),
    },
    conf('an address twice', plain({ addresses: [GOOD, GOOD] })),
    conf('an address twice, once shorter', plain({ addresses: [GOOD, { address: '10.7.0.2/16' }] })),
    ...[
      '10.7.0.2',
      '10.7.0.2/33',
      '10.7.0/24',
      '010.7.0.2/24',
      '10.7.0.2/-1',
      '10.7.0.2/24 ',
      '',
      5,
      null,
    ].map((each) => conf(`address ${JSON.stringify(each)}`, at(each), TYPE)),
    ...['224.0.0.1/24', '0.0.0.0/24', '255.255.255.255/32', 'ff02::1/64', '::/64'].map((each) =>
      conf(`address ${each}`, at(each)),
    ),
    conf('gateway outside its subnet', at('10.7.0.2/24', '10.8.0.1')),
    conf('gateway of the other family', at('10.7.0.2/24', 'fd00::1')),
    conf('gateway that is the address', at('10.7.0.2/24', '10.7.0.2')),
    conf('gateway that is no address', at('10.7.0.2/24', 'gw')),
    ...['10.8/16', 'x', '', null, 5].map((dst) =>
      conf(`route to ${JSON.stringify(dst)}`, via({ dst }), TYPE),
    ),
    conf('route via the other family', via({ dst: '10.8.0.0/16', gw: 'fd00::1' })),
    conf('route in table 2^32', via({ dst: '10.8.0.0/16', table: 2 ** 32 })),
    conf('route of priority -1', via({ dst: '10.8.0.0/16', priority: -1 })),
    conf('route of scope 256', via({ dst: '10.8.0.0/16', scope: 256 })),
    conf('routes that are an object', plain({ routes: {} }), TYPE),
    ...['01:00:5e:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', '02:00', 'x', 5].map((mac) =>
      conf(`mac ${mac}`, plain({ mac }), TYPE),
    ),
  ]
}

function interfaces(): Picked[] {
  return [
    conf('host name that is taken', plain({ hostIfName: 'fveth0' }), [100]),
    conf('host name that is a foreign altname', plain({ hostIfName: 'foreign-alt' }), [100]),
    conf('host name lo', plain({ hostIfName: 'lo' }), [7, 100]),
    ...['x'.repeat(16), 'a/b', 'a b', 'a\u0000b', '..', '', 'a:b'].map((name) =>
      conf(`host name ${JSON.stringify(name)}`, plain({ hostIfName: name }), name === '' ? [0, 7] : [7]),
    ),
    conf('a sysctl of somebody else', plain({ sysctl: { 'kernel.hostname': hostname() } })),
    conf('a sysctl without IFNAME', plain({ sysctl: { 'net.ipv4.ip_default_ttl': '7' } })),
    conf('a sysctl that climbs', plain({ sysctl: { 'net.ipv4.conf.IFNAME/../../ip_default_ttl': '7' } })),
    conf(
      'a sysctl that climbs by dots',
      plain({ sysctl: { 'net/ipv4/conf/IFNAME/../../ip_default_ttl': '7' } }),
    ),
    conf('a sysctl that is not there', plain({ sysctl: { 'net.ipv4.conf.IFNAME.nonsense': '1' } }), [5, 7]),
    conf('a sysctl with a list', plain({ sysctl: { 'net.ipv4.conf.IFNAME.arp_notify': ['1'] } }), TYPE),
    conf('sysctls that are prototype keys', plain({ sysctl: { constructor: '1' } })),
    conf('peer and link', peerConf('/nowhere', { link: { name: 'x' } }), [7, 8]),
    conf('ipMasqBackend', plain({ ipMasq: true, ipMasqBackend: 'foo' })),
    conf('ipam that is a list', plain({ ipam: [] }), TYPE),
    conf('ipam that is a number', plain({ ipam: 5 }), TYPE),
    conf('dns that is a number', plain({ dns: 5 }), TYPE),
    conf('runtimeConfig.ips with nonsense', plain({ runtimeConfig: { ips: ['x'] } })),
    conf('runtimeConfig.mac with nonsense', plain({ runtimeConfig: { mac: 'x' } })),
  ]
}

export function picked(ground: HostileGround): Picked[] {
  return [...identities(), ...namespaces(ground), ...numbersAndAddresses(), ...interfaces(), ...pollution()]
}

function raw(what: string, inside: string, codes: readonly number[]): Picked {
  const stdin = JSON.stringify(plain()).replace(/}$/, `,${inside}}`)
  return { what, codes, stdin }
}

function pollution(): Picked[] {
  const ends = '"__proto__":{"addresses":[]},"constructor":{"addresses":[]}'
  return [
    raw('__proto__ at the top', '"__proto__":{"mtu":70000,"name":"../x","link":{"name":"x"}}', [0]),
    raw('constructor at the top', '"constructor":{"prototype":{"mtu":70000}}', [0]),
    raw('__proto__ in an address', '"addresses":[{"__proto__":{"address":"10.7.0.2/24"}}]', TYPE),
    raw('__proto__ in args', '"args":{"__proto__":{"cni":{"mac":"x"}},"cni":{"__proto__":{"mac":"x"}}}', [0]),
    raw('ends called __proto__ and constructor', `"addresses":[],"link":{"name":"x","ends":{${ends}}}`, [7]),
    raw('the same key twice', '"mtu":1400,"mtu":70000', [7]),
    raw('keys of every case', '"MTU":70000,"Addresses":5', [0]),
  ]
}
