// tRPC over HTTP and over a WebSocket: each procedure knows who calls.
import { initTRPC, TRPCError } from '@trpc/server'
import { fastifyTRPCPlugin } from '@trpc/server/adapters/fastify'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { policy } from 'fastify-cf-access'
import { serveWebSockets } from './web-socket.js'

/** @typedef {{ identity: import('fastify-cf-access').CfAccessIdentity | null }} Context */

const trpc = /** @type {ReturnType<typeof initTRPC.context<Context>>} */ (initTRPC.context()).create()
const admins = policy({ include: { group: 'admins' } })

export const router = trpc.router({
  whoami: trpc.procedure.query(({ ctx: { identity } }) => identity?.kind === 'user' ? identity.email : identity?.kind),
  secret: trpc.procedure.query(async ({ ctx: { identity } }) => {
    if (!await admins.allows(identity)) throw new TRPCError({ code: 'FORBIDDEN' })
    return 'the secret of the admins'
  })
})

/**
 * HTTP at `/trpc`, where a registration must guard it, and a WebSocket at `/trpc-socket`.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export async function serveTrpc (app) {
  await app.register(fastifyTRPCPlugin, {
    prefix: '/trpc',
    trpcOptions: {
      router,
      createContext: (/** @type {{ req: import('fastify').FastifyRequest }} */ { req }) => ({ identity: req.cfAccess })
    }
  })
  const server = serveWebSockets(app, '/trpc-socket')
  /** @type {WeakMap<object, import('fastify-cf-access').CfAccessIdentity>} */
  const identities = new WeakMap()
  server.prependListener('connection', (_client, request, identity) => identities.set(request, identity))
  applyWSSHandler({ wss: server, router, createContext: ({ req }) => ({ identity: identities.get(req) ?? null }) })
}
