/** Forwards requests from the edge to your app, with @fastify/http-proxy. */
import { METHODS, type IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OptionsInvalidError } from '../errors.js'
import { edgeHeaders, withoutAccessHeaders } from './headers.js'

type HttpProxy = typeof import('@fastify/http-proxy').default

// For this hop only (RFC 9110, section 7.6.1), or already handled with the client, as "expect" is.
const OWN_TO_THE_HOP = ['connection', 'expect', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te',
  'trailer', 'transfer-encoding', 'upgrade']

/** Users of the plugin alone do not need a proxy, so it is an optional peer dependency. */
export async function importHttpProxy (): Promise<HttpProxy> {
  try {
    return (await import('@fastify/http-proxy')).default
  } catch {
    throw new OptionsInvalidError('The emulator needs @fastify/http-proxy: npm install --save-dev @fastify/http-proxy')
  }
}

/** Forwards everything that reaches this scope's routes unchanged: bodies, streams and WebSockets. */
export async function forward (scope: FastifyInstance, httpProxy: HttpProxy, to: string): Promise<void> {
  scope.removeAllContentTypeParsers() // the default ones would buffer each body, and reject a large one
  for (const method of METHODS) {
    if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true })
  }
  await scope.register(httpProxy, {
    upstream: to,
    httpMethods: scope.supportedMethods,
    websocket: true,
    wsClientOptions: WEB_SOCKET_OPTIONS,
    internalRewriteLocationHeader: false,
    retryMethods: [],
    destroyAgent: true,
    disableRequestLogging: true,
    undici: { headersTimeout: 0, bodyTimeout: 0 },
    replyOptions: {
      rewriteRequestHeaders: (request, headers) => forwardedHeaders(request as FastifyRequest, headers),
      rewriteHeaders: headers => withoutHopHeaders(headers as IncomingHttpHeaders),
      onError: (reply, { error }) => { sendUnreachable(reply as FastifyReply, to, error) }
    }
  })
}

// An option of @fastify/http-proxy that its types do not have.
const WEB_SOCKET_OPTIONS: object = {
  rewriteRequestHeaders: (_headers: unknown, request: FastifyRequest) => webSocketHeaders(request)
}

/** Your app gets the host that the browser asked for. */
function forwardedHeaders (request: FastifyRequest, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = withoutHopHeaders(withoutAccessHeaders(headers))
  return { ...kept, host: request.headers.host, ...edgeHeaders.get(request) }
}

function withoutHopHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_TO_THE_HOP.includes(name)))
}

/** The proxy does the WebSocket handshake itself. */
function webSocketHeaders (request: FastifyRequest): IncomingHttpHeaders {
  const kept =
    Object.entries(forwardedHeaders(request, request.headers)).filter(([name]) => !name.startsWith('sec-websocket-'))
  return Object.fromEntries(kept)
}

function sendUnreachable (reply: FastifyReply, to: string, error: Error): void {
  reply.code(502).type('text/plain; charset=utf-8').send(
    `Emulator for Cloudflare Access: the application at ${to} does not answer. ${error.message}\n`)
}
