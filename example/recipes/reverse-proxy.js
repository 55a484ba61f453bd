// A reverse proxy behind the guard: upstreams that know nothing of Access get the identity in headers.
import httpProxy from '@fastify/http-proxy'
import cfAccess, { onSessionEnd } from 'fastify-cf-access'
import { identityHeaders, tokenHeader, withoutCredentials, withoutTokenCookie } from './identity-headers.js'

/**
 * @typedef {object} Upstream
 * @property {string} prefix a path, `/` for all that no longer prefix covers
 * @property {string} upstream its address
 * @property {import('fastify-cf-access').CfAccessPolicy} [policy] who is allowed
 */

/**
 * Guards each prefix by a registration of its own, and forwards what it admits. So a path that an upstream could read
 * as one under another prefix (`/x/..%2fadmin`, `/%2561dmin`) must satisfy the policies of both, or is rejected.
 *
 * Upstreams trust the headers `x-auth-kind`, `x-auth-subject` and `x-auth-email`, so only this proxy must be able to
 * reach them: bind them to loopback, a socket or a private network.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{ teamDomain: string, audience: string }} access
 * @param {Upstream[]} upstreams
 * @param {'strip' | 'pass'} [credentials] `pass` gives them the verified token as well; they can act as the user with
 *   it, on every hostname of the Access application
 */
export async function proxyTo (app, access, upstreams, credentials = 'strip') {
  for (const { prefix, upstream, policy } of upstreams) {
    await app.register(cfAccess, { ...access, prefix, ...(policy !== undefined && { policy }) })
    await app.register(async scope => {
      scope.removeAllContentTypeParsers() // bodies are streamed, of every type and length
      scope.addHook('preHandler', closeWithSession)
      await scope.register(httpProxy, {
        upstream,
        websocket: true,
        replyOptions: {
          rewriteRequestHeaders: (request, { expect, ...headers }) => ({ // "expect" was answered by this server
            ...withoutCredentials(headers),
            'x-forwarded-host': request.host,
            ...callerHeaders(request, credentials)
          })
        },
        // An upstream gets the cookies of an upgrade, and no other header of the client.
        wsClientOptions: socketOptions(request => ({
          ...withoutTokenCookie(request.headers.cookie),
          'x-forwarded-host': request.host,
          ...callerHeaders(request, credentials)
        }))
      })
    }, { prefix })
  }
}

/**
 * Without an identity, as on a route that a registration leaves open, the upstream gets no identity header.
 *
 * @param {Pick<import('fastify').FastifyRequest, 'cfAccess'>} request
 * @param {'strip' | 'pass'} credentials
 */
function callerHeaders ({ cfAccess: identity }, credentials) {
  if (identity === null) return {}
  return { ...identityHeaders(identity), ...(credentials === 'pass' && tokenHeader(identity)) }
}

/**
 * A WebSocket is closed when the session of its user ends.
 *
 * @param {import('fastify').FastifyRequest} request
 */
async function closeWithSession ({ cfAccess: identity, headers, raw: { socket } }) {
  if (identity === null || headers.upgrade === undefined) return
  socket.once('close', onSessionEnd(identity, () => socket.destroy()))
}

/**
 * The proxy's types lack this option.
 *
 * @param {(request: import('fastify').FastifyRequest) => Record<string, string>} headersOf
 * @returns {import('ws').ClientOptions}
 */
function socketOptions (headersOf) {
  return /** @type {object} */ ({
    rewriteRequestHeaders: (/** @type {object} */ _headers, /** @type {import('fastify').FastifyRequest} */ request) =>
      headersOf(request)
  })
}
