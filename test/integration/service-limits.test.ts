/**
 * What the unit lets the agent do is enough, and no more: the cold path, which does the same work, with exactly the
 * unit's capabilities, with one less, and against the unit's filter of system calls.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { type CommandResult, type Host, newHost, PLUGIN, run } from './rig/host.ts'
import { type Conf, peerConf } from './rig/modes.ts'

const COLD = join(dirname(PLUGIN), 'nugator.d/cold')
const UNIT = readFileSync(resolve(import.meta.dirname, '../../packaging/nugator.service'), 'utf8')

function valuesOf(key: string): string[] {
  return (new RegExp(`^${key}=(.*)$`, 'm').exec(UNIT)?.[1] ?? '').split(' ')
}

const CAPABILITIES = valuesOf('CapabilityBoundingSet').map((name) => name.replace(/^CAP_/, '').toLowerCase())

/** A program with these capabilities and no way to more. */
function limited(capabilities: readonly string[]): string[] {
  const set = ['-all', ...capabilities.map((name) => `+${name}`)].join(',')
  return ['setpriv', `--bounding-set=${set}`, '--inh-caps=-all', '--no-new-privs']
}

class Stage {
  readonly host: Host
  readonly one: { name: string; path: string }
  readonly two: { name: string; path: string }
  readonly #sleeper: ReturnType<typeof spawn>

  constructor(t: Test) {
    this.host = newHost(t)
    this.one = this.host.netns('one')
    this.two = this.host.netns('two')
    // A container's process that has more than we: all capabilities.
    this.#sleeper = spawn('nsenter', [`--net=${this.two.path}`, 'sleep', '300'])
    t.teardown(() => this.#sleeper.kill('SIGKILL'))
    // Somebody else's directory, of which others keep out.
    mkdirSync(this.host.ipamDir)
    chownSync(this.host.ipamDir, 65534, 65534)
    chmodSync(this.host.ipamDir, 0o700)
  }

  confs(): Conf[] {
    const { host } = this
    const ipam = {
      type: 'host-local',
      exec: true,
      dataDir: host.ipamDir,
      ranges: [[{ subnet: '10.88.0.0/16' }], [{ subnet: 'fd00:88::/64' }]],
    }
    const base = { cniVersion: '1.0.0', type: 'nugator', ipam, ipMasq: true }
    return [
      { ...base, name: 'nft', ipMasqBackend: 'nftables' },
      { ...base, name: 'iptables', ipMasqBackend: 'iptables' },
      { ...peerConf(`pid:${this.#sleeper.pid}`), cniVersion: '1.0.0' },
    ]
  }

  /** ADD, CHECK and DEL of each, by a command that begins with `prefix`. @returns the first that failed */
  async lives(prefix: readonly string[]): Promise<CommandResult | undefined> {
    for (const conf of this.confs()) {
      let whole = conf
      for (const command of ['ADD', 'CHECK', 'DEL']) {
        const env = this.host.env({ command, netns: this.one.path })
        const [file = '', ...args] = ['nsenter', `--net=${this.host.path}`, ...prefix, COLD]
        const done = await run(file, args, { env, input: JSON.stringify(whole) })
        if (done.code !== 0) return done
        if (command === 'ADD') whole = { ...conf, prevResult: JSON.parse(done.stdout) }
      }
    }
    return undefined
  }
}

t.test('the unit’s capabilities are enough for all that a call does', async (t) => {
  const stage = new Stage(t)
  t.equal(await stage.lives(limited(CAPABILITIES)), undefined)
  t.same(await stage.host.links(), [], 'nothing is left')
  t.same(
    readdirSync(join(stage.host.ipamDir, 'nft')).filter((name) => /^(10|fd)/.test(name)),
    [],
    'no lease either',
  )
})

t.test('without any one of them something fails', async (t) => {
  for (const left of CAPABILITIES.filter((name) => name !== 'net_raw')) {
    const stage = new Stage(t)
    const failed = await stage.lives(limited(CAPABILITIES.filter((name) => name !== left)))
    t.not(failed, undefined, `${left}: ${failed?.stdout.replaceAll('\n', ' ')}`)
  }
  // What Debian calls iptables-nft does without; the other one does not.
  const { host } = new Stage(t)
  const legacy = (capabilities: readonly string[]) =>
    run('nsenter', [`--net=${host.path}`, ...limited(capabilities), 'iptables-legacy', '-t', 'nat', '-S'])
  t.equal((await legacy(CAPABILITIES)).code, 0)
  t.not((await legacy(CAPABILITIES.filter((name) => name !== 'net_raw'))).code, 0, 'net_raw')
})

/** The names of the system calls in sets such as @mount, whole. */
function expanded(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    if (!name.startsWith('@')) return [name]
    const { stdout } = spawnSync('systemd-analyze', ['--no-pager', 'syscall-filter', name], {
      encoding: 'utf8',
    })
    const lines = stdout
      .split('\n')
      .slice(1)
      .map((line) => line.trim())
    return expanded(lines.filter((line) => /^@?\w/.test(line)))
  })
}

t.test('no call makes a system call that the unit’s filter refuses', async (t) => {
  const stage = new Stage(t)
  const allowed = new Set(expanded(valuesOf('SystemCallFilter')))
  t.ok(
    allowed.size > 200 && allowed.has('setns') && !allowed.has('init_module'),
    `${allowed.size} are allowed`,
  )
  const log = join(stage.host.dir, 'calls')
  t.equal(await stage.lives(['strace', '-f', '-qq', '-A', '-o', log]), undefined)
  const calls = new Set(
    [...readFileSync(log, 'utf8').matchAll(/^\d+ +(\w+)\(/gm)].map(([, name = '']) => name),
  )
  t.ok(
    ['execve', 'setns', 'sendto', 'sendmsg'].every((name) => calls.has(name)),
    `${calls.size} were made`,
  )
  t.same(
    [...calls].filter((name) => !allowed.has(name)),
    [],
    'all of them are allowed',
  )
})
