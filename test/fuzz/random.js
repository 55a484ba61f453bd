// Random choices that are the same for the same seed.

export class Random {
  #state

  /** @param {number} seed */
  constructor (seed) {
    this.#state = seed | 0
  }

  /** A number from 0 to 1 (mulberry32). */
  next () {
    this.#state = (this.#state + 0x6D2B79F5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer below the limit. @param {number} limit */
  below (limit) {
    return Math.floor(this.next() * limit)
  }

  /** @param {number} probability */
  chance (probability) {
    return this.next() < probability
  }

  /**
   * @template T
   * @param {readonly T[]} choices
   * @returns {T}
   */
  pick (choices) {
    return /** @type {T} */ (choices[this.below(choices.length)])
  }
}
