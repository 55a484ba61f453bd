// A limit for each person and machine, rather than for each address.
import rateLimit from '@fastify/rate-limit'
import cfAccess from 'fastify-cf-access'

/**
 * The limiter's hooks belong to the routes, and Fastify runs a scope's own hooks before them. So the
 * guard has always let the request in, and whoever it refuses uses up nobody's limit.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{ teamDomain: string, audience: string }} access
 * @param {number} max requests a minute
 */
export async function limitEach (app, access, max) {
  await app.register(cfAccess, access)
  await app.register(rateLimit, {
    max,
    timeWindow: '1 minute',
    // A person's `sub` stays the same for good; a machine's is empty.
    keyGenerator: ({ cfAccess, ip }) => cfAccess === null ? ip : `${cfAccess.kind} ${cfAccess.claims.sub || cfAccess.claims.common_name}`
  })
}
