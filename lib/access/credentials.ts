/** Which credentials of Access a request has, for the log: their names, not their values. */
import type { IncomingHttpHeaders } from 'node:http'
import { CLIENT_ID_HEADER, LINKED_TOKEN_HEADER, TOKEN_COOKIE, TOKEN_HEADER } from './protocol.js'

/**
 * The header and the cookie with the token; the headers with which a machine logs in at the edge, which prove nothing
 * here; the header of a linked app token.
 */
export type CfAccessCredential = 'header' | 'cookie' | 'service-token' | 'linked-token'

export function credentialsIn (headers: IncomingHttpHeaders): CfAccessCredential[] {
  const found: CfAccessCredential[] = []
  if (headers[TOKEN_HEADER] !== undefined) found.push('header')
  if (headers.cookie?.includes(`${TOKEN_COOKIE}=`) === true) found.push('cookie')
  if (headers[CLIENT_ID_HEADER] !== undefined) found.push('service-token')
  if (headers[LINKED_TOKEN_HEADER] !== undefined) found.push('linked-token')
  return found
}
