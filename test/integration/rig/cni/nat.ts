/** Address translation on a host, whoever keeps the rules: nft, or iptables on top of it. */
import type { Host } from '../host.ts'

/** The rules of the host that are about masquerade, and what the iptables backend puts around them. */
export async function masquerade(host: Host): Promise<string[]> {
  const text = await host.exec('nft', ['list', 'ruleset'])
  const lines = text.split('\n').map((line) => line.trim())
  return lines.filter(
    (line) => line.includes('CNI-') || (/masquerade/i.test(line) && !/^(chain|table)/.test(line)),
  )
}
