/** The way of a request: authenticate, authorize, `request.cfAccess`. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { registryOf } from './coverage/registry.js'
import { ForbiddenError, TokenExpiredError, TokenInvalidError, TokenMissingError } from './errors.js'
import { isSamePrincipal, type CfAccessIdentity } from './identity/identity.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from './policy/policy.js'
import type { Registration } from './registration.js'
import { andThen, attempt, type MaybePromise } from './util/maybe-promise.js'

/** A hook for `onRequest`, `preValidation` or `preHandler`, and a function for `@fastify/auth`. */
export type CfAccessGuard = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * Makes a hook that admits the requests which the registration nearest to the route admits, and which
 * `policy` allows. The registration is looked up when the request comes, so the plugin can be loaded
 * after the route is declared; where there is none the request is rejected with 500
 * `FST_CF_ACCESS_NOT_REGISTERED`.
 *
 * @throws {OptionsInvalidError} at once, for an argument that is not a policy
 */
export function guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard {
  // An `undefined` that was meant to be a policy must not turn into the absence of one.
  const compiled = policy.length === 0 ? null : compilePolicy(policy[0], 'guard(policy)')
  const hook: CfAccessGuard = function cfAccessGuard (request, _reply, done) {
    runAsHook(() => checkByAll(registryOf(request.server).guardRequirementFor(request).registrations, compiled, request), done)
  }
  guards.add(hook)
  return hook
}

const guards = new WeakSet<CfAccessGuard>()

/** Whether this is a hook that `guard()` made. */
export function isGuard (hook: unknown): boolean {
  return guards.has(hook as CfAccessGuard)
}

/** Admits when the check succeeds, at once when it needs nothing that is not there yet. */
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
 * A request that is rejected keeps the identity that an earlier guard has set.
 */
export function checkRequest (
  registration: Registration, policy: CompiledPolicy | null, request: FastifyRequest
): MaybePromise<void> {
  return andThen(authenticate(registration, request), identity =>
    andThen(authorize(identity, registration.policy, request), () =>
      andThen(authorize(identity, policy, request), () => { request.cfAccess = identity })))
}

function authenticate ({ verifier, readTokens }: Registration, request: FastifyRequest): MaybePromise<CfAccessIdentity> {
  const earlier = request.cfAccess
  if (verifier.made(earlier)) return earlier
  const tokens = readTokens(request.headers)
  if (tokens.length === 0) throw new TokenMissingError('missing')
  if (tokens.length > 1) return firstVerified(tokens, verifier, earlier)
  return andThen(verifier.verify(tokens[0]!), identity => matchEarlier(identity, earlier))
}

/** The first that verifies. When none does, the error that leaves most hope tells why. */
async function firstVerified (
  tokens: readonly string[], verifier: Registration['verifier'], earlier: CfAccessIdentity | null
): Promise<CfAccessIdentity> {
  const errors: unknown[] = []
  for (const token of tokens) {
    try {
      return matchEarlier(await verifier.verify(token), earlier)
    } catch (error) {
      errors.push(error)
    }
  }
  throw errors.find(error => !(error instanceof TokenInvalidError || error instanceof TokenExpiredError)) ??
    errors.find(error => error instanceof TokenExpiredError) ?? errors[0]
}

/**
 * Where several registrations guard a request, they must admit one and the same user, service or certificate:
 * two cookies of two users do not add up.
 */
function matchEarlier (identity: CfAccessIdentity, earlier: CfAccessIdentity | null): CfAccessIdentity {
  if (earlier !== null && !isSamePrincipal(identity, earlier)) throw new TokenInvalidError('identity')
  return identity
}

/** @throws {ForbiddenError} with the rule of the policy that denies */
function authorize (identity: CfAccessIdentity, policy: CompiledPolicy | null, request: FastifyRequest): MaybePromise<void> {
  if (policy === null) return undefined
  return andThen(policy(identity, request), rule => {
    if (rule !== null) throw new ForbiddenError(rule)
  })
}
