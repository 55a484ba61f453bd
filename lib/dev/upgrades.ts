/** WebSockets, and any other upgrade: the application itself accepts or rejects them. */
import {
  request as httpRequest, ServerResponse, type ClientRequest, type IncomingMessage, type Server
} from 'node:http'
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

/** What the application answered: with an upgrade where it accepts. */
interface Answer {
  readonly message: IncomingMessage
  readonly upgrade: Upgrade | null
}

export class Upgrades {
  readonly #waiting = new WeakMap<IncomingMessage, Upgrade>()
  /** Node's server does not close them. */
  readonly #sockets = new Set<Duplex>()

  /** Answers upgrades by the application's routes and hooks, as any other request. */
  constructor (server: Server, app: FastifyInstance) {
    server.on('upgrade', (request, socket, head) => {
      this.#keep(socket)
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
    const client = this.#waiting.get(request.raw)
    if (client === undefined) return
    try {
      const { message, upgrade } = await ask(request, client)
      if (upgrade === null) {
        reply.code(message.statusCode!).headers(withoutHopHeaders(message.headers)).send(message)
      } else {
        this.#keep(upgrade.socket)
        reply.hijack()
        reply.raw.detachSocket(client.socket as Socket)
        client.socket.write(headOf(message), 'latin1')
        join(client, upgrade)
      }
    } catch (error) {
      sendUnreachable(reply, error as Error)
    }
  }

  close (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #keep (socket: Duplex): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy())
  }
}

/** Asks the application, for as long as the client is there. */
async function ask (request: FastifyRequest, client: Upgrade): Promise<Answer> {
  const { to } = forwardings.get(request)!
  const { connection, upgrade } = request.headers
  const headers = { ...withoutHopHeaders(forwardedHeaders(request, request.headers)), connection, upgrade }
  const upstream: ClientRequest = (to.startsWith('https:') ? httpsRequest : httpRequest)(to + request.originalUrl,
    { method: request.method, headers, agent: false })
  client.socket.once('close', () => upstream.destroy())
  return new Promise((resolve, reject) => {
    upstream.once('upgrade', (message, socket, head) => resolve({ message, upgrade: { socket, head } }))
      .once('response', message => resolve({ message, upgrade: null }))
      .on('error', reject)
      .end()
  })
}

/** The head of an answer as it came. */
function headOf ({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const fields = rawHeaders.flatMap((name, i) => i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}\r\n`] : [])
  return `HTTP/1.1 ${statusCode} ${statusMessage}\r\n${fields.join('')}\r\n`
}

/** From here on passes all bytes in both directions. */
function join (client: Upgrade, application: Upgrade): void {
  client.socket.write(application.head)
  application.socket.write(client.head)
  client.socket.once('close', () => application.socket.destroy())
  application.socket.once('close', () => client.socket.destroy())
  client.socket.pipe(application.socket).pipe(client.socket)
}
