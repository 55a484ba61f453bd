/** Validates the claims of an application token. */
import { TokenExpiredError, TokenInvalidError } from '../errors.js'
import { matchesAudience, type AcceptedTags } from './audience.js'

/** What the times of a token must match. */
export interface ClaimRules {
  /** Seconds. */
  readonly clockTolerance: number
  /** Seconds since `iat`; `Infinity` for no limit. */
  readonly maxTokenAge: number
}

type Claims = Readonly<Record<string, unknown>>

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
  if (!matchesAudience(claims['aud'], accepted)) throw new TokenInvalidError('audience')
  if (claims['type'] !== 'app') throw new TokenInvalidError('type')
  if (typeof claims['sub'] !== 'string') throw new TokenInvalidError('identity')
  if (!hasTimes(claims) || !isActive(claims, now / 1000 + rules.clockTolerance)) throw new TokenInvalidError('time')
  const end = expiryOf(claims, rules)
  if (now >= end) throw new TokenExpiredError(claims.exp <= claims.iat + rules.maxTokenAge ? 'expired' : 'age')
  return end
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
