/** A stand-in for a Cloudflare Access team, on loopback. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { faults, type FaultyAnswer } from './faults.js'
import { identityOf, readOwnToken } from './get-identity.js'
import { createSigningKey, type SigningKey } from './keys.js'
import {
  matchClaims, metaClaims, orgClaims, serviceClaims, signToken, userClaims,
  type CertificateTokenOptions, type Json, type ServiceTokenOptions, type TokenOptions, type UserTokenOptions
} from './tokens.js'

/** A question the team was asked. */
export interface AccessTeamRequest {
  readonly method: string
  /** With the query, if any: `/cdn-cgi/access/certs` for the keys. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
}

/** A fault by name, or an answer of your own. */
export type Outage = keyof typeof faults | FaultyAnswer

/** What a team answers: its keys, and who a token speaks of. */
export type Endpoint = 'certs' | 'get-identity'

const PATH = '/cdn-cgi/access/'

/** A team with real keys and a real endpoint. The plugin needs no other setting for it than `teamDomain`. */
export class AccessTeam {
  /** Its address, `http://127.0.0.1:PORT`: the `teamDomain` to give the plugin, and the issuer of its tokens. */
  readonly domain: string
  /** Everything it was asked so far, in order. */
  readonly requests: AccessTeamRequest[] = []

  readonly #server: Server
  #keys: readonly [current: SigningKey, previous: SigningKey]
  readonly #faults = new Map<Endpoint, FaultyAnswer>()
  /** Of the tokens that were given an identity of their own. */
  readonly #identities = new Map<string, Readonly<Record<string, unknown>>>()
  readonly #revoked = new Set<string>()

  constructor (server: Server, keys: readonly [SigningKey, SigningKey]) {
    this.#server = server
    this.#keys = keys
    this.domain = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (request, response) => this.#answer(request, response))
  }

  /** A token as a person brings it after logging in. */
  userToken (options: UserTokenOptions): string {
    return this.#mint(userClaims(this.domain, options), options)
  }

  /** A token as a service token's holder brings it. */
  serviceToken (options: ServiceTokenOptions): string {
    return this.#mint(serviceClaims(this.domain, options), options)
  }

  /** A token as a client with an mTLS certificate brings it. */
  certificateToken ({ commonName, ...options }: CertificateTokenOptions): string {
    return this.serviceToken({ ...options, clientId: commonName })
  }

  /** Not a login: the `meta` token of a login redirect, which anybody can have. */
  metaToken (options: TokenOptions): string {
    return this.sign(metaClaims(this.domain, options), options.header)
  }

  /** Not a login: the `match` token of Access's metadata header, which anybody can have. */
  matchToken (options: TokenOptions): string {
    return this.sign(matchClaims(this.domain, options), options.header)
  }

  /** Not a login here: a person's session with the team's own domain. */
  orgToken (options: UserTokenOptions): string {
    return this.sign(orgClaims(this.domain, options), options.header)
  }

  /**
   * Signs whatever it is given.
   * @param payload claims, or the very text of the payload
   * @param header parameters to add, to replace, or to leave out by `undefined`
   * @param which the key to sign with; `current` by default
   */
  sign (payload: Json, header: Readonly<Record<string, unknown>> = {}, which: 'current' | 'previous' = 'current'): string {
    return signToken(payload, header, this.#keys[which === 'current' ? 0 : 1])
  }

  /** The JWK Set it publishes. */
  get certs (): { readonly keys: ReadonlyArray<Readonly<Record<string, unknown>>> } {
    return { keys: this.#keys.map(({ jwk }) => jwk) }
  }

  /** Makes a new current key. The current one becomes the previous, and the previous is published no longer. */
  async rotateKeys (): Promise<void> {
    this.#keys = [await createSigningKey(), this.#keys[0]]
  }

  /** Ends a token's session: get-identity accepts it no longer, though its signature is good until its `exp`. */
  revoke (token: string): void {
    this.#revoked.add(token)
  }

  /**
   * Makes answers fail in this way, until `null` mends them.
   * @param at which answers; by default all
   */
  outage (outage: Outage | null, at?: Endpoint): void {
    for (const endpoint of at === undefined ? ['certs', 'get-identity'] as const : [at]) {
      if (outage === null) this.#faults.delete(endpoint)
      else this.#faults.set(endpoint, typeof outage === 'string' ? faults[outage] : outage)
    }
  }

  /** Stops listening, whoever is connected. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #mint (claims: Json, { header, identity }: TokenOptions): string {
    const token = this.sign(claims, header)
    // A service's tokens of one second are the same token, so the last word on its identity counts.
    if (identity === undefined) this.#identities.delete(token)
    else this.#identities.set(token, identity)
    return token
  }

  #answer (request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request
    this.requests.push({ method, path, headers })
    const endpoint = path.slice(PATH.length)
    if (!path.startsWith(PATH) || !isEndpoint(endpoint)) {
      response.writeHead(404).end()
      return
    }
    const { status, body } = endpoint === 'certs' ? { status: 200, body: this.certs } : this.#identify(headers.cookie)
    const text = JSON.stringify(body)
    const fault = this.#faults.get(endpoint)
    if (fault !== undefined) return fault(request, response, text)
    response.writeHead(status, { 'content-type': 'application/json' }).end(text)
  }

  #identify (cookie = ''): { status: number, body: object } {
    const token = /(?:^|; )CF_Authorization=([^;]*)/.exec(cookie)?.[1]
    if (token === undefined) return { status: 400, body: { err: 'no app token set' } }
    const claims = this.#revoked.has(token) ? null : readOwnToken(token, this.#keys)
    if (claims === null) return { status: 400, body: { err: 'unable to find app token' } }
    return { status: 200, body: { ...identityOf(claims), ...this.#identities.get(token) } }
  }
}

function isEndpoint (name: string): name is Endpoint {
  return name === 'certs' || name === 'get-identity'
}

/**
 * Starts a team of its own, with two fresh RSA keys as a real one has.
 * @param options.port where to listen; by default wherever there is room
 */
export async function createAccessTeam ({ port = 0 }: { port?: number } = {}): Promise<AccessTeam> {
  const keys = await Promise.all([createSigningKey(), createSigningKey()])
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return new AccessTeam(server, keys)
}
