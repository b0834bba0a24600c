/** The command-line tool: what a person types. */
import { NetnsError } from '../netns/error.ts'
import { createNetns, deleteNetns, listNetns } from '../netns/named.ts'
import { VERSION } from '../plugin/version.ts'

type Print = (text: string) => void

const HELP = `nugator ${VERSION}: wires containers together

Run by a container runtime (with CNI_COMMAND set) this is a CNI plugin: see docs/netconf.md.

Usage:
  nugator netns list             the named network namespaces, as \`ip netns list\`
  nugator netns add NAME         makes one and brings its lo up
  nugator netns delete NAME      removes it
  nugator agent                  runs the resident agent, which makes a plugin call a matter of milliseconds
  nugator agent status           what the agent has done (--format=json for machines)
  nugator install                puts the plugin into /opt/cni/bin (--bin-dir DIR, --conf-dir DIR, --systemd,
                                 --with-node, --dry-run: docs/install.md)
  nugator uninstall              removes what install put there (--bin-dir DIR, --dry-run)
  nugator version                prints the version
  nugator help                   prints this

Exit status: 0 done, 1 failed, 2 not understood.
`

/** @returns the exit status */
export async function command(argv: readonly string[], out: Print, err: Print): Promise<number> {
  const [first = '', second = '', name, ...rest] = argv
  if (['help', '--help', '-h'].includes(first)) return say(out, HELP)
  if (['version', '--version', '-v', '-V'].includes(first)) return say(out, `nugator ${VERSION}\n`)
  if (first === 'netns' && rest.length === 0) {
    try {
      if (second === 'list' && name === undefined) return say(out, lines(listNetns()))
      if (second === 'add' && name !== undefined) createNetns(name)
      else if (second === 'delete' && name !== undefined) deleteNetns(name)
      else return misunderstood(argv, err)
      return 0
    } catch (error) {
      if (!(error instanceof NetnsError)) throw error
      err(`nugator: ${error.message}; ${error.advice}\n`)
      return 1
    }
  }
  if (first === 'agent') {
    const { agent } = await import('./agent.ts')
    return (await agent(argv.slice(1), out, err)) ?? misunderstood(argv, err)
  }
  if (first === 'install') {
    const { install } = await import('./install.ts')
    return (await install(argv.slice(1), out, err)) ?? misunderstood(argv, err)
  }
  if (first === 'uninstall') {
    const { uninstall } = await import('./uninstall.ts')
    return (await uninstall(argv.slice(1), out, err)) ?? misunderstood(argv, err)
  }
  return misunderstood(argv, err)
}

function misunderstood(argv: readonly string[], err: Print): number {
  err(`nugator: not understood: ${argv.join(' ')}\n\n${HELP}`)
  return 2
}

function say(out: Print, text: string): number {
  out(text)
  return 0
}

function lines(names: readonly string[]): string {
  return names.map((name) => `${name}\n`).join('')
}
