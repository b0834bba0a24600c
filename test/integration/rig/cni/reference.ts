/**
 * The reference plugins as delegates. Debian's know CNI up to 1.0.0, so at 1.1.0 they get the same netconf as 1.0.0;
 * GC and STATUS, which even the newest of them only acknowledge, are acknowledged.
 */
import { type Host, REFERENCE_PLUGINS } from '../host.ts'

function shim(plugin: string): string {
  return `#!/bin/sh
case "$CNI_COMMAND" in GC | STATUS) exec cat >/dev/null ;; esac
sed 's/"cniVersion": *"1\\.1\\.0"/"cniVersion":"1.0.0"/g' | ${REFERENCE_PLUGINS}/${plugin}
`
}

/** A bin directory with the IPAM plugins, for CNI_PATH. */
export function delegates(host: Host): string {
  host.fakePlugin('static', shim('static'))
  return host.fakePlugin('host-local', shim('host-local'))
}
