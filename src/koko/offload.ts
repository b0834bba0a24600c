/** TX checksum offload by SIOCETHTOOL (linux/ethtool.h), which acts in the calling thread's namespace. */
import { closeSync } from 'node:fs'
import { addressOf, ioctl, SOCK_CLOEXEC, SOCK_DGRAM, socket } from '../netlink/libc.ts'
import { step } from '../netlink/steps.ts'

const AF_INET = 2
const SIOCETHTOOL = 0x8946
const ETHTOOL_GTXCSUM = 0x16
const ETHTOOL_STXCSUM = 0x17
const IFREQ_LENGTH = 40

function ethtool(ifName: string, command: number, data: number): number {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  try {
    const value = Buffer.alloc(8)
    value.writeUInt32LE(command)
    value.writeUInt32LE(data, 4)
    const request = Buffer.alloc(IFREQ_LENGTH)
    request.write(ifName)
    request.writeBigUInt64LE(addressOf(value), 16)
    ioctl(fd, SIOCETHTOOL, request)
    return value.readUInt32LE(4)
  } finally {
    closeSync(fd)
  }
}

/** Whether frames leave `ifName` with their checksums still to be filled in. @throws SystemCallError */
export function getTxOffload(ifName: string): boolean {
  return ethtool(ifName, ETHTOOL_GTXCSUM, 0) !== 0
}

/** @throws SystemCallError */
export function setTxOffload(ifName: string, on: boolean): void {
  step()
  ethtool(ifName, ETHTOOL_STXCSUM, on ? 1 : 0)
}
