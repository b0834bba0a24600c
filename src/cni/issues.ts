import type * as z from 'zod/mini'

/** `ips.0.address: expected string`: where and what, the first few. */
export function describeIssues(error: z.core.$ZodError): string {
  const issues = error.issues.slice(0, 3).map((issue) => {
    const at = issue.path.map(String).join('.')
    return at === '' ? issue.message : `${at}: ${issue.message}`
  })
  return issues.join('; ')
}
