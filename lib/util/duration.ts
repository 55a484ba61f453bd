/** Durations as text: a whole number and its unit. */

/** A duration with its unit: `'500ms'`, `'30s'`, `'5m'`, `'24h'`, `'7d'`. */
export type CfAccessDuration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** @returns milliseconds, negative after a minus sign; `null` for anything that is not a duration */
export function parseDuration (value: unknown): number | null {
  const [, amount, unit] = typeof value === 'string' ? /^(-?\d{1,12})(ms|s|m|h|d)$/.exec(value) ?? [] : []
  return amount === undefined ? null : Number(amount) * MILLISECONDS[unit!]!
}
