/** Reports a request that was rejected: sets response headers, writes the log line and the channel message, once. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { credentialsIn, type CfAccessCredential } from './access/credentials.js'
import { channels } from './channels.js'
import { hasPreflightHeaders } from './coverage/preflight.js'
import { IdentityUnavailableError, KeysUnavailableError, type RejectionFacts } from './errors.js'
import { hintFor } from './hints.js'
import type { CfAccessReason } from './reasons.js'
import type { Registration } from './registration.js'

interface Rejection extends Error {
  readonly code: string
  readonly statusCode: number
  /** A sentence for an operator, where the server or Access failed. */
  readonly reason?: string
}

/** An error that the client causes. */
interface ClientRejection extends Rejection {
  readonly reason: CfAccessReason
  readonly facts: RejectionFacts
  /** Of a policy. */
  readonly rule?: string
}

/** Requests already reported: nested scopes each run the hook. Not by error, which several requests can share. */
const reported = new WeakSet<FastifyRequest>()

/** The registration that an error came from. The request that it ends need not be the one that was checked. */
const rejectedBy = new WeakMap<object, Registration>()

export function noteRejectedBy (registration: Registration, error: unknown): void {
  rejectedBy.set(error as Error, registration)
}

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

function isOfClient (error: Rejection): error is ClientRejection {
  return error.statusCode < 500
}

/** The reason goes to the log; the client gets only the code and message of the error's class. */
function reject (error: Rejection, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode } = error
  reply.header('cache-control', 'no-store')
  if (statusCode === 401) reply.header('www-authenticate', 'Cloudflare-Access')
  if (error instanceof KeysUnavailableError || error instanceof IdentityUnavailableError) {
    reply.header('retry-after', error.retryAfter)
  }
  closeUpgrade(request, reply)
  report(error, request)
}

function report (error: Rejection, request: FastifyRequest): void {
  const { code, statusCode, reason } = error
  const { method, log, routeOptions: { url: route = null } } = request
  const credentials = credentialsIn(request.headers)
  const rule = isOfClient(error) ? error.rule : undefined
  const hint = isOfClient(error) ? hintOf(error, credentials, request) : undefined
  log.info({ code, reason, rule, method, route, credentials, hint }, 'rejected by Cloudflare Access guard')
  if (isOfClient(error)) {
    const { facts } = error
    log.debug(facts, 'what the Cloudflare Access guard compared')
    rejectedBy.get(error)?.patterns.note({ reason: error.reason, rule, facts, hint })
  }
  if (!channels.rejection.hasSubscribers) return
  const word = isOfClient(error) ? error.reason : null
  channels.rejection.publish({ code, reason: word, rule: rule ?? null, statusCode, method, route })
}

function hintOf (
  { reason }: ClientRejection, credentials: readonly CfAccessCredential[], { method, headers }: FastifyRequest
): string | undefined {
  return hintFor({ reason, credentials, isPreflight: method === 'OPTIONS' && hasPreflightHeaders(headers) })
}

/**
 * Closes the socket of a rejected upgrade once the response is out. Node detaches such a socket from the HTTP server,
 * so no timeout and no `app.close()` would end it. Without an `upgrade` listener the request is an ordinary one.
 */
function closeUpgrade ({ headers, raw, server }: FastifyRequest, reply: FastifyReply): void {
  if (headers.upgrade === undefined || server.server.listenerCount('upgrade') === 0) return
  reply.raw.once('finish', () => raw.socket.destroySoon())
}
