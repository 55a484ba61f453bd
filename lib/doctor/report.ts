/** The report, for people and for programs. */
import type { Check } from './check.js'

/** One check, with what to do below it. */
export function linesOf ({ ok, text, todo }: Check): string {
  return `${ok ? '✓' : '✗'} ${text}\n${todo === undefined ? '' : `  → ${todo}\n`}`
}

/** The last lines. */
export function summaryOf (checks: readonly Check[]): string {
  const names = new Set(checks.filter(({ ok }) => !ok).map(({ name }) => name))
  if (names.size === 0) return '\nAll checks passed.\n'
  return `\nFailed: ${[...names].join(', ')}.\nThe documentation has more: Troubleshooting.\n`
}

export function jsonOf (checks: readonly Check[]): string {
  return `${JSON.stringify({ ok: isHealthy(checks), checks }, null, 2)}\n`
}

export function isHealthy (checks: readonly Check[]): boolean {
  return checks.every(({ ok }) => ok)
}
