// A small application behind Cloudflare Access: what a real one would look like.
import { readFile } from 'node:fs/promises'
import Fastify from 'fastify'
import cfAccess, { guard } from 'fastify-cf-access'
import { serveWebSockets } from './recipes/web-socket.js'

const PAGE = new URL('page.html', import.meta.url)
const ACCESS_MODULE = new URL(import.meta.resolve('fastify-cf-access/browser'))

/** The hostname of a second Access application, with its own AUD tag. */
export const PARTNERS = 'partners.localhost'

/**
 * @param {{ teamDomain: string, audience: string, partnerAudience?: string }} access where the users come from
 * @param {import('fastify').FastifyServerOptions} [options]
 */
export async function createApp ({ teamDomain, audience, partnerAudience }, options) {
  const app = Fastify(options)
  const byHostname = { localhost: audience, '127.0.0.1': audience, [PARTNERS]: partnerAudience ?? audience }

  // Registered first, so that `request.cfAccess` and `app.cfAccess` are there for every route.
  // Nothing is guarded here unless it asks.
  await app.register(cfAccess, {
    teamDomain,
    audience: partnerAudience === undefined ? audience : byHostname,
    global: false
  })

  // A public page that greets a user who is logged in.
  app.get('/', { config: { cfAccess: 'optional' } }, async ({ cfAccess }) =>
    `Anyone can read this${cfAccess?.email === undefined ? '' : `, also ${cfAccess.email}`}.\n`)

  // Only at the partners' hostname. A user of the other Access application has no token for it.
  app.get('/prices', { config: { cfAccess: true }, constraints: { host: /^partners\.localhost(?::\d+)?$/ } },
    async () => 'The prices for partners.\n')

  app.get('/reports', { onRequest: guard({ include: { emailDomain: 'example.com' } }) },
    async () => 'Our own users may read this.\n')

  app.post('/deploy', { onRequest: guard({ include: { serviceToken: true } }) }, async request =>
    `Deployed for ${request.cfAccess?.kind === 'service' ? request.cfAccess.clientId : 'no service'}.\n`)

  // For a readiness probe: are the signing keys available?
  app.get('/ready', async (_request, reply) => {
    const teams = app.cfAccess.status()
    return reply.code(teams.some(({ state }) => state !== 'unavailable') ? 200 : 503).send(teams)
  })

  // A WebSocket beside the routes, which no hook sees.
  const sockets = serveWebSockets(app, '/live')
  sockets.on('connection', greet)

  await app.register(admin, { teamDomain, audience, prefix: '/admin' })
  return app
}

/**
 * @param {import('ws').WebSocket} client
 * @param {import('node:http').IncomingMessage} _request
 * @param {import('fastify-cf-access').CfAccessIdentity} identity
 */
function greet (client, _request, identity) {
  client.send(`Hello ${identity.email ?? identity.kind}`)
}

/** @type {import('fastify').FastifyPluginAsync<{ teamDomain: string, audience: string }>} */
async function admin (scope, { teamDomain, audience }) {
  await scope.register(cfAccess, { teamDomain, audience })

  // Makes unknown paths of this scope its own, and so guarded: a stranger cannot tell them from known ones.
  scope.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ message: 'There is no such page' }))

  scope.get('/', async request => `Hello ${request.cfAccess?.kind === 'user' ? request.cfAccess.email : 'machine'}.\n`)

  // A page that goes on when its session has ended.
  scope.get('/page', async (_request, reply) => reply.type('text/html').send(await readFile(PAGE)))
  scope.get('/access.js', async (_request, reply) => reply.type('text/javascript').send(await readFile(ACCESS_MODULE)))
  scope.get('/time', async request => ({ time: new Date(), sessionEnds: request.cfAccess?.expiresAt }))

  // Beside the token, Access is asked for this user's groups.
  scope.get('/billing', { config: { cfAccess: { include: { group: 'billing' } } } }, async () => 'The books.\n')

  scope.get('/health', { config: { cfAccess: false } }, async () => 'ok\n')
}
