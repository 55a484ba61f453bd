/** Checks a request: authenticates it (else 401), authorizes it (else 403), then sets `request.cfAccess`. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { ForbiddenError, TokenExpiredError, TokenInvalidError, TokenMissingError } from './errors.js'
import { isSamePrincipal, type CfAccessIdentity } from './identity/identity.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from './policy/policy.js'
import type { Registration } from './registration.js'
import { serverStateOf } from './server-state.js'
import { andThen, attempt, type MaybePromise } from './util/maybe-promise.js'

/** A hook for `onRequest`, `preValidation` or `preHandler`, and a function for `@fastify/auth`. */
export type CfAccessGuard = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * Makes a hook that admits a request when the registration nearest to the route admits it and `policy` allows it.
 * The registration is looked up when the request comes, so the plugin can be registered after the route. Without a
 * registration the request is rejected with 500 `FST_CF_ACCESS_NOT_REGISTERED`.
 *
 * @throws {OptionsInvalidError} at once, for an argument that is not a policy
 */
export function guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard {
  // An explicit `undefined` was meant to be a policy, so it must not mean "no policy".
  const compiled = policy.length === 0 ? null : compilePolicy(policy[0], 'guard(policy)')
  const hook: CfAccessGuard = function cfAccessGuard (request, _reply, done) {
    const { registry } = serverStateOf(request.server)
    runAsHook(() => checkByAll(registry.guardRequirementFor(request).registrations, compiled, request), done)
  }
  return Object.assign(hook, { [kGuard]: true })
}

/** Marks the hooks that `guard()` makes. */
const kGuard = Symbol('fastify-cf-access.guard')

/** Whether `guard()` made this hook. */
export function isGuard (hook: unknown): boolean {
  return typeof hook === 'function' && kGuard in hook
}

/** Runs a check as a hook: synchronously, unless the check has to wait. */
export function runAsHook (check: () => MaybePromise<void>, done: HookHandlerDoneFunction): void {
  attempt(check, () => done(), error => done(error as Error))
}

function checkByAll (
  [registration, ...others]: readonly Registration[], policy: CompiledPolicy | null, request: FastifyRequest
): MaybePromise<void> {
  if (registration === undefined) return undefined
  return andThen(checkRequest(registration, policy, request), () => checkByAll(others, policy, request))
}

/**
 * Authenticates the request by one registration, then authorizes it by the registration's policy and by a further one.
 * A rejected request keeps the identity that an earlier guard has set.
 */
export function checkRequest (
  registration: Registration, policy: CompiledPolicy | null, request: FastifyRequest
): MaybePromise<void> {
  return andThen(authenticate(registration, request), identity =>
    andThen(authorize(identity, registration.policy, request), () =>
      andThen(authorize(identity, policy, request), () => { request.cfAccess = identity })))
}

function authenticate (
  { verifier, readTokens }: Registration, request: FastifyRequest
): MaybePromise<CfAccessIdentity> {
  const earlier = request.cfAccess
  if (verifier.made(earlier)) return earlier
  const tokens = readTokens(request.headers)
  if (tokens.length === 0) throw new TokenMissingError('missing')
  const verify = (token: string): MaybePromise<CfAccessIdentity> =>
    andThen(verifier.verify(token), identity => matchEarlier(identity, earlier))
  return tokens.length === 1 ? verify(tokens[0]!) : firstVerified(tokens, verify, [])
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
function matchEarlier (identity: CfAccessIdentity, earlier: CfAccessIdentity | null): CfAccessIdentity {
  if (earlier !== null && !isSamePrincipal(identity, earlier)) throw new TokenInvalidError('identity')
  return identity
}

/** @throws {ForbiddenError} with the rule of the policy that denies */
function authorize (
  identity: CfAccessIdentity, policy: CompiledPolicy | null, request: FastifyRequest
): MaybePromise<void> {
  if (policy === null) return undefined
  return andThen(policy(identity, request), rule => {
    if (rule !== null) throw new ForbiddenError(rule)
  })
}
