/** What goes elsewhere on the host than the plugin: units, what keeps network managers away, an example netconf. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, extname, join } from 'node:path'
import { InstallError } from './install-error.ts'
import type { WantedFile } from './install-files.ts'

export const UNIT_DIR = '/etc/systemd/system'
export const BIN_DIR = '/opt/cni/bin'

/** Where a kind of file belongs, undefined if nobody here would read it. */
const PLACES: Readonly<Record<string, (unitDir: string) => string | undefined>> = {
  '.service': (unitDir) => unitDir,
  '.socket': (unitDir) => unitDir,
  '.link': (unitDir) => join(dirname(unitDir), 'network'),
  '.network': (unitDir) => join(dirname(unitDir), 'network'),
  '.conf': (unitDir) => {
    const manager = join(dirname(dirname(unitDir)), 'NetworkManager')
    return existsSync(manager) ? join(manager, 'conf.d') : undefined
  },
}

/** A path that systemd takes as it is: it gives a meaning to quotes, spaces, %, $ and \. */
const PLAIN = /^[\w./+@:,=~-]+$/

/**
 * The units, and the files for udev, systemd-networkd and NetworkManager beside them in /etc.
 *
 * @param hostDir nugator.d/host of what is installed
 * @throws InstallError if systemd cannot take the path of the program
 */
export function hostFiles(hostDir: string, binDir: string, unitDir: string): WantedFile[] {
  if (!PLAIN.test(binDir)) {
    throw new InstallError(`systemd has another use for characters in ${binDir}`, 'take a plainer --bin-dir')
  }
  return readdirSync(hostDir)
    .sort()
    .flatMap((name) => {
      const place = PLACES[extname(name)]?.(unitDir)
      if (place === undefined) return []
      const text = readFileSync(join(hostDir, name), 'utf8').replaceAll(`${BIN_DIR}/`, `${join(binDir, '/')}`)
      return [{ path: join(place, name), bytes: Buffer.from(text), mode: 0o644 }]
    })
}

/** A netconf to begin with. */
export function exampleFile(hostDir: string, confDir: string): WantedFile {
  const name = '10-nugator.conflist'
  return { path: join(confDir, name), bytes: readFileSync(join(hostDir, name)), mode: 0o644 }
}
