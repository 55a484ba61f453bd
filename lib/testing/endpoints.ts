/** The endpoints of a team: its keys and get-identity, each with any fault. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TOKEN_COOKIE } from '../access/protocol.js'
import { faults, type FaultyAnswer } from './faults.js'
import { getIdentityResponse } from './get-identity.js'
import { readOwnToken, type Issuer } from './issuer.js'
import type { Claims } from './tokens.js'

/** A fault by name, or a function that answers. */
export type Outage = keyof typeof faults | FaultyAnswer

/** An endpoint: the published keys, or the identity of a token. */
export type Endpoint = 'certs' | 'get-identity'

/**
 * The members of the get-identity response of a token that differ from the defaults; `null` when its session has ended.
 */
export type IdentityLookup = (token: string, claims: Claims) => Claims | null

const COOKIE = new RegExp(`(?:^|; )${TOKEN_COOKIE}=([^;]*)`)

export class Endpoints {
  readonly #issuer: Issuer
  readonly #lookUp: IdentityLookup
  readonly #faults = new Map<Endpoint, FaultyAnswer>()

  constructor (issuer: Issuer, lookUp: IdentityLookup) {
    this.#issuer = issuer
    this.#lookUp = lookUp
  }

  outage (outage: Outage | null, at?: Endpoint): void {
    for (const endpoint of at === undefined ? ['certs', 'get-identity'] as const : [at]) {
      if (outage === null) this.#faults.delete(endpoint)
      else this.#faults.set(endpoint, typeof outage === 'string' ? faults[outage] : outage)
    }
  }

  answer (endpoint: Endpoint, request: IncomingMessage, response: ServerResponse): void {
    const { status, body } = endpoint === 'certs'
      ? { status: 200, body: this.#issuer.certs }
      : this.#identify(request.headers.cookie)
    const text = JSON.stringify(body)
    const fault = this.#faults.get(endpoint)
    if (fault !== undefined) return fault(request, response, text)
    response.writeHead(status, { 'content-type': 'application/json' }).end(text)
  }

  #identify (cookie = ''): { status: number, body: object } {
    const token = COOKIE.exec(cookie)?.[1]
    if (token === undefined) return { status: 400, body: { err: 'no app token set' } }
    const claims = readOwnToken(token, this.#issuer.certs.keys)
    const known = claims && this.#lookUp(token, claims)
    if (claims === null || known === null) return { status: 400, body: { err: 'unable to find app token' } }
    return { status: 200, body: { ...getIdentityResponse(claims), ...known } }
  }
}

export function isEndpoint (name: string): name is Endpoint {
  return name === 'certs' || name === 'get-identity'
}
