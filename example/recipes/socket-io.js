// Socket.IO beside the routes: it answers its own requests on `app.server`, which no hook sees.
import { onSessionEnd } from 'fastify-cf-access'
import { Server } from 'socket.io'

/**
 * Call it once the plugin is registered.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {import('fastify-cf-access').CfAccessPolicyFor<import('node:http').IncomingMessage>} policy who is allowed
 */
export function serveSockets (app, policy) {
  /** @type {WeakMap<import('node:http').IncomingMessage, import('fastify-cf-access').CfAccessIdentity>} */
  const identities = new WeakMap()
  const io = new Server(app.server, {
    // For each request of its transports, an upgrade too. A rejected client gets 403.
    allowRequest: (request, callback) => {
      app.cfAccess.authenticate(request, policy).then(identity => {
        identities.set(request, identity)
        callback(null, true)
      }, error => callback(error.code, false))
    }
  })
  io.use((socket, next) => {
    // The request that opened the session.
    const identity = identities.get(socket.request)
    if (identity === undefined) return next(new Error('not authenticated'))
    socket.data.identity = identity
    const cancel = onSessionEnd(identity, () => socket.disconnect(true))
    socket.on('disconnect', cancel)
    next()
  })
  app.addHook('preClose', async () => { await io.close() })
  return io
}
