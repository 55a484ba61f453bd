/** Reports a request that was rejected: sets response headers, writes the log line and the channel message, once. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { channels } from './channels.js'
import { IdentityUnavailableError, KeysUnavailableError } from './errors.js'

interface Rejection extends Error {
  readonly code: string
  readonly statusCode: number
  /** Why, for the log and the channel only. */
  readonly reason?: string
}

/** Requests already reported: nested scopes each run the hook. Not by error, which several requests can share. */
const reported = new WeakSet<FastifyRequest>()

/**
 * A hook for `onError`. It runs for the error that ends a request, so not for one inside an "or" of `@fastify/auth`
 * that another way in made up for: an admitted response shows no trace of a guard that rejected.
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

/** The reason goes to the log; the client gets only the code and message of the error's class. */
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
  // The reason of a server error is a sentence for an operator, not one word.
  const rule = reason !== undefined && statusCode < 500 ? reason : null
  channels.rejection.publish({
    code,
    rule,
    statusCode,
    method: request.method,
    route: request.routeOptions.url ?? null
  })
}

/**
 * Closes the socket of a rejected upgrade once the response is out. Node detaches such a socket from the HTTP server,
 * so no timeout and no `app.close()` would end it. Without an `upgrade` listener the request is an ordinary one.
 */
function closeUpgrade ({ headers, raw, server }: FastifyRequest, reply: FastifyReply): void {
  if (headers.upgrade === undefined || server.server.listenerCount('upgrade') === 0) return
  reply.raw.once('finish', () => raw.socket.destroySoon())
}
