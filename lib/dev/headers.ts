/** The headers that only Access can send. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** The headers that the edge adds to a request, by request. */
export const edgeHeaders = new WeakMap<FastifyRequest, IncomingHttpHeaders>()

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
