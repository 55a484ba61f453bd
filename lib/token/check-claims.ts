/** Validates the claims of an application token. */
import { TokenExpiredError, TokenInvalidError, type RejectionFacts } from '../errors.js'
import { loggable } from '../util/loggable.js'
import { checkAudience, type AcceptedTags } from './audience.js'

/** What the times of a token must match. */
export interface ClaimRules {
  /** Seconds. */
  readonly clockTolerance: number
  /** Seconds since `iat`; `Infinity` for no limit. */
  readonly maxTokenAge: number
}

type Claims = Readonly<Record<string, unknown>> & {
  readonly type?: unknown
  readonly sub?: unknown
  readonly iat?: unknown
  readonly nbf?: unknown
  readonly exp?: unknown
}

/** The claims that are times, in seconds since the Unix epoch. */
type Times = Claims & { readonly exp: number, readonly iat: number, readonly nbf?: number }

/**
 * Validates the claims of a payload, except `iss`, which selects the team. A team's key signs more than application
 * tokens: `meta` and `match` tokens carry the same AUD tag, and anyone can fetch one. So each claim must be present and
 * right; an absent claim never counts as right.
 *
 * @param accepted the AUD tags that the request needs
 * @param now milliseconds since the Unix epoch
 * @returns when the token expires, in milliseconds since the Unix epoch, tolerance included
 * @throws {TokenInvalidError | TokenExpiredError}
 * @see RFC 7519, section 4.1, and RFC 8725, section 3
 */
export function checkClaims (claims: Claims, accepted: AcceptedTags, rules: ClaimRules, now: number): number {
  checkAudience(claims['aud'], accepted)
  const { type, sub } = claims
  if (type !== 'app') throw new TokenInvalidError('type', { expected: 'app', received: loggable(type) })
  if (typeof sub !== 'string') throw new TokenInvalidError('identity', { expected: 'sub', received: loggable(sub) })
  if (!hasTimes(claims) || !isActive(claims, now / 1000 + rules.clockTolerance)) {
    throw new TokenInvalidError('time', timeFacts(claims, rules, now))
  }
  const end = expiryOf(claims, rules)
  if (now >= end) {
    const reason = claims.exp <= claims.iat + rules.maxTokenAge ? 'expired' : 'age'
    throw new TokenExpiredError(reason, timeFacts(claims, rules, now))
  }
  return end
}

/** The times in seconds from now: negative ones are past. */
function timeFacts (
  { iat, nbf, exp }: Claims, { clockTolerance, maxTokenAge }: ClaimRules, now: number
): RejectionFacts {
  const fromNow = (time: unknown): unknown =>
    Number.isSafeInteger(time) ? Math.round(time as number - now / 1000) : loggable(time)
  return {
    expected: { clockTolerance, ...(maxTokenAge < Infinity && { maxTokenAge }) },
    received: { iat: fromNow(iat), ...(nbf !== undefined && { nbf: fromNow(nbf) }), exp: fromNow(exp) }
  }
}

/** Safe integers only: JSON can contain times that never pass, such as `1e999`. Access offers sessions of no length. */
function hasTimes (claims: Claims): claims is Times {
  const { exp, iat, nbf } = claims
  return isTime(exp) && isTime(iat) && exp >= iat && (nbf === undefined || isTime(nbf))
}

/** Whether a claim is a time, in seconds since the Unix epoch. */
export function isTime (value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isActive (times: Times, latest: number): boolean {
  return times.iat <= latest && (times.nbf === undefined || times.nbf <= latest)
}

/** When a token with these times expires, in milliseconds since the Unix epoch, tolerance included. */
export function expiryOf (
  { exp, iat }: Pick<Times, 'exp' | 'iat'>, { clockTolerance, maxTokenAge }: ClaimRules
): number {
  return (Math.min(exp, iat + maxTokenAge) + clockTolerance) * 1000
}
