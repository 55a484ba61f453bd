/** The way from the edge to the application, which @fastify/http-proxy paves. */
import { METHODS, type IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OptionsInvalidError } from '../errors.js'
import { edgeHeaders, withoutAccessHeaders } from './headers.js'

type HttpProxy = typeof import('@fastify/http-proxy').default

// For this hop alone (RFC 9110, section 7.6.1), or settled with the client already, as "expect" is.
const OWN_TO_THE_HOP = ['connection', 'expect', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']

/** Who only installs the plugin has no use for a proxy, so it is no dependency. */
export async function importHttpProxy (): Promise<HttpProxy> {
  try {
    return (await import('@fastify/http-proxy')).default
  } catch {
    throw new OptionsInvalidError('The emulator needs @fastify/http-proxy: npm install --save-dev @fastify/http-proxy')
  }
}

/** Forwards everything that reaches this scope's routes, as it comes: bodies, streams and WebSockets. */
export async function forward (scope: FastifyInstance, httpProxy: HttpProxy, to: string): Promise<void> {
  scope.removeAllContentTypeParsers() // the default ones would read a body whole, and reject a large one
  for (const method of METHODS) {
    if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true })
  }
  await scope.register(httpProxy, {
    upstream: to,
    httpMethods: scope.supportedMethods,
    websocket: true,
    wsClientOptions: { rewriteRequestHeaders: (_headers: unknown, request: FastifyRequest) => webSocketHeaders(request) },
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

/** The application sees the host that the browser sees. */
function forwardedHeaders (request: FastifyRequest, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = withoutHopHeaders(withoutAccessHeaders(headers))
  return { ...kept, host: request.headers.host, ...edgeHeaders.get(request) }
}

function withoutHopHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_TO_THE_HOP.includes(name)))
}

/** The proxy shakes hands on its own. */
function webSocketHeaders (request: FastifyRequest): IncomingHttpHeaders {
  const kept = Object.entries(forwardedHeaders(request, request.headers)).filter(([name]) => !name.startsWith('sec-websocket-'))
  return Object.fromEntries(kept)
}

function sendUnreachable (reply: FastifyReply, to: string, error: Error): void {
  reply.code(502).type('text/plain; charset=utf-8').send(`Emulator for Cloudflare Access: the application at ${to} does not answer. ${error.message}\n`)
}
