/** Exponential backoff with jitter: how long a failing endpoint is left alone. */
import { elapsed } from './elapsed.js'

/** Milliseconds. */
const FIRST_WAIT = 500

/** One failure, and the wait that follows it: 500 ms after the first, twice as long after each further one. */
export class Backoff {
  /** Milliseconds since the Unix epoch. */
  readonly at = Date.now()
  /** Why it failed, for an operator. */
  readonly reason: string
  readonly #longest: number
  readonly #wait: number

  /**
   * Jitter shortens each wait by up to half, so that many processes do not retry at the same moment.
   * @param previous the failure before this one, without a success between them; one long ago does not count
   * @param maxWait the longest wait in milliseconds, also when it is below 500
   */
  constructor (reason: string, previous: Backoff | null, maxWait: number) {
    const isFirst = previous === null || previous.left(this.at) < -maxWait
    this.reason = reason
    this.#longest = Math.min(isFirst ? FIRST_WAIT : previous.#longest * 2, maxWait)
    this.#wait = Math.ceil(this.#longest * (1 + Math.random()) / 2)
  }

  /** Milliseconds until the next try; 0 or less when it is due. */
  left (now: number): number {
    return this.#wait - elapsed(this.at, now)
  }
}
