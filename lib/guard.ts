/** A request's way in: token, identity, policies, `request.cfAccess`. Or the refusal. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { channels } from './channels.js'
import { coverageOf, type Registration } from './coverage.js'
import { ForbiddenError, IdentityUnavailableError, KeysUnavailableError, TokenExpiredError, TokenInvalidError, TokenMissingError } from './errors.js'
import type { CfAccessIdentity } from './identity.js'
import { compilePolicy, type CfAccessPolicy, type Decide } from './policy.js'
import type { Verifier } from './verifier.js'

/** A hook for `onRequest`, `preValidation` or `preHandler`, and a function for `@fastify/auth`. */
export type CfAccessGuard = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/**
 * Makes a hook that lets in whom the registration nearest to the route lets in, and asks `policy`
 * besides. The registration is looked for when the request comes, so it does not matter whether the
 * plugin was loaded when the route was declared; where there is none the request is refused with
 * 500 `FST_CF_ACCESS_NOT_REGISTERED`.
 *
 * @throws {OptionsInvalidError} at once, when a policy is given and is none
 */
export function guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard {
  // An `undefined` that was meant to be a policy must not turn into the absence of one.
  const decide = policy.length === 0 ? null : compilePolicy(policy[0], 'guard(policy)')
  const hook: CfAccessGuard = function cfAccessGuard (request, reply, done) {
    let registrations: readonly Registration[]
    try {
      registrations = coverageOf(request.server).answerTo(request).registrations
    } catch (error) {
      return refuse(error, request, reply, done)
    }
    admitByEach(registrations, decide, request, reply, done)
  }
  guards.add(hook)
  return hook
}

const guards = new WeakSet<CfAccessGuard>()

/** Whether this is a hook that `guard()` made. */
export function isGuard (hook: unknown): boolean {
  return guards.has(hook as CfAccessGuard)
}

function admitByEach (
  [registration, ...others]: readonly Registration[], policy: Decide | null, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction
): void {
  if (registration === undefined) return done()
  admit(registration, policy, request, reply, error => {
    if (error !== undefined) return done(error)
    admitByEach(others, policy, request, reply, done)
  })
}

/** Lets the request in by one registration, at once when its token is remembered, or refuses it. */
export function admit (
  registration: Registration, policy: Decide | null, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction
): void {
  let identity: CfAccessIdentity | Promise<CfAccessIdentity>
  try {
    identity = enter(registration, policy, request)
  } catch (error) {
    return refuse(error, request, reply, done)
  }
  if (identity instanceof Promise) {
    identity.then(known => letIn(known, request, done), error => refuse(error, request, reply, done))
  } else {
    letIn(identity, request, done)
  }
}

function letIn (identity: CfAccessIdentity, request: FastifyRequest, done: HookHandlerDoneFunction): void {
  request.cfAccess = identity
  done()
}

/** Ends the request with an error. The log learns the reason; the client only what the error's class says. */
export function refuse (error: unknown, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
  const { code, statusCode, reason } = error as { code: string, statusCode: number, reason: string }
  request.cfAccess = null
  request.log.info({ code, reason }, 'refused by Cloudflare Access guard')
  if (channels.refusal.hasSubscribers) {
    // Of a server's own trouble the reason is an operator's prose, not one of a few names.
    const rule = statusCode < 500 ? reason : null
    channels.refusal.publish({ code, rule, statusCode, method: request.method, route: request.routeOptions.url ?? null })
  }
  reply.header('cache-control', 'no-store')
  if (statusCode === 401) reply.header('www-authenticate', 'Cloudflare-Access')
  if (error instanceof KeysUnavailableError || error instanceof IdentityUnavailableError) reply.header('retry-after', error.retryAfter)
  done(error as Error)
}

function enter (registration: Registration, policy: Decide | null, request: FastifyRequest): CfAccessIdentity | Promise<CfAccessIdentity> {
  const identity = authenticate(registration, request)
  return identity instanceof Promise
    ? identity.then(known => authorize(known, registration, policy, request))
    : authorize(identity, registration, policy, request)
}

function authenticate ({ verifier, readTokens }: Registration, request: FastifyRequest): CfAccessIdentity | Promise<CfAccessIdentity> {
  if (verifier.madeOf(request.cfAccess)) return request.cfAccess
  const tokens = readTokens(request.headers)
  if (tokens.length === 0) throw new TokenMissingError('missing')
  return tokens.length === 1 ? verifier.verify(tokens[0]!) : firstVerified(tokens, verifier)
}

/** The first that verifies. When none does, the refusal that leaves most hope tells why. */
async function firstVerified (tokens: readonly string[], verifier: Verifier): Promise<CfAccessIdentity> {
  const errors: unknown[] = []
  for (const token of tokens) {
    try {
      return await verifier.verify(token)
    } catch (error) {
      errors.push(error)
    }
  }
  throw errors.find(error => !(error instanceof TokenInvalidError || error instanceof TokenExpiredError)) ??
    errors.find(error => error instanceof TokenExpiredError) ?? errors[0]
}

function authorize (
  identity: CfAccessIdentity, registration: Registration, policy: Decide | null, request: FastifyRequest
): CfAccessIdentity | Promise<CfAccessIdentity> {
  const rule = ruleAgainst(identity, registration.policy, policy, request)
  return rule instanceof Promise ? rule.then(known => allow(identity, known)) : allow(identity, rule)
}

/** The rule of either policy that refuses, the first one's before the second is asked. */
function ruleAgainst (
  identity: CfAccessIdentity, first: Decide | null, second: Decide | null, request: FastifyRequest
): string | null | Promise<string | null> {
  const rule = first === null ? null : first(identity, request)
  if (rule instanceof Promise) return rule.then(known => known ?? ruleAgainst(identity, second, null, request))
  if (rule !== null || second === null) return rule
  return ruleAgainst(identity, second, null, request)
}

function allow (identity: CfAccessIdentity, rule: string | null): CfAccessIdentity {
  if (rule !== null) throw new ForbiddenError(rule)
  return identity
}
