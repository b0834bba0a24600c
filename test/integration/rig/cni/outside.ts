/** The world beyond a host: it knows the host's own addresses and no way back to any container. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Host, run } from '../host.ts'

export const HOST4 = '192.0.2.1'
export const OUTSIDE4 = '192.0.2.2'
export const HOST6 = '2001:db8:99::1'
export const OUTSIDE6 = '2001:db8:99::2'
/** The host's interface towards it. */
export const UPLINK = 'up0'

/** Makes it; the answer is the name of its namespace. */
export async function outside(host: Host): Promise<string> {
  const { name } = host.netns('outside')
  const make = [
    `link add ${UPLINK} type veth peer name up0 netns ${name}`,
    `addr add ${HOST4}/24 dev ${UPLINK}`,
    `addr add ${HOST6}/64 dev ${UPLINK} nodad`,
    `link set ${UPLINK} up`,
  ]
  const far = [`addr add ${OUTSIDE4}/24 dev up0`, `addr add ${OUTSIDE6}/64 dev up0 nodad`, 'link set up0 up']
  for (const line of make) await host.exec('ip', line.split(' '))
  for (const line of far) await host.exec('ip', line.split(' '), name)
  return name
}

const SERVER = `
const server = require('node:net').createServer((socket) => {
  console.log(socket.remoteAddress.replace('::ffff:', ''))
  socket.end('hello')
  server.close()
})
server.listen(PORT, '::', () => console.error('listening'))`

/** Connects from one namespace to a server in another; what the server saw and what the client got. */
export async function connect(
  server: string,
  client: string,
  address: string,
  port = 7000,
  serverPort = port,
): Promise<{ source: string; answer: string }> {
  const text = SERVER.replace('PORT', String(serverPort))
  const child = spawn('nsenter', [`--net=/run/netns/${server}`, process.execPath, '-e', text])
  try {
    const closed = once(child, 'close')
    let source = ''
    child.stdout.on('data', (chunk: Buffer) => {
      source += chunk
    })
    await once(child.stderr, 'data')
    const nc = ['busybox', 'nc', '-w', '5', address, String(port)]
    const done = await run('nsenter', [`--net=/run/netns/${client}`, ...nc], {})
    if (done.code === 0) await closed
    return { source: source.trim(), answer: done.stdout.trim() }
  } finally {
    child.kill('SIGKILL')
  }
}
