// A limit for each user and machine rather than for each address, and one for the requests that are rejected.
import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import cfAccess from 'fastify-cf-access'

/**
 * The limiter's hooks belong to the routes, and Fastify runs a scope's own hooks before them, in whichever order the
 * plugins are registered. So a limit never sees a request that the guard rejects; those are counted where they end,
 * in the error handler. An address that was rejected too often gets 429 in place of 401 and 403. A user who is
 * admitted from that address is not affected, since behind a proxy many users share one.
 *
 * A scope with an error handler of its own needs the same lines there. For `request.ip` to be the client's address
 * set Fastify's `trustProxy`.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{ teamDomain: string, audience: string }} access
 * @param {{ requests: number, rejections: number }} max a minute; of each user or machine, and of each address
 */
export async function limitEach (app, access, max) {
  await app.register(cfAccess, access)
  await app.register(rateLimit, { max: max.requests, timeWindow: '1 minute', keyGenerator: callerOf })

  const countRejection = app.createRateLimit({ max: max.rejections })
  app.setErrorHandler(async (error, request, reply) => {
    if (!isRejection(error)) throw error
    const limit = await countRejection(request)
    if (limit.isAllowed || !limit.isExceeded) throw error
    reply.removeHeader('www-authenticate')
    return reply.code(429).header('retry-after', limit.ttlInSeconds)
      .send({ statusCode: 429, error: 'Too Many Requests', message: 'Rejected too often, retry later' })
  })
}

/**
 * A user's `sub` stays the same for good; a machine's is empty.
 *
 * @param {import('fastify').FastifyRequest} request
 */
function callerOf ({ cfAccess, ip }) {
  return cfAccess === null ? normalizeIP(ip) : `${cfAccess.kind} ${cfAccess.claims.sub || cfAccess.claims.common_name}`
}

/** @param {unknown} error */
function isRejection (error) {
  const { code = '', statusCode = 500 } = /** @type {import('fastify').FastifyError} */ (error)
  return code.startsWith('FST_CF_ACCESS_') && statusCode < 500
}
