/** WebSockets, and any other upgrade: the application itself accepts or rejects them. */
import { once } from 'node:events'
import { request as httpRequest, ServerResponse, type IncomingMessage, type Server } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { forwardings } from './headers.js'
import { forwardedHeaders, sendUnreachable, withoutHopHeaders } from './proxy.js'

interface Upgrade {
  readonly socket: Duplex
  /** What came after the request's headers. */
  readonly head: Buffer
}

export class Upgrades {
  readonly #waiting = new WeakMap<IncomingMessage, Upgrade>()
  /** Node's server does not close them. */
  readonly #sockets = new Set<Duplex>()

  /** Answers upgrades by the application's routes and hooks, as any other request. */
  constructor (server: Server, app: FastifyInstance) {
    server.on('upgrade', (request, socket, head) => {
      this.#sockets.add(socket.once('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy()))
      this.#waiting.set(request, { socket, head })
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(socket as Socket)
      response.once('finish', () => socket.end())
      app.routing(request, response)
    })
  }

  /** A hook for `onRequest`: forwards an upgrade, and leaves every other request to the routes. */
  async forward (request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const upgrade = this.#waiting.get(request.raw)
    if (upgrade === undefined) return
    const { to } = forwardings.get(request)!
    const { connection, upgrade: protocol } = request.headers
    const headers = { ...withoutHopHeaders(forwardedHeaders(request, request.headers)), connection, upgrade: protocol }
    const upstream = (to.startsWith('https:') ? httpsRequest : httpRequest)(to + request.originalUrl,
      { method: request.method, headers, agent: false })
    upgrade.socket.once('close', () => upstream.destroy())
    upstream.on('upgrade', (answer, socket, head) => {
      this.#sockets.add(socket.once('close', () => this.#sockets.delete(socket)))
      join(upgrade, reply, answer, { socket, head })
    })
    upstream.end()
    try {
      const [answer] = await once(upstream, 'response') as [IncomingMessage]
      reply.code(answer.statusCode!).headers(withoutHopHeaders(answer.headers)).send(answer)
    } catch (error) {
      sendUnreachable(reply, error as Error)
    }
  }

  close (): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** Passes the application's acceptance on, and then all bytes in both directions. */
function join (client: Upgrade, reply: FastifyReply, answer: IncomingMessage, application: Upgrade): void {
  reply.hijack()
  reply.raw.detachSocket(client.socket as Socket)
  const fields = answer.rawHeaders.flatMap((name, i) => i % 2 === 0 ? [`${name}: ${answer.rawHeaders[i + 1]}\r\n`] : [])
  client.socket.write(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n${fields.join('')}\r\n`, 'latin1')
  client.socket.write(application.head)
  application.socket.write(client.head)
  application.socket.on('error', () => client.socket.destroy()).once('close', () => client.socket.destroy())
  client.socket.once('close', () => application.socket.destroy())
  client.socket.pipe(application.socket).pipe(client.socket)
}
