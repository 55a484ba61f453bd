/** Notices when the last rejections of a registration have one cause, and says so with what to do. */
import type { RejectionFacts } from './errors.js'
import { REASONS, type CfAccessReason } from './reasons.js'
import { elapsed } from './util/elapsed.js'

/** What is known of a rejection. */
export interface RejectionCause {
  readonly reason: CfAccessReason
  readonly rule: string | undefined
  readonly facts: RejectionFacts
  /** What to do, where more is known than the reason. */
  readonly hint: string | undefined
}

/** Rejections in a row with one cause. */
const IN_A_ROW = 20
/** Milliseconds between two warnings. */
const PAUSE = 3_600_000

/** Reasons whose rejections have one cause only if they received the same. */
const BY_RECEIVED: ReadonlySet<CfAccessReason> = new Set(['audience', 'issuer', 'type', 'host', 'algorithm'])

/** The last rejections of one registration. */
export class RejectionPatterns {
  readonly #warn: (facts: object, message: string) => void
  #cause = ''
  #count = 0
  #warnedAt = -Infinity

  /** @param warn is called once an hour at most */
  constructor (warn: (facts: object, message: string) => void) {
    this.#warn = warn
  }

  note (rejection: RejectionCause): void {
    const cause = causeOf(rejection)
    this.#count = cause === this.#cause ? this.#count + 1 : 1
    this.#cause = cause
    if (this.#count < IN_A_ROW || elapsed(this.#warnedAt, Date.now()) < PAUSE) return
    this.#warnedAt = Date.now()
    const { reason, rule, facts, hint } = rejection
    const { meaning, cure } = REASONS[reason]
    this.#warn({ reason, rule, ...facts }, `The last ${IN_A_ROW} rejections have one cause. ${hint ?? `${meaning} ${cure}`}`)
  }
}

/** Equal for rejections that one cure ends. */
function causeOf ({ reason, rule, facts, hint }: RejectionCause): string {
  return JSON.stringify([reason, BY_RECEIVED.has(reason) ? facts.received : hint ?? rule])
}
