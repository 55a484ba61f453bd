/** The headers that an application gets from the edge, and those that it can only get from there. */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** Where a request goes, and what the edge adds to it. */
export interface Forwarding {
  readonly to: string
  readonly headers: IncomingHttpHeaders
}

/** By request. */
export const forwardings = new WeakMap<FastifyRequest, Forwarding>()

/** What Cloudflare says of every request, authenticated or not. */
export function networkHeaders ({ ip, headers }: FastifyRequest, country: string): IncomingHttpHeaders {
  const chain = headers['x-forwarded-for']
  return {
    'cf-connecting-ip': ip,
    'cf-ray': `${randomBytes(8).toString('hex')}-DEV`,
    'cf-ipcountry': country,
    'x-forwarded-for': chain === undefined ? ip : `${[chain].flat().join(', ')}, ${ip}`,
    'x-forwarded-proto': 'http'
  }
}

/** Removes Access's headers, and any that a server could take for one of them. */
export function withoutAccessHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isAccessHeader(name)))
}

/** CGI, WSGI and PHP turn headers into variables, with "_" for each character that a variable's name cannot contain. */
function isAccessHeader (name: string): boolean {
  return name.replace(/[^a-z\d]/g, '_').startsWith('cf_access_')
}

/** Encodes any text for a header: Node.js writes one byte for each character. */
export function bytesOf (text: string): string {
  return Buffer.from(text).toString('latin1')
}
