/** Lengths of time as text: `90`, `90s`, `5m`, `24h`, `7d`. */

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

export const DURATION_TAKES = 'a time from 1s to 30d, such as 90 (seconds), "90s", "5m" or "24h"'

/** Seconds, or `null` for what is no such time. */
export function readDuration (value: unknown): number | null {
  const [, amount, unit = 's'] = /^(\d{1,7})([smhd])?$/.exec(String(value)) ?? []
  if (amount === undefined) return null
  const seconds = Number(amount) * UNITS[unit]!
  return seconds >= 1 && seconds <= 30 * UNITS['d']! ? seconds : null
}
