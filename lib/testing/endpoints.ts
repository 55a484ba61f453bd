/** The questions a team answers, each in its own words and with any fault it is told to have. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TOKEN_COOKIE } from '../access/protocol.js'
import { faults, type FaultyAnswer } from './faults.js'
import { getIdentityResponse } from './get-identity.js'
import { readOwnToken, type Issuer } from './issuer.js'
import type { Claims } from './tokens.js'

/** A fault by name, or an answer of your own. */
export type Outage = keyof typeof faults | FaultyAnswer

/** What a team answers: its keys, and who a token speaks of. */
export type Endpoint = 'certs' | 'get-identity'

/** What get-identity tells beside its defaults about the bearer of a token; `null` when the session has ended. */
export type IdentityLookup = (token: string, claims: Claims) => Claims | null

const COOKIE = new RegExp(`(?:^|; )${TOKEN_COOKIE}=([^;]*)`)

export class Endpoints {
  readonly #issuer: Issuer
  readonly #lookUp: IdentityLookup
  readonly #faults = new Map<Endpoint, FaultyAnswer>()

  constructor (issuer: Issuer, knowledge: IdentityLookup) {
    this.#issuer = issuer
    this.#lookUp = knowledge
  }

  outage (outage: Outage | null, at?: Endpoint): void {
    for (const endpoint of at === undefined ? ['certs', 'get-identity'] as const : [at]) {
      if (outage === null) this.#faults.delete(endpoint)
      else this.#faults.set(endpoint, typeof outage === 'string' ? faults[outage] : outage)
    }
  }

  answer (endpoint: Endpoint, request: IncomingMessage, response: ServerResponse): void {
    const { status, body } = endpoint === 'certs' ? { status: 200, body: this.#issuer.certs } : this.#identify(request.headers.cookie)
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
