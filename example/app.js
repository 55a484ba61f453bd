// A small application behind Cloudflare Access: what a real one would look like.
import Fastify from 'fastify'
import cfAccess, { guard } from 'fastify-cf-access'

/**
 * @param {{ teamDomain: string, audience: string }} access where the users come from
 * @param {import('fastify').FastifyServerOptions} [options]
 */
export async function createApp (access, options) {
  const app = Fastify(options)

  // Registered first, so that `request.cfAccess` and `app.cfAccess` are there for every route.
  // Nothing is guarded here unless it asks.
  await app.register(cfAccess, { ...access, global: false })

  app.get('/', async () => 'Anyone can read this.\n')

  app.get('/reports', { onRequest: guard({ include: { emailDomain: 'example.com' } }) },
    async () => 'Our own users may read this.\n')

  app.post('/deploy', { onRequest: guard({ include: { serviceToken: true } }) }, async request =>
    `Deployed for ${request.cfAccess?.kind === 'service' ? request.cfAccess.clientId : 'no service'}.\n`)

  // For a readiness probe: are the signing keys available?
  app.get('/ready', async (_request, reply) => {
    const teams = app.cfAccess.status()
    return reply.code(teams.some(({ state }) => state !== 'unavailable') ? 200 : 503).send(teams)
  })

  await app.register(admin, { ...access, prefix: '/admin' })
  return app
}

/** @type {import('fastify').FastifyPluginAsync<{ teamDomain: string, audience: string }>} */
async function admin (scope, { teamDomain, audience }) {
  await scope.register(cfAccess, { teamDomain, audience })

  // Makes unknown paths of this scope its own, and so guarded: a stranger cannot tell them from known ones.
  scope.setNotFoundHandler(async (_request, reply) => reply.code(404).send({ message: 'There is no such page' }))

  scope.get('/', async request => `Hello ${request.cfAccess?.kind === 'user' ? request.cfAccess.email : 'machine'}.\n`)

  // Beside the token, Access is asked for this user's groups.
  scope.get('/billing', { config: { cfAccess: { include: { group: 'billing' } } } }, async () => 'The books.\n')

  scope.get('/health', { config: { cfAccess: false } }, async () => 'ok\n')
}
