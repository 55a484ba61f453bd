/** What is read of a request: a Fastify request has it, and any request of Node's can be given it. */
import type { IncomingHttpHeaders } from 'node:http'

/** The part of a request that is read. A request of Node's, Express's and Koa's has it; so has `{ headers }`. */
export interface CfAccessIncoming {
  /** Default `GET`. Cross-origin protection depends on it. */
  readonly method?: string | undefined
  /** As Node.js reads them, with names in lower case. */
  readonly headers: IncomingHttpHeaders
}

export interface HttpRequest {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  /** The host that the client asked for, with its port. Behind a trusted proxy not always that of the header. */
  readonly host: string
}

/** An ordinary request of Node's, whose Host header counts. HTTP/2 names the host in `:authority`. */
export function fromIncoming ({ method = 'GET', headers }: CfAccessIncoming): HttpRequest {
  return { method, headers, host: headers.host ?? authorityOf(headers) ?? '' }
}

/** The hosts that the headers name. */
export function hostsIn (headers: IncomingHttpHeaders): string[] {
  return [headers.host, authorityOf(headers)].filter(host => host !== undefined)
}

function authorityOf (headers: IncomingHttpHeaders): string | undefined {
  return headers[':authority'] as string | undefined
}

/** The name in a host, in lower case, without its port and without the root's dot. */
export function hostnameIn (host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
}
