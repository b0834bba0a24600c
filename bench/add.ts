/** Scene `add`: whole ADDs and DELs, each an exec as by a runtime: ptp against nugator, both with host-local. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Ground } from './ground.ts'

const NUGATOR = resolve(import.meta.dirname, '../dist/bin/nugator')
const CNI_DIRS = ['/usr/lib/cni', '/usr/libexec/cni', '/opt/cni/bin']
const WARM_UP = 5

export interface Times {
  add: number[]
  del: number[]
}
export interface AddSamples {
  ptp: Times
  nugator: Times
}
/** What the process inside the fake host is told. */
interface Job {
  rounds: number
  dir: string
  netns: string
}

function referencePlugins(): string {
  const dir = CNI_DIRS.find((dir) => existsSync(join(dir, 'ptp')))
  if (dir === undefined) throw new Error(`the reference plugins are in none of ${CNI_DIRS.join(', ')}`)
  return dir
}

function exec(plugin: string, command: string, containerID: string, job: Job): number {
  const type = plugin.endsWith('ptp') ? 'ptp' : 'nugator'
  const subnet = type === 'ptp' ? '10.203.0.0/16' : '10.204.0.0/16'
  const dataDir = join(job.dir, type)
  const conf = { cniVersion: '1.0.0', name: 'bench', type, ipam: { type: 'host-local', subnet, dataDir } }
  const env = {
    PATH: process.env.PATH,
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerID,
    CNI_NETNS: job.netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: referencePlugins(),
    NUGATOR_STATE_DIR: join(job.dir, 'state'),
    NUGATOR_RUN_DIR: join(job.dir, 'run'),
  }
  const input = JSON.stringify(conf)
  const start = performance.now()
  const done = spawnSync(plugin, [], { env, input, encoding: 'utf8' })
  const took = performance.now() - start
  if (done.status !== 0) throw new Error(`${plugin} ${command}: ${done.error ?? done.stdout + done.stderr}`)
  return took
}

/** Runs inside the fake host's namespace. */
export function measureAdds(job: Job): AddSamples {
  const samples: AddSamples = { ptp: { add: [], del: [] }, nugator: { add: [], del: [] } }
  const plugins = [
    { path: join(referencePlugins(), 'ptp'), times: samples.ptp },
    { path: NUGATOR, times: samples.nugator },
  ]
  for (let round = -WARM_UP; round < job.rounds; round++) {
    for (const { path, times } of round % 2 === 0 ? plugins : plugins.toReversed()) {
      const containerID = `bench-${round + WARM_UP}`
      const add = exec(path, 'ADD', containerID, job)
      const del = exec(path, 'DEL', containerID, job)
      if (round < 0) continue
      times.add.push(add)
      times.del.push(del)
    }
  }
  return samples
}

/** Both in turn, in a namespace that stands in for the host; milliseconds. */
export function addScene(rounds: number): AddSamples {
  if (!existsSync(NUGATOR)) throw new Error(`${NUGATOR} is not built`)
  const ground = new Ground()
  try {
    const host = ground.netns('host')
    const job: Job = { rounds, dir: ground.dir, netns: ground.netns('ctr').path }
    const main = join(import.meta.dirname, 'main.ts')
    const args = [`--net=${host.path}`, process.execPath, main, '--inside', JSON.stringify(job)]
    const done = spawnSync('nsenter', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
    if (done.status !== 0) throw new Error('the measurement inside the fake host failed')
    return JSON.parse(done.stdout) as AddSamples
  } finally {
    ground.remove()
  }
}
