// What is true of the sessions of a fleet, of its store and of get-identity, and so which answers are right. Knows
// nothing of the library. All times are milliseconds.

/** The option `recheck`, as it is set in this soak. */
export const RECHECK = 60_000
/** How soon a process must know what another one knows. */
const TO_LEARN = 1000
// For what the machine itself takes, on both sides.
const SLACK = 1500
// A store that misses one deadline on a busy machine is left alone for a moment.
const AFTER_MISS = 5000
/** The longest wait of a backoff. */
const MAX_WAIT = 30_000

/** A login of a user. */
export class Session {
  /** @type {'signed-out' | 'revoked' | null} */
  end = null
  /** When the end was asked for, and when it was confirmed. */
  endingAt = Infinity
  endedAt = Infinity
  /** The process that ended it. @type {number | null} */
  endedBy = null
  /** When Access last answered a question about it. */
  confirmedAt = -Infinity
  /** By process, when it first rejected the session. @type {Map<number, number>} */
  rejectedAt = new Map()

  /** @param {string} token @param {string} kind */
  constructor (token, kind) {
    this.token = token
    this.kind = kind
  }
}

/**
 * @typedef {object} Answer
 * @property {number} from when the request was sent
 * @property {number} to when it was answered
 * @property {number} pid
 * @property {number} status
 * @property {string | undefined} code
 */

/** Something that works, fails, and needs a while until all processes use it again. */
class Service {
  #downSince = Infinity
  #usableSince = -Infinity

  /** @param {number} now */
  down (now) {
    this.#downSince = now
  }

  /** The processes come back after a backoff, which is at most twice as long as the failure. @param {number} now */
  up (now) {
    this.failed(now, Math.min(2 * (now - this.#downSince), MAX_WAIT))
    this.#downSince = Infinity
  }

  /** @param {number} now @param {number} wait until it is used again */
  failed (now, wait = AFTER_MISS) {
    this.#usableSince = Math.max(this.#usableSince, now + wait + SLACK)
  }

  /** Whether all processes could use it from then until now. @param {number} from */
  isUsableSince (from) {
    return this.#downSince === Infinity && this.#usableSince <= from
  }
}

export class FleetTruth {
  store = new Service()
  getIdentity = new Service()
  #rotatedAt = -Infinity

  /** @param {number} now */
  rotate (now) {
    this.#rotatedAt = now
  }

  /**
   * Whether an answer is right: `null`, or what is wrong with it.
   *
   * @param {Session | null} session `null` for a token that is never valid
   * @param {Answer} answer
   * @returns {'wrong admissions' | 'wrong rejections' | null}
   */
  judge (session, answer) {
    const { from, to, pid, status } = answer
    const isAdmitted = status === 200
    if (isAdmitted && (session === null || this.mustKnow(session, pid, from))) return 'wrong admissions'
    if (isAdmitted || (session === null && status === 401)) return null
    if (session === null || !this.#isRejectionRight(session, answer)) return 'wrong rejections'
    if (status === 401 && !session.rejectedAt.has(pid)) session.rejectedAt.set(pid, to)
    return null
  }

  /**
   * Whether a process must know that a session has ended, for a request sent at that time.
   *
   * @param {Session} session @param {number} pid @param {number} from
   */
  mustKnow ({ end, endingAt, endedAt, endedBy, rejectedAt }, pid, from) {
    if (end === null) return false
    if (from > (rejectedAt.get(pid) ?? Infinity)) return true
    if (end === 'signed-out' && pid === endedBy && from > endedAt) return true
    if (end === 'revoked' && from > endedAt + RECHECK + SLACK) return true
    // Another one knows, and has told the store.
    const knownAt = end === 'signed-out' ? endedAt : Math.min(...rejectedAt.values())
    const toldFrom = end === 'signed-out' ? endingAt : knownAt - SLACK
    return from > knownAt + TO_LEARN + SLACK && this.store.isUsableSince(toldFrom)
  }

  /** @param {Session} session @param {Answer} answer */
  #isRejectionRight ({ end, endingAt, confirmedAt, kind }, { from, to, status, code }) {
    if (status === 401 && code === 'FST_CF_ACCESS_TOKEN_INVALID') {
      // A token of a key that is new is known after at most two refreshes.
      return (end !== null && to > endingAt) || (kind === 'new' && from < this.#rotatedAt + 2 * TO_LEARN + SLACK)
    }
    if (status !== 503 || code !== 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE') return false
    const isConfirmed = from < confirmedAt + RECHECK - SLACK && this.store.isUsableSince(confirmedAt)
    return !this.getIdentity.isUsableSince(to) && !(isConfirmed && end === null)
  }
}
