// A WebSocket server by bare `ws` beside the routes. Where you can, use @fastify/websocket, whose routes are guarded.
import { STATUS_CODES } from 'node:http'
import { onSessionEnd } from 'fastify-cf-access'
import { WebSocketServer } from 'ws'

/**
 * Call it once the plugin is registered. It emits `connection` with the socket, the request and the identity.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {string} path
 */
export function serveWebSockets (app, path) {
  const server = new WebSocketServer({ noServer: true })
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url !== path) return reject(socket, 404)
    socket.on('error', () => socket.destroy()) // a client that disconnects while its token is verified
    app.cfAccess.authenticate(request).then(identity => {
      server.handleUpgrade(request, socket, head, client => {
        client.on('close', onSessionEnd(identity, reason => client.close(1008, `session ${reason}`)))
        server.emit('connection', client, request, identity)
      })
    }, error => reject(socket, error.statusCode ?? 500))
  })
  app.addHook('preClose', async () => {
    for (const client of server.clients) client.terminate()
  })
  return server
}

/** @param {import('node:stream').Duplex} socket @param {number} status */
function reject (socket, status) {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
