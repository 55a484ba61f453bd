/** The end of a request that was not admitted: response headers, log line and channel, once. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { channels } from './channels.js'
import { IdentityUnavailableError, KeysUnavailableError } from './errors.js'

interface Rejection extends Error {
  readonly code: string
  readonly statusCode: number
  /** Why, for the log and the channel alone. */
  readonly reason?: string
}

/** Scopes inside one another each have the hook. Not by error: requests that wait for one verification share it. */
const reported = new WeakSet<FastifyRequest>()

/**
 * A hook for `onError`. It runs for the error that ends a request, and so not for one that an "or" of
 * `@fastify/auth` made up for: an admitted response bears no trace of a guard that denied.
 * @see Fastify docs: Hooks, onError
 */
export function cfAccessOnError (request: FastifyRequest, reply: FastifyReply, error: Error, done: () => void): void {
  if (isRejection(error) && !reported.has(request)) {
    reported.add(request)
    reject(error, request, reply)
  }
  done()
}

function isRejection (error: Error): error is Rejection {
  return String((error as { code?: unknown }).code).startsWith('FST_CF_ACCESS_')
}

/** The log learns the reason; the client only what the error's class says. */
function reject (error: Rejection, request: FastifyRequest, reply: FastifyReply): void {
  const { code, statusCode, reason } = error
  reply.header('cache-control', 'no-store')
  if (statusCode === 401) reply.header('www-authenticate', 'Cloudflare-Access')
  if (error instanceof KeysUnavailableError || error instanceof IdentityUnavailableError) {
    reply.header('retry-after', error.retryAfter)
  }
  closeUpgrade(request, reply)
  request.log.info({ code, reason }, 'rejected by Cloudflare Access guard')
  if (!channels.rejection.hasSubscribers) return
  // Of a server error the reason is prose for an operator, not one of a few names.
  const rule = reason !== undefined && statusCode < 500 ? reason : null
  channels.rejection.publish({ code, rule, statusCode, method: request.method, route: request.routeOptions.url ?? null })
}

/**
 * Closes the socket of a rejected upgrade once the response is out. Node detaches such a socket from the HTTP server,
 * so no timeout and no `app.close()` would end it. Without an `upgrade` listener the request is an ordinary one.
 */
function closeUpgrade ({ headers, raw, server }: FastifyRequest, reply: FastifyReply): void {
  if (headers.upgrade === undefined || server.server.listenerCount('upgrade') === 0) return
  reply.raw.once('finish', () => raw.socket.destroySoon())
}
