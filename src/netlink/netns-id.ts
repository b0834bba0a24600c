/** RTM_GETNSID (linux/net_namespace.h): how one namespace numbers another. */
import * as rt from 'netlink/dist/rt/structs.js'
import { putU32 } from 'netlink/dist/structs.js'
import { attributes, parseAttributes, type Request } from './message.ts'

const NETNSA_NSID = 1
const NETNSA_FD = 3
/** struct rtgenmsg, padded. */
const HEADER = Buffer.alloc(4)

/** The ID that the socket's namespace has for the one open at `fd`; -1 if it has none. */
export function getNetnsId(fd: number): Request<number> {
  return {
    what: 'ask for the ID of a namespace',
    type: rt.MessageType.GETNSID,
    flags: 0,
    payload: attributes((out) => {
      out.emit(HEADER)
      out.push(NETNSA_FD, putU32(fd))
    }),
    parse(message) {
      let id: number | undefined
      parseAttributes(message.data.subarray(HEADER.length), ({ type, data }) => {
        if (type === NETNSA_NSID) id = data.readInt32LE(0)
      })
      return id
    },
  }
}
