import { errnoText } from './libc.ts'

/** The kernel refused a netlink request: what was asked, errno by name, and the kernel's own words if it gave any. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError'
  /** What was asked, in words: `create veth eth0`. */
  readonly request: string
  /** errno by name: `EEXIST`. */
  readonly code: string
  /** The kernel's extended ACK message (NLMSGERR_ATTR_MSG), if any. */
  readonly kernelText: string | undefined

  constructor(request: string, code: string, kernelText: string | undefined) {
    super(`${request}: ${errnoText(code)}${kernelText === undefined ? '' : `: ${kernelText}`}`)
    this.request = request
    this.code = code
    this.kernelText = kernelText
  }
}
