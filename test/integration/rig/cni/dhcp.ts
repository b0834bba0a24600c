/** A real DHCP server on one end of a wire, and the reference plugins' DHCP daemon, both inside the test's host. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Host, REFERENCE_PLUGINS } from '../host.ts'

export const ROUTER = '10.66.0.1'
/** The server's own address. */
const SERVER = '10.66.0.9'
/** The one address it has to give. */
export const LEASED = '10.66.0.100'

interface Teardown {
  teardown(fn: () => unknown): void
}

/** A program that runs until the test ends, and what it has said. */
class Running {
  #said = ''
  readonly #child: ChildProcess

  constructor(t: Teardown, netns: string, file: string, args: readonly string[]) {
    const child = spawn('nsenter', [`--net=/run/netns/${netns}`, file, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#said += chunk
      })
    }
    t.teardown(() => child.kill('SIGKILL'))
    this.#child = child
  }

  count(pattern: RegExp): number {
    return [...this.#said.matchAll(new RegExp(pattern, 'g'))].length
  }

  /** Waits until it has said something a number of times. */
  async says(pattern: RegExp, times = 1): Promise<void> {
    while (this.count(pattern) < times) {
      if (this.#child.exitCode !== null) throw new Error(`it ended after: ${this.#said}`)
      await pause(20)
    }
  }
}

export interface Dhcp {
  server: Running
  daemon: Running
  /** The IPAM section of a netconf. */
  ipam: { type: 'dhcp'; daemonSocketPath: string }
  /** For CNI_PATH. */
  path: string
}

/** Serves on `ifname` of a namespace as soon as that is there; leases are short, so that they are renewed soon. */
export async function startDhcp(t: Teardown, host: Host, netns: string, ifname: string): Promise<Dhcp> {
  const dir = join(host.dir, 'dhcp')
  mkdirSync(dir)
  const [conf, pidFile, socket] = ['udhcpd.conf', 'udhcpd.pid', 'dhcp.sock'].map((name) =>
    join(dir, name),
  ) as [string, string, string]
  const lines = [
    `interface ${ifname}`,
    `start ${LEASED}`,
    `end ${LEASED}`,
    'min_lease 2',
    `lease_file ${join(dir, 'leases')}`,
    `pidfile ${pidFile}`,
    'opt subnet 255.255.255.0',
    `opt router ${ROUTER}`,
    'opt lease 6',
    '',
  ]
  writeFileSync(conf, lines.join('\n'))
  writeFileSync(join(dir, 'leases'), '')
  const serve = `until ip addr add ${SERVER}/24 dev ${ifname} 2>/dev/null; do :; done; exec busybox udhcpd -f ${conf}`
  const server = new Running(t, netns, 'sh', ['-c', serve])
  const flags = ['daemon', '-socketpath', socket, '-timeout', '1s', '-broadcast']
  const daemon = new Running(t, host.name, join(REFERENCE_PLUGINS, 'dhcp'), flags)
  while (!existsSync(socket)) await pause(10)
  // The first DISCOVER should find somebody: the server can only start once the wire is there.
  const script = `#!/bin/sh
[ "$CNI_COMMAND" != ADD ] || until [ -s ${pidFile} ]; do sleep 0.01; done
exec ${REFERENCE_PLUGINS}/dhcp
`
  return {
    server,
    daemon,
    ipam: { type: 'dhcp', daemonSocketPath: socket },
    path: host.fakePlugin('dhcp', script),
  }
}
