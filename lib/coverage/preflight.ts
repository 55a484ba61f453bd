/** CORS preflights, which a browser sends without a token (Fetch standard, section "CORS-preflight fetch"). */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** Whether a request for OPTIONS with these headers is a preflight. */
export function hasPreflightHeaders (headers: IncomingHttpHeaders): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** Whether this is a preflight, and its route is for OPTIONS alone, so that no handler of another method runs. */
export function isPreflight ({ headers, routeOptions: { method } }: FastifyRequest): boolean {
  return hasPreflightHeaders(headers) && [method].flat().every(handled => handled === 'OPTIONS')
}
