/**
 * A systemd of one's own: PID 1 of fresh PID, mount, cgroup, IPC and UTS namespaces, in the network namespace of a
 * {@link Host}. What it and its services may see of the machine is its programs: /run, /opt, /var/lib and
 * /etc/systemd are empty file systems in there, and go with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type CommandResult, type Host, run } from './host.ts'

const START_MS = 30_000
const STOP_MS = 10_000
/** The units it begins with; all others are those that are installed in there. */
const UNITS = ['sysinit', 'basic', 'sockets', 'multi-user', 'shutdown', 'umount', 'final', 'exit', 'poweroff']

/** Arguments: its cgroup, its console, the drop-in for the agent, names of network namespaces it is to see. */
const BOOT = `
set -e
units=$1 console=$2 log=$3
shift 3
mount --make-rprivate /
kept=
for name in "$@"; do touch "$console.$name"; mount --bind "/run/netns/$name" "$console.$name"; done
for dir in /run /opt /var/lib /etc/systemd; do mount -t tmpfs -o mode=755 tmpfs $dir; done
mkdir -p /run/netns /run/units/nugator.service.d /run/lock /etc/systemd/system
for name in "$@"; do touch "/run/netns/$name"; mount --bind "$console.$name" "/run/netns/$name"; done
for unit in $units; do cp "/lib/systemd/system/$unit.target" /run/units/; done
printf '[Service]\\nStandardError=append:%s\\n' "$log" >/run/units/nugator.service.d/log.conf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$console" /dev/console
exec env -i container=nugator-test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units \\
  /lib/systemd/systemd --system --unit=multi-user.target --show-status=0
`

function cgroupRoot(): string {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const root = mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4]
  if (root === undefined) throw new Error('no cgroup2 is mounted on this machine')
  return root
}

export class Systemd {
  readonly #cgroup: string
  readonly #process: ChildProcess
  readonly agentLog: string
  #init = 0

  /** @param namespaces names of those that it is to see below /run/netns, besides the host's */
  constructor(host: Host, namespaces: readonly string[]) {
    const console = join(host.dir, 'console')
    this.agentLog = join(host.dir, 'agent.log')
    this.#cgroup = join(cgroupRoot(), host.name)
    mkdirSync(this.#cgroup)
    // The cgroup namespace begins at the cgroup that the process is in.
    const enter = 'echo $$ >"$0/cgroup.procs"; : >"$1"; shift; exec "$@"'
    const unshare = [
      'unshare',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--cgroup',
      '--ipc',
      '--uts',
      '--mount-proc',
    ]
    const boot = ['sh', '-c', BOOT, 'boot', UNITS.join(' '), console, this.agentLog, host.name, ...namespaces]
    this.#process = spawn(
      'sh',
      ['-c', enter, this.#cgroup, console, 'nsenter', `--net=${host.path}`, ...unshare, ...boot],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
  }

  async ready(): Promise<void> {
    const start = performance.now()
    while (this.#init === 0 || (await this.run('systemctl', 'is-system-running')).stdout !== 'running\n') {
      if (this.#process.exitCode !== null) throw new Error('systemd did not start')
      if (performance.now() - start > START_MS) throw new Error('systemd does not get ready')
      await pause(100)
      const { pid } = this.#process
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      this.#init = Number.parseInt(children, 10) || 0
    }
  }

  /** Runs a program beside its services. */
  run(file: string, ...args: string[]): Promise<CommandResult> {
    return this.runAs({}, '', file, ...args)
  }

  runAs(env: Record<string, string>, input: string, file: string, ...args: string[]): Promise<CommandResult> {
    const enter = ['-t', String(this.#init), '-m', '-p', '-C', '-u', '-i', '-n']
    const base = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', SYSTEMD_PAGER: '' }
    return run('nsenter', [...enter, file, ...args], { env: { ...base, ...env }, input })
  }

  /** Insists on success. @returns stdout without its last newline */
  async ask(file: string, ...args: string[]): Promise<string> {
    const done = await this.run(file, ...args)
    if (done.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr}`)
    return done.stdout.trimEnd()
  }

  /** All of its processes die with it. */
  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = new Promise((done) => this.#process.once('close', done))
      this.#process.kill('SIGKILL')
      await ended
    }
    const start = performance.now()
    for (;;) {
      try {
        removeCgroup(this.#cgroup)
        return
      } catch (error) {
        if (performance.now() - start > STOP_MS) throw error
        await pause(20)
      }
    }
  }
}

function removeCgroup(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(directory, entry.name))
  }
  rmdirSync(directory)
}

/** One that is ready, and gone when the test `t` ends. */
export async function bootSystemd(
  t: { teardown(fn: () => unknown): void },
  host: Host,
  namespaces: readonly string[] = [],
): Promise<Systemd> {
  const systemd = new Systemd(host, namespaces)
  t.teardown(() => systemd.stop())
  await systemd.ready()
  return systemd
}
