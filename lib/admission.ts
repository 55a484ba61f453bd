/** Admits a request: authenticates it (else 401), then authorizes it (else 403). Needs no Fastify. */
import { CrossOriginProtection, type TrustedOrigins } from './coverage/cross-origin.js'
import {
  ForbiddenError, TokenExpiredError, TokenInvalidError, TokenMissingError, type RejectionFacts
} from './errors.js'
import type { CfAccessUserDetails } from './identity/details.js'
import { isSamePrincipal, type CfAccessIdentity } from './identity/identity.js'
import type { SharedStore } from './identity/shared-store.js'
import type { SignOuts } from './identity/sign-outs.js'
import type { CompiledPolicy, Denial } from './policy/policy.js'
import type { Audience } from './token/audience.js'
import { readHeader, readHeaderOrCookies, type ReadTokens } from './token/extract.js'
import { Verifier, type TrustedTeam, type VerifierSettings } from './token/token-verifier.js'
import type { HttpRequest } from './util/http-request.js'
import { andThen, attempt, type MaybePromise } from './util/maybe-promise.js'

/** Which requests are admitted. */
export interface Admission {
  readonly policy: CompiledPolicy | null
  readonly readTokens: ReadTokens
  readonly crossOrigin: CrossOriginProtection
  readonly audience: Audience
  readonly verifier: Verifier
}

export interface AdmissionSettings extends VerifierSettings {
  readonly policy: CompiledPolicy | null
  /** `false`: accepts the header only. */
  readonly cookie: boolean
  readonly trustedOrigins: TrustedOrigins
  readonly audience: Audience
}

/** What registrations, and with a store processes, tell each other. */
export interface SharedState {
  readonly signOuts: SignOuts
  /** `null` where processes share nothing. */
  readonly store: SharedStore | null
}

/** What is asked of one request in addition. */
export interface Checks {
  readonly policy: CompiledPolicy | null
  readonly trustedOrigins: TrustedOrigins
}

/** @param warn logs what an operator should see, once */
export function createAdmission (
  settings: AdmissionSettings, teams: readonly TrustedTeam[], shared: SharedState,
  warn: (facts: object, message: string) => void
): Admission {
  const { policy, cookie, trustedOrigins, audience, clockTolerance, maxTokenAge, cacheMax, recheck } = settings
  return {
    policy,
    readTokens: cookie ? readHeaderOrCookies : readHeader,
    crossOrigin: new CrossOriginProtection(trustedOrigins, warn),
    audience,
    verifier: new Verifier({ clockTolerance, maxTokenAge, cacheMax, recheck }, teams, shared.signOuts, shared.store)
  }
}

/**
 * Authenticates a request, then authorizes it by the policy of the admission and by the one in `checks`.
 * @param earlier the identity that another registration has admitted
 * @param subject the request as the policies get it
 */
export function admit (
  admission: Admission, { policy, trustedOrigins }: Checks, request: HttpRequest,
  earlier: CfAccessIdentity | null, subject: unknown = request
): MaybePromise<CfAccessIdentity> {
  return andThen(authenticate(admission, trustedOrigins, request, earlier), identity =>
    andThen(authorize(identity, admission.policy, subject), () =>
      andThen(authorize(identity, policy, subject), () => identity)))
}

function authenticate (
  { verifier, audience, readTokens, crossOrigin }: Admission, alsoTrusted: TrustedOrigins, request: HttpRequest,
  earlier: CfAccessIdentity | null
): MaybePromise<CfAccessIdentity> {
  if (verifier.made(earlier)) return earlier
  const tokens = readTokens(request.headers)
  if (tokens.length === 0) throw new TokenMissingError('missing')
  crossOrigin.check(request, alsoTrusted)
  const accepted = audience.acceptedFor(request)
  if (tokens.length === 1) return matchEarlier(verifier.verify(tokens[0]!, accepted), earlier)
  return firstVerified(tokens, token => matchEarlier(verifier.verify(token, accepted), earlier), [])
}

/** The identity of the first token that verifies. When none does, the error that is closest to success. */
function firstVerified (
  [token, ...others]: readonly string[], verify: (token: string) => MaybePromise<CfAccessIdentity>,
  errors: readonly unknown[]
): MaybePromise<CfAccessIdentity> {
  if (token === undefined) throw closestToSuccess(errors)
  return attempt(() => verify(token), identity => identity, error => firstVerified(others, verify, [...errors, error]))
}

function closestToSuccess (errors: readonly unknown[]): unknown {
  return errors.find(error => !(error instanceof TokenInvalidError || error instanceof TokenExpiredError)) ??
    errors.find(error => error instanceof TokenExpiredError) ?? errors[0]
}

/**
 * Several registrations that guard one request must all admit the same user, service or certificate: the cookies of
 * two users are not added together.
 */
function matchEarlier (
  verified: MaybePromise<CfAccessIdentity>, earlier: CfAccessIdentity | null
): MaybePromise<CfAccessIdentity> {
  if (earlier === null) return verified
  return andThen(verified, identity => {
    if (!isSamePrincipal(identity, earlier)) throw new TokenInvalidError('identity')
    return identity
  })
}

/** @throws {ForbiddenError} with the rule of the policy that denies */
function authorize (
  identity: CfAccessIdentity, policy: CompiledPolicy | null, request: unknown
): MaybePromise<void> {
  if (policy === null) return undefined
  return andThen(policy(identity, request), denial => {
    if (denial !== null) throw new ForbiddenError(denial.rule, factsOf(denial, identity))
  })
}

/** What a user is called stays out of it. */
function factsOf ({ selectors, details }: Denial, { kind }: CfAccessIdentity): RejectionFacts {
  const groups = details === null ? 'not asked' : (details as CfAccessUserDetails).groups?.length ?? 'unknown'
  return { expected: selectors, received: { kind, groups } }
}
