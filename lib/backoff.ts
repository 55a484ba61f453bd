/** Exponential backoff with jitter: how long a failing endpoint is left alone. All times are in milliseconds. */

const FIRST_WAIT = 500

/** The wait between the failures of one endpoint: 500 ms after the first, twice as long after each further one. */
export class Backoff {
  readonly #maxWait: number
  #failures = 0
  #failedAt = 0
  #wait = 0

  /** @param maxWait the longest wait, also where it is below 500 */
  constructor (maxWait: number) {
    this.#maxWait = maxWait
  }

  /** Starts the next wait. Up to half of it is left out at random, so that a fleet does not come back at once. */
  fail (now: number): void {
    const wait = Math.min(FIRST_WAIT * 2 ** this.#failures++, this.#maxWait)
    this.#wait = Math.ceil(wait * (1 + Math.random()) / 2)
    this.#failedAt = now
  }

  reset (): void {
    this.#failures = this.#wait = 0
  }

  isOver (now: number): boolean {
    // The distance, so that a clock set back does not make the wait longer.
    return Math.abs(now - this.#failedAt) >= this.#wait
  }

  /** When the wait is over, in milliseconds since the Unix epoch; not after `now` when it is over already. */
  nextTry (now: number): number {
    const end = this.#failedAt + this.#wait
    return this.isOver(now) ? Math.min(now, end) : end
  }
}
