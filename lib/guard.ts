/** The way of a request: authenticate, authorize, `request.cfAccess`. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { registryOf } from './coverage/registry.js'
import { ForbiddenError, TokenExpiredError, TokenInvalidError, TokenMissingError } from './errors.js'
import { isSamePrincipal, type CfAccessIdentity } from './identity/identity.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from './policy/policy.js'
import type { Registration } from './registration.js'

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
  const decide = policy.length === 0 ? null : compilePolicy(policy[0], 'guard(policy)')
  const hook: CfAccessGuard = function cfAccessGuard (request, _reply, done) {
    let registrations: readonly Registration[]
    try {
      registrations = registryOf(request.server).guardRequirementFor(request).registrations
    } catch (error) {
      return done(error as Error)
    }
    checkByAll(registrations, decide, request, done)
  }
  guards.add(hook)
  return hook
}

const guards = new WeakSet<CfAccessGuard>()

/** Whether this is a hook that `guard()` made. */
export function isGuard (hook: unknown): boolean {
  return guards.has(hook as CfAccessGuard)
}

function checkByAll (
  [registration, ...others]: readonly Registration[], policy: CompiledPolicy | null,
  request: FastifyRequest, done: HookHandlerDoneFunction
): void {
  if (registration === undefined) return done()
  checkRequest(registration, policy, request, error => {
    if (error !== undefined) return done(error)
    checkByAll(others, policy, request, done)
  })
}

/**
 * Admits the request by one registration, at once when its token is cached, or ends with the reason not to.
 * A request that is not admitted keeps the identity that an earlier guard has set.
 */
export function checkRequest (
  registration: Registration, policy: CompiledPolicy | null, request: FastifyRequest, done: HookHandlerDoneFunction
): void {
  let identity: CfAccessIdentity | Promise<CfAccessIdentity>
  try {
    identity = check(registration, policy, request)
  } catch (error) {
    return done(error as Error)
  }
  if (identity instanceof Promise) {
    identity.then(known => admit(known, request, done), done)
  } else {
    admit(identity, request, done)
  }
}

function admit (identity: CfAccessIdentity, request: FastifyRequest, done: HookHandlerDoneFunction): void {
  request.cfAccess = identity
  done()
}

function check (
  registration: Registration, policy: CompiledPolicy | null, request: FastifyRequest
): CfAccessIdentity | Promise<CfAccessIdentity> {
  const identity = authenticate(registration, request)
  return identity instanceof Promise
    ? identity.then(known => authorize(known, registration, policy, request))
    : authorize(identity, registration, policy, request)
}

function authenticate (
  { verifier, readTokens }: Registration, request: FastifyRequest
): CfAccessIdentity | Promise<CfAccessIdentity> {
  const earlier = request.cfAccess
  if (verifier.made(earlier)) return earlier
  const tokens = readTokens(request.headers)
  if (tokens.length === 0) throw new TokenMissingError('missing')
  if (tokens.length > 1) return firstVerified(tokens, verifier, earlier)
  const identity = verifier.verify(tokens[0]!)
  return identity instanceof Promise
    ? identity.then(known => matchEarlier(known, earlier))
    : matchEarlier(identity, earlier)
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

function authorize (
  identity: CfAccessIdentity, registration: Registration, policy: CompiledPolicy | null, request: FastifyRequest
): CfAccessIdentity | Promise<CfAccessIdentity> {
  const rule = deniedBy(identity, registration.policy, policy, request)
  return rule instanceof Promise ? rule.then(known => allow(identity, known)) : allow(identity, rule)
}

/** The rule of either policy that denies; the second policy is evaluated only when the first allows. */
function deniedBy (
  identity: CfAccessIdentity, first: CompiledPolicy | null, second: CompiledPolicy | null, request: FastifyRequest
): string | null | Promise<string | null> {
  const rule = first === null ? null : first(identity, request)
  if (rule instanceof Promise) return rule.then(known => known ?? deniedBy(identity, second, null, request))
  if (rule !== null || second === null) return rule
  return deniedBy(identity, second, null, request)
}

function allow (identity: CfAccessIdentity, rule: string | null): CfAccessIdentity {
  if (rule !== null) throw new ForbiddenError(rule)
  return identity
}
