/** Optional identity: an open route, where `request.cfAccess` is set if a valid token came, and else stays `null`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Requirement } from './coverage/registry.js'
import { TokenMissingError } from './errors.js'
import { checkByAll } from './guard.js'
import { attempt, type MaybePromise } from './util/maybe-promise.js'

/**
 * Checks a request that reaches its handler in any case: a token that is not valid, a policy that denies and keys that
 * are unavailable all mean that there is no identity. An error of your app, such as a policy function that throws, ends
 * the request as on any other route.
 */
export function checkOptional (
  requirement: Requirement, request: FastifyRequest, reply: FastifyReply
): MaybePromise<void> {
  dependsOnCaller(reply)
  return attempt(() => checkByAll(requirement.registrations, requirement, request, reply), () => undefined, error => {
    request.cfAccess = null
    const { code, reason, statusCode } = error as { code?: string, reason?: string, statusCode?: number }
    if (statusCode === undefined || statusCode === 500) throw error
    if (!(error instanceof TokenMissingError)) request.log.debug({ code, reason }, 'no Cloudflare Access identity')
  })
}

/** Keeps the answer for one caller out of caches that others share. A handler can set these headers otherwise. */
function dependsOnCaller (reply: FastifyReply): void {
  const vary = [reply.getHeader('vary') ?? []].flat().concat('Cookie, Cf-Access-Jwt-Assertion').join(', ')
  reply.header('vary', vary)
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private')
}
