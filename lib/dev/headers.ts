/** The headers that only Access may send. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** What the edge adds to a request on its way to the application. */
export const edgeHeaders = new WeakMap<FastifyRequest, IncomingHttpHeaders>()

/** The headers without any of Access's, or any that a server behind could take for one of them. */
export function withoutAccessHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isAccessHeader(name)))
}

/** CGI, WSGI and PHP read headers as variables, and write "_" for each character that a variable's name cannot have. */
function isAccessHeader (name: string): boolean {
  return name.replace(/[^a-z\d]/g, '_').startsWith('cf_access_')
}

/** Any text as a header can carry it: Node.js takes one byte a character. */
export function bytesOf (text: string): string {
  return Buffer.from(text).toString('latin1')
}
