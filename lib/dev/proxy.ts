/** Forwards requests to the applications, with @fastify/http-proxy. */
import { METHODS, type IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OptionsInvalidError } from '../errors.js'
import { forwardings, withoutAccessHeaders } from './headers.js'
import { unreachablePage } from './pages.js'
import { sendError, UnreachableError } from './rejections.js'

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

/** Forwards everything that reaches this scope's routes unchanged: bodies and streams. */
export async function forward (scope: FastifyInstance, httpProxy: HttpProxy): Promise<void> {
  scope.removeAllContentTypeParsers() // the default ones would buffer each body, and reject a large one
  for (const method of METHODS) {
    if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true })
  }
  await scope.register(httpProxy, {
    upstream: '',
    httpMethods: scope.supportedMethods,
    internalRewriteLocationHeader: false,
    retryMethods: [],
    destroyAgent: true,
    disableRequestLogging: true,
    undici: { headersTimeout: 0, bodyTimeout: 0 },
    replyOptions: {
      getUpstream: request => forwardings.get(request as FastifyRequest)!.to,
      rewriteRequestHeaders: (request, headers) => withoutHopHeaders(forwardedHeaders(request as FastifyRequest, headers)),
      rewriteHeaders: headers => withoutHopHeaders(headers as IncomingHttpHeaders),
      onError: (reply, { error }) => { sendUnreachable(reply as FastifyReply, error) }
    }
  })
}

/** Your app gets the host that the browser asked for. */
export function forwardedHeaders (request: FastifyRequest, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return { ...withoutAccessHeaders(headers), host: request.headers.host, ...forwardings.get(request)!.headers }
}

export function withoutHopHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_TO_THE_HOP.includes(name)))
}

export function sendUnreachable (reply: FastifyReply, { message }: Error): void {
  const { request } = reply
  const { to } = forwardings.get(request)!
  sendError(request, reply, new UnreachableError(to, message), () => unreachablePage(to, message))
}
