/** How long ago something was. */

/**
 * Milliseconds between two moments, whichever is later: a clock that is set back must not keep keys or confirmations
 * fresh for ever, or make a wait longer.
 */
export function elapsed (since: number, now: number): number {
  return Math.abs(now - since)
}
