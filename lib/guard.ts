/** Checks a request by its registrations: admits it (else 401 or 403), then sets `request.cfAccess`. */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { admit, type Checks } from './admission.js'
import { channels } from './channels.js'
import { OptionsInvalidError } from './errors.js'
import { callerOf } from './identity/caller.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { compilePolicy } from './policy/policy.js'
import type { CfAccessPolicy } from './policy/route-policy.js'
import type { Registration } from './registration.js'
import { noteRejectedBy } from './reject.js'
import { serverStateOf } from './server-state.js'
import { andThen, attempt, type MaybePromise } from './util/maybe-promise.js'

/**
 * A hook for `onRequest`, `preValidation` or `preHandler`, and a function for `@fastify/auth`. Its types hold on every
 * kind of server: HTTP/1, HTTP/2, with TLS, with a logger of your own.
 */
export type CfAccessGuard = (request: object, reply: object, done: HookHandlerDoneFunction) => void

/**
 * Makes a hook that admits a request when the registration nearest to the route admits it and `policy` allows it.
 * The registration is looked up when the request comes, so the plugin can be registered after the route. Without a
 * registration the request is rejected with 500 `FST_CF_ACCESS_NOT_REGISTERED`.
 *
 * @throws {OptionsInvalidError} at once, for an argument that is not a policy
 */
export function guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard {
  // As a hook it would be given the request, the reply and a function.
  if (policy.length > 1) throw new OptionsInvalidError('guard makes a hook; write guard(), not guard.')
  // An explicit `undefined` was meant to be a policy, so it must not mean "no policy".
  const compiled = policy.length === 0 ? null : compilePolicy(policy[0], 'guard(policy)')
  const hook = function cfAccessGuard (
    request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction
  ): void {
    const { registry } = serverStateOf(request.server)
    runAsHook(() => {
      const { registrations, trustedOrigins } = registry.guardRequirementFor(request)
      return checkByAll(registrations, { policy: compiled, trustedOrigins }, request, reply)
    }, done)
  }
  return Object.assign(hook as CfAccessGuard, { [kGuard]: true })
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

/** Checks a request by several registrations. All of them must admit the same identity. */
export function checkByAll (
  [registration, ...others]: readonly Registration[], checks: Checks, request: FastifyRequest, reply: FastifyReply
): MaybePromise<void> {
  if (registration === undefined) return undefined
  return andThen(checkRequest(registration, checks, request, reply), () => checkByAll(others, checks, request, reply))
}

/** Checks a request by one registration. A rejected request keeps the identity that an earlier guard has set. */
export function checkRequest (
  registration: Registration, checks: Checks, request: FastifyRequest, reply: FastifyReply
): MaybePromise<void> {
  return attempt(
    () => admit(registration, checks, request, request.cfAccess),
    identity => setIdentity(identity, registration, request, reply),
    error => {
      noteRejectedBy(registration, error)
      throw error
    })
}

function setIdentity (
  identity: CfAccessIdentity, { logIdentity }: Registration, request: FastifyRequest, reply: FastifyReply
): void {
  const isFirst = request.cfAccess === null
  request.cfAccess = identity
  if (logIdentity !== null) bindToLog(logIdentity(identity), request, reply)
  if (isFirst && channels.admission.hasSubscribers) {
    const { method, routeOptions: { url: route = null } } = request
    channels.admission.publish({ ...callerOf(identity), method, route })
  }
}

/** Requests whose log lines already say who made them: several registrations can guard one. */
const bound = new WeakSet<FastifyRequest>()

/** For all further log lines of a request; Fastify writes its last one with the reply's logger. */
function bindToLog (caller: object, request: FastifyRequest, reply: FastifyReply): void {
  if (bound.has(request)) return
  bound.add(request)
  request.log = reply.log = request.log.child({ cfAccess: caller })
}
