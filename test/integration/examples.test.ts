/** Every configuration in examples/ works as it stands; only directories are moved out of the machine's own. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { type Host, newHost, PLUGIN, REFERENCE_PLUGINS } from './rig/host.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples')
const files = readdirSync(EXAMPLES).filter((name) => /\.conf(list)?$/.test(name))

interface PluginConf {
  type: string
  ipam?: { dataDir?: string }
  peer?: { netns: string }
  link?: { ends?: Record<string, object> }
}

interface NetworkList {
  cniVersion: string
  name: string
  plugins: PluginConf[]
}

/** A single configuration is a list of one. */
function load(file: string): NetworkList {
  const conf = JSON.parse(readFileSync(join(EXAMPLES, file), 'utf8'))
  if (file.endsWith('.conflist')) return conf
  const { cniVersion, name, ...plugin } = conf
  return { cniVersion, name, plugins: [plugin] }
}

/** Runs the whole chain as libcni does. @returns the last result */
async function chain(host: Host, list: NetworkList, verb: string, id: string, netns: string, prev?: unknown) {
  const plugins = verb === 'DEL' ? list.plugins.toReversed() : list.plugins
  let prevResult = prev
  for (const { ...plugin } of plugins) {
    if (plugin.ipam) plugin.ipam = { ...plugin.ipam, dataDir: host.ipamDir }
    const done = await host.cni(verb, {
      containerID: id,
      netns,
      plugin: plugin.type === 'nugator' ? PLUGIN : join(REFERENCE_PLUGINS, plugin.type),
      conf: { cniVersion: list.cniVersion, name: list.name, ...plugin, prevResult },
    })
    if (done.code !== 0) throw new Error(`${verb} by ${plugin.type}: ${done.stdout} ${done.stderr}`)
    if (verb === 'ADD') prevResult = done.json
  }
  return prevResult
}

test('there are examples', async (t) => {
  t.ok(files.length >= 6)
})

for (const file of files) {
  test(file, async (t) => {
    const host = newHost(t)
    const list = load(file)
    const peer = list.plugins[0]?.peer
    if (peer) peer.netns = host.netns('db').path
    const link = list.plugins[0]?.link
    const ids = link ? Object.keys(link.ends ?? { first: {}, second: {} }) : ['web']
    const containers = ids.map((id) => ({ id, ...host.netns(id) }))
    const results = []
    for (const { id, path } of containers) results.push(await chain(host, list, 'ADD', id, path))
    for (const [index, { id, path }] of containers.entries()) {
      await chain(host, list, 'CHECK', id, path, results[index])
    }
    const [first, second] = containers
    if (first && second)
      t.ok(await host.ping(first.name, await addressOf(host, second.name)), 'the wire works')
    for (const [index, { id, path }] of containers.entries()) {
      await chain(host, list, 'DEL', id, path, results[index])
    }
    // bandwidth leaves no interface, but the kernel may keep an ifb that its module makes
    t.same(
      (await host.links()).filter((name) => !/^ifb\d$/.test(name)),
      [],
      'nothing is left in the host',
    )
    for (const { name } of containers) t.same(await host.links(name), [], `nothing is left in ${name}`)
  })
}

async function addressOf(host: Host, netns: string): Promise<string> {
  const [eth0] = await host.ip(netns, '-4', 'address', 'show', 'eth0')
  return eth0.addr_info[0].local
}
