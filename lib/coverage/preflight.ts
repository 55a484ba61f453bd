/** CORS preflights, which a browser sends without a token (Fetch standard, section "CORS-preflight fetch"). */
import type { FastifyRequest } from 'fastify'

/** Whether this is a preflight, and its route is for OPTIONS alone, so that no handler of another method runs. */
export function isPreflight (request: FastifyRequest): boolean {
  if (request.method !== 'OPTIONS') return false
  const { headers, routeOptions: { method } } = request
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined &&
    [method].flat().every(handled => handled === 'OPTIONS')
}
