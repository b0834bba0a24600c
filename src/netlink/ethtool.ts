/** SIOCETHTOOL (linux/ethtool.h), which acts in the namespace that the descriptor's socket was opened in. */
import { addressOf, ioctl } from './libc.ts'

const SIOCETHTOOL = 0x8946
const ETHTOOL_GLINK = 0x0a
const ETHTOOL_GTXCSUM = 0x16
const ETHTOOL_STXCSUM = 0x17
const IFREQ_LENGTH = 40

function ethtool(fd: number, ifName: string, command: number, data = 0): number {
  const value = Buffer.alloc(8)
  value.writeUInt32LE(command)
  value.writeUInt32LE(data, 4)
  const request = Buffer.alloc(IFREQ_LENGTH)
  request.write(ifName)
  request.writeBigUInt64LE(addressOf(value), 16)
  ioctl(fd, SIOCETHTOOL, request)
  return value.readUInt32LE(4)
}

/**
 * True if the interface has a carrier, and then can use it: asking makes the kernel do at once what it does of a change
 * of carrier in its own time, the queue and the multicast routes among it (net/core/link_watch.c, linkwatch_sync_dev).
 *
 * @throws SystemCallError
 */
export function hasCarrier(fd: number, ifName: string): boolean {
  return ethtool(fd, ifName, ETHTOOL_GLINK) !== 0
}

/** Whether frames leave `ifName` with their checksums still to be filled in. @throws SystemCallError */
export function getTxOffload(fd: number, ifName: string): boolean {
  return ethtool(fd, ifName, ETHTOOL_GTXCSUM) !== 0
}

/** @throws SystemCallError */
export function setTxOffload(fd: number, ifName: string, on: boolean): void {
  ethtool(fd, ifName, ETHTOOL_STXCSUM, on ? 1 : 0)
}
