/**
 * Cross-origin protection (CSRF): a page of another origin can make a browser send requests, and Access's cookie goes
 * with them. The algorithm is that of Go's `http.CrossOriginProtection`.
 * @see Fetch Metadata Request Headers, section 2.3; RFC 6454, section 7; RFC 6455, section 10.2
 */
import { CrossOriginError, OptionsInvalidError } from '../errors.js'
import type { HttpRequest } from '../util/http-request.js'
import { describe } from '../util/option-errors.js'
import type { Reader } from '../util/option-readers.js'

/** Origins whose pages can send any request, or `'any'` for no protection. */
export type TrustedOrigins = readonly string[] | 'any'

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']

/** The protection of one registration. */
export class CrossOriginProtection {
  readonly #trusted: TrustedOrigins
  readonly #warn: (facts: object, message: string) => void
  #hasWarned = false

  /** @param warn is called for the first rejection: behind a proxy that rewrites the host, all of them are wrong */
  constructor (trusted: TrustedOrigins, warn: (facts: object, message: string) => void) {
    this.#trusted = trusted
    this.#warn = warn
  }

  /**
   * @param alsoTrusted what the route trusts in addition
   * @throws {CrossOriginError}
   */
  check (request: HttpRequest, alsoTrusted: TrustedOrigins): void {
    if (!isCrossOrigin(request) || trusts(this.#trusted, request) || trusts(alsoTrusted, request)) return
    const { host, ...received } = factsOf(request)
    if (!this.#hasWarned) this.#warn({ ...received, host }, FIRST_REJECTION)
    this.#hasWarned = true
    throw new CrossOriginError('cross-origin', { expected: host, received })
  }
}

const FIRST_REJECTION = 'Rejected a request of another origin, the first one. If its host is not the one in the ' +
  'browser\'s address bar, a proxy rewrites it: set Fastify\'s trustProxy. If this origin is one of your own, add it ' +
  'to trustedOrigins.'

/** Characters of a header that a log line has at most. */
const MAX_LOGGED = 200

function factsOf ({ headers, host }: HttpRequest): { origin: unknown, site: unknown, host: unknown } {
  const short = (text: string | undefined): string | undefined => text?.slice(0, MAX_LOGGED)
  return { origin: short(headers.origin), site: short(headers['sec-fetch-site']), host: short(host) }
}

/**
 * Whether a page of another origin made this request, and the request can change something or open a WebSocket. A
 * client that is not a browser sends neither header.
 */
function isCrossOrigin (request: HttpRequest): boolean {
  const { upgrade, origin, 'sec-fetch-site': site } = request.headers
  if (upgrade === undefined && SAFE_METHODS.includes(request.method)) return false
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined && !namesHost(origin, request.host)
}

function trusts (trusted: TrustedOrigins, { headers: { origin } }: HttpRequest): boolean {
  return trusted === 'any' || (origin !== undefined && trusted.includes(origin))
}

const ORIGIN = /^([a-z][a-z\d+.-]*):\/\/(\[[\da-f:.]+\]|[^:/?#@[\]\s]+)(?::(\d+))?$/

/** Whether an origin is of this host. A proxy can add or drop a port, so ports count only where both have one. */
function namesHost (origin: string, host: string): boolean {
  const [, scheme = '', name, port] = ORIGIN.exec(origin.toLowerCase()) ?? []
  const [, , hostname, hostPort] = ORIGIN.exec(`${scheme}://${host.toLowerCase()}`) ?? []
  if (name === undefined || name !== hostname) return false
  return isDefault(port) || isDefault(hostPort) || port === hostPort
}

function isDefault (port: string | undefined): boolean {
  return port === undefined || port === '80' || port === '443'
}

export const readTrustedOrigins: Reader<TrustedOrigins> = (value, path) => {
  if (value === 'any') return value
  if (Array.isArray(value) && value.every(isOrigin)) return [...value]
  const wrong: unknown = Array.isArray(value) ? value.find(item => !isOrigin(item)) : value
  throw new OptionsInvalidError(`Option "${path}" has ${describe(wrong)}; it takes a list of origins as browsers send ` +
    'them, such as "https://app.example.com" or "tauri://localhost", without path and default port, or "any".')
}

/** Compared as text, so it must be written as browsers serialize it. */
function isOrigin (value: unknown): value is string {
  if (typeof value !== 'string') return false
  const [, scheme, , port] = ORIGIN.exec(value) ?? []
  return scheme !== undefined && !value.includes('*') && !(scheme === 'http' && port === '80') &&
    !(scheme === 'https' && port === '443')
}
