/**
 * Where the program starts from source: a runtime's call, or a person's command. The build makes a bundle of each, and
 * packaging/loader.cjs chooses in the same way, so that a call loads nothing that it does not need.
 */
const { env, argv } = process
if (!env.CNI_COMMAND && argv.length > 2) await import('./shell.ts')
else await import('./call.ts')

export {}
