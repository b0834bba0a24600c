/** An interface that exists becomes what its EndSpec says: sysctls, offload, up, addresses, routes. */

import { type AddressChange, addAddress } from '../netlink/address.ts'
import { setTxOffload } from '../netlink/ethtool.ts'
import { setLink } from '../netlink/link.ts'
import type { Request } from '../netlink/message.ts'
import { addRoute, type RouteChange, RT_SCOPE_LINK } from '../netlink/route.ts'
import { step } from '../netlink/steps.ts'
import type { Netns } from '../netns/netns.ts'
import { readSysctl, writeSysctl } from '../netns/sysctl.ts'
import { parseCidr, parseDestination, parseIp } from './cidr.ts'
import type { AddressSpec, EndSpec, RouteSpec } from './endpoint.ts'
import { routeText } from './endpoint.ts'
import { linkLocalOf } from './mac.ts'

/** What the kernel says where IPv6 is compiled out, disabled, or the MTU too small for it; and if it was quicker. */
const NO_IPV6 = ['EACCES', 'EOPNOTSUPP', 'EAFNOSUPPORT', 'EINVAL', 'ENODEV', 'EEXIST']

export function addressChange(index: number, spec: AddressSpec): AddressChange {
  const { bytes, prefix } = parseCidr(spec.address)
  return { index, bytes, prefix, text: spec.address, noPrefixRoute: spec.noPrefixRoute ?? false }
}

export function routeChange(index: number, spec: RouteSpec): RouteChange {
  const dst = parseDestination(spec.dst)
  const { gw, src, ...rest } = spec
  return {
    ...rest,
    text: routeText(spec),
    family: dst.family,
    dst: dst.bytes,
    prefix: dst.prefix,
    index,
    ...(gw === undefined ? {} : { gateway: parseIp(gw).bytes }),
    ...(src === undefined ? {} : { source: parseIp(src).bytes }),
  }
}

/** True if the end has an IPv6 address to be given. */
export function wantsIpv6(end: EndSpec): boolean {
  return end.addresses.some(({ address }) => address.includes(':'))
}

/** The settings that are files or ioctls, not messages: they need the thread inside the namespace. */
export function applySettings(netns: Netns, end: EndSpec): void {
  const sysctls = Object.entries(end.sysctls ?? {})
  const ipv6 = wantsIpv6(end)
  if (end.txOffload !== undefined) {
    step()
    setTxOffload(netns.socket.fd, end.ifName, end.txOffload)
  }
  if (!ipv6 && sysctls.length === 0) return
  netns.inside(() => {
    if (ipv6) {
      for (const name of ['lo', end.ifName]) {
        const path = ['net', 'ipv6', 'conf', name, 'disable_ipv6']
        if (readSysctl(path) === '1') writeSysctl(path, '0')
      }
      // The addresses stay when the interface goes down and up again, as IPv4's do.
      writeSysctl(['net', 'ipv6', 'conf', end.ifName, 'keep_addr_on_down'], '1')
    }
    for (const [path, value] of sysctls) writeSysctl(path.split('/'), value)
  })
}

/** Mark, up, addresses, routes. */
export function configureRequests(index: number, end: EndSpec, alias: string): Request[] {
  const ownLinkLocal = end.addresses.some(({ address }) => /^fe[89ab]/i.test(address))
  const wantsLinkLocal = !ownLinkLocal && (end.readyLinkLocal || wantsIpv6(end))
  return [
    ...(wantsLinkLocal ? [linkLocal(index, end.mac)] : []),
    setLink(index, { up: true, alias }, end.ifName),
    ...end.addresses.map((spec) => addAddress(addressChange(index, spec))),
    ...end.routes.map((spec) => addRoute(routeChange(index, spec))),
  ]
}

/** The address the kernel would have made, before it does, and without its wait; nothing where IPv6 is off. */
function linkLocal(index: number, mac: string): Request {
  return {
    ...addAddress({ index, bytes: linkLocalOf(mac), prefix: 64, text: 'link-local', scope: RT_SCOPE_LINK }),
    tolerate: NO_IPV6,
  }
}
