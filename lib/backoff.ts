/** How long a failing endpoint is left alone: twice as long after each failure in a row. */

const MIN_WAIT = 1000
const MAX_WAIT = 30_000

/** One failure, and the time it keeps further requests back. */
export class Backoff {
  /** Why it failed, in words for an operator. */
  readonly reason: string
  readonly #since = Date.now()
  readonly #wait: number

  /** @param previous the failure before this one, with no success between them; one long past does not count */
  constructor (reason: string, previous: Backoff | null) {
    const isFirst = previous === null || previous.left(this.#since) < -MAX_WAIT
    this.reason = reason
    this.#wait = isFirst ? MIN_WAIT : Math.min(previous.#wait * 2, MAX_WAIT)
  }

  /** Milliseconds until a request makes sense again; 0 or less once one does. */
  left (now: number): number {
    // The distance, so that a clock set back cannot make the wait endless.
    return this.#wait - Math.abs(now - this.#since)
  }
}
