/** The headers that only Access may send. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'

/** What the edge adds to a request on its way to the application. */
export const edgeHeaders = new WeakMap<FastifyRequest, IncomingHttpHeaders>()

/** The headers without any of Access's, however a server behind may spell them. */
export function withoutAccessHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !/^cf[-_]access[-_]/.test(name)))
}

/** Any text as a header can carry it: Node.js takes one byte a character. */
export function bytesOf (text: string): string {
  return Buffer.from(text).toString('latin1')
}
