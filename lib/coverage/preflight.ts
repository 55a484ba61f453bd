/** CORS preflights, which a browser sends without a token (Fetch standard, section "CORS-preflight fetch"). */
import type { FastifyRequest } from 'fastify'

/** Whether this is a preflight, and its route is for OPTIONS alone, so that no handler of another method runs. */
export function isPreflight ({ headers, routeOptions: { method } }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined &&
    [method].flat().every(handled => handled === 'OPTIONS')
}
