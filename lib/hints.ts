/** What to do about a rejection, where the request itself says more than its reason. */
import type { CfAccessCredential } from './access/credentials.js'
import type { CfAccessReason } from './reasons.js'

/** What a hint depends on. */
export interface Hinted {
  readonly reason: CfAccessReason
  readonly credentials: readonly CfAccessCredential[]
  /** Whether it is a CORS preflight. */
  readonly isPreflight: boolean
}

const PREFLIGHT = 'A CORS preflight has no token: register @fastify/cors before fastify-cf-access.'
const COOKIE = 'The request has the cookie only, and the option cookie is false.'
const SERVICE_TOKEN = 'The headers of a service token are for Access, which exchanges them for a token: send the ' +
  'request to the hostname that Access protects, and give its Access application a Service Auth policy.'
const LINKED_TOKEN = 'The header Cf-Access-Token is for Access, which exchanges it for a token: send the request to ' +
  'the hostname that Access protects.'

/** `undefined` where the reason says it all. */
export function hintFor ({ reason, credentials, isPreflight }: Hinted): string | undefined {
  if (reason !== 'missing') return undefined
  if (isPreflight) return PREFLIGHT
  if (credentials.includes('cookie')) return COOKIE
  if (credentials.includes('service-token')) return SERVICE_TOKEN
  return credentials.includes('linked-token') ? LINKED_TOKEN : undefined
}
