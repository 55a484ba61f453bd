/** A stand-in for a Cloudflare Access team, on loopback. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { faults, type FaultyAnswer } from './faults.js'
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

/** A team with real keys and a real endpoint. The plugin needs no other setting for it than `teamDomain`. */
export class AccessTeam {
  /** Its address, `http://127.0.0.1:PORT`: the `teamDomain` to give the plugin, and the issuer of its tokens. */
  readonly domain: string
  /** Everything it was asked so far, in order. */
  readonly requests: AccessTeamRequest[] = []

  readonly #server: Server
  #keys: readonly [current: SigningKey, previous: SigningKey]
  #fault: FaultyAnswer | null = null

  constructor (server: Server, keys: readonly [SigningKey, SigningKey]) {
    this.#server = server
    this.#keys = keys
    this.domain = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (request, response) => this.#answer(request, response))
  }

  /** A token as a person brings it after logging in. */
  userToken (options: UserTokenOptions): string {
    return this.sign(userClaims(this.domain, options), options.header)
  }

  /** A token as a service token's holder brings it. */
  serviceToken (options: ServiceTokenOptions): string {
    return this.sign(serviceClaims(this.domain, options), options.header)
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

  /** Makes every answer fail in this way, until `null` mends it. */
  outage (outage: Outage | null): void {
    this.#fault = typeof outage === 'string' ? faults[outage] : outage
  }

  /** Stops listening, whoever is connected. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #answer (request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request
    this.requests.push({ method, path, headers })
    const body = JSON.stringify(this.certs)
    if (this.#fault !== null) return this.#fault(request, response, body)
    if (path === '/cdn-cgi/access/certs') response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    else response.writeHead(404).end()
  }
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
