/** Error codes of the CNI specification 1.1.0, section "Error", and the ones that nugator adds from 100 on. */
export const Code = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decoding: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  interfaceExists: 100,
  linkFull: 101,
  alreadyAttached: 102,
  internal: 999,
} as const

/** What a runtime is told. Every other error becomes one of these in one place: `plugin/report.ts`. */
export class CniError extends Error {
  override readonly name = 'CniError'
  readonly code: number
  readonly msg: string
  readonly details: string

  constructor(code: number, msg: string, details = '') {
    super(details === '' ? msg : `${msg}; ${details}`)
    this.code = code
    this.msg = msg
    this.details = details
  }
}
