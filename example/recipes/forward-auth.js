// Answers the question of a gateway, nginx, Traefik or Caddy: does this request get in, and who sent it?
// The gateways' own configuration is in nginx.conf, Caddyfile and forward-auth.md.
import cfAccess from 'fastify-cf-access'
import { identityHeaders, tokenHeader, withoutTokenCookie } from './identity-headers.js'

/** @typedef {import('fastify-cf-access').CfAccessPolicyFor<import('fastify-cf-access').CfAccessIncoming>} Policy */

/**
 * One route for each policy, `/forward-auth/NAME`: 204 with the identity in headers, 401 or 403; 503 while the keys are
 * unavailable. The gateway says which policy counts, by the route that it asks. No path is read here: the gateway
 * decides which location a path belongs to, and a second interpretation of it could be another one.
 *
 * The gateway's subrequest is a GET, whatever the client has sent. Cross-origin protection needs the method and the
 * host of the client's request and whether it is an upgrade, so the gateway tells them in `X-Forwarded-Method`,
 * `X-Forwarded-Host` and `X-Forwarded-Upgrade`. They are believed: only the gateway must reach this server. Bind it to
 * loopback or a Unix socket, and give it no other routes: a client that writes those headers itself is still
 * authenticated, but not protected against requests of other origins.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{ teamDomain: string, audience: string }} access
 * @param {Record<string, Policy | null>} policies by name; `null` allows every verified identity
 * @param {'strip' | 'pass'} [credentials] `pass`: the answer has the verified token as well, for the upstream
 */
export async function forwardAuth (app, access, policies, credentials = 'strip') {
  await app.register(async scope => {
    // It guards no route: its rules would judge the subrequest.
    await scope.register(cfAccess, { ...access, global: false })
    for (const [name, policy] of Object.entries(policies)) {
      scope.get(`/${name}`, async (request, reply) => {
        const identity = await scope.cfAccess.authenticate(originalOf(request), ...(policy === null ? [] : [policy]))
        return reply.code(204).headers({
          'cache-control': 'no-store',
          ...identityHeaders(identity),
          ...(credentials === 'pass' && tokenHeader(identity)),
          // The other cookies, for the upstream: a gateway cannot take one cookie out of several.
          ...withoutTokenCookie(request.headers.cookie)
        }).send()
      })
    }
  }, { prefix: '/forward-auth' })
}

/**
 * The client's request, as far as the gateway tells it. `sec-websocket-key` reveals an upgrade too: Traefik removes
 * `upgrade`.
 *
 * @param {import('fastify').FastifyRequest} request
 */
function originalOf ({ headers }) {
  const { upgrade = headers['x-forwarded-upgrade'] ?? headers['sec-websocket-key'], ...others } = headers
  const method = told(headers, 'x-forwarded-method')
  const host = told(headers, 'x-forwarded-host')
  return { method, headers: { ...others, host, ...(upgrade !== undefined && { upgrade: String(upgrade) }) } }
}

/**
 * @param {import('node:http').IncomingHttpHeaders} headers
 * @param {string} name
 */
function told (headers, name) {
  const value = headers[name]
  if (value === undefined) throw new Error(`The gateway does not send ${name}`) // 500, so the gateway lets nothing pass
  return String(value)
}
