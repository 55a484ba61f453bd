// What is true of the team's keys, and so which answers are right. Knows nothing of the library.

/** How the keys are kept in this soak, in milliseconds: short, so that much happens in a minute. */
export const TIMES = { maxAge: 2000, maxStale: 30_000, cooldown: 500, timeout: 300 }

/** @type {import('../../lib/index.js').CfAccessKeysOptions} the same, as an option */
export const KEYS = { maxAge: '2s', maxStale: '30s', cooldown: '500ms', timeout: '300ms' }

// For what the machine itself takes.
const SLACK = 1500

/**
 * How long it takes at most, from when it can be had, until the application must know of a new key, or of a withdrawn
 * one.
 */
const TO_LEARN = 2 * TIMES.cooldown + TIMES.timeout + SLACK
const TO_FORGET = TIMES.maxAge + TIMES.cooldown + TIMES.timeout + SLACK

/**
 * @typedef {object} Sent a request, and what its token really is
 * @property {string} kind
 * @property {string} [kid] of a token that is valid if its key is
 * @property {Record<string, string>} headers
 */

export class Truth {
  /** @type {number | null} since when the endpoint answers; `null` while it does not */
  #wellSince = 0
  /** @type {Map<string, { publishedAt: number, withdrawnAt: number, isKnown: boolean }>} */
  #keys = new Map()

  /** @param {number} now */
  constructor (now) {
    this.#wellSince = now
  }

  /** @param {readonly string[]} kids @param {number} now */
  publish (kids, now) {
    for (const kid of kids) {
      if (!this.#keys.has(kid)) this.#keys.set(kid, { publishedAt: now, withdrawnAt: Infinity, isKnown: false })
    }
    for (const [kid, key] of this.#keys) if (!kids.includes(kid)) key.withdrawnAt = Math.min(key.withdrawnAt, now)
  }

  /** @param {boolean} isWell @param {number} now */
  endpoint (isWell, now) {
    this.#notice(now)
    this.#wellSince = isWell ? now : null
  }

  /**
   * @param {Sent} sent @param {number} from when it was sent @param {number} to when it was answered
   * @returns {{ may: boolean, must: boolean }} whether it may be let in, and whether it must
   */
  judge ({ kid }, from, to) {
    if (kid === undefined) return { may: false, must: false }
    this.#notice(from)
    const key = /** @type {{ publishedAt: number, withdrawnAt: number, isKnown: boolean }} */ (this.#keys.get(kid))
    const forgottenFor = this.#wellSince === null ? -Infinity : from - Math.max(key.withdrawnAt, this.#wellSince)
    return { may: forgottenFor < TO_FORGET, must: key.isKnown && to < key.withdrawnAt }
  }

  /** A key is known for good once the endpoint has answered for long enough. @param {number} now */
  #notice (now) {
    if (this.#wellSince === null) return
    for (const key of this.#keys.values()) {
      const learntAt = Math.max(key.publishedAt, this.#wellSince) + TO_LEARN
      key.isKnown ||= learntAt <= now && learntAt <= key.withdrawnAt
    }
  }
}
