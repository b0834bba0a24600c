declare const __NUGATOR_VERSION__: string | undefined

/** Put in by the build; `dev` when run from source. */
export const VERSION: string = typeof __NUGATOR_VERSION__ === 'string' ? __NUGATOR_VERSION__ : 'dev'
