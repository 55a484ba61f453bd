/** An emulator for a Cloudflare Access team, on loopback. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ACCESS_PATH } from '../access/protocol.js'
import { Endpoints, isEndpoint, type Endpoint, type Outage } from './endpoints.js'
import { Issuer } from './issuer.js'
import { SigningKeys } from './keys.js'
import type { Claims, ServiceTokenOptions, TokenOptions, UserTokenOptions } from './tokens.js'

const ENDPOINTS = `${ACCESS_PATH}/`

/** A question the team was asked. */
export interface AccessTeamRequest {
  /** Such as `GET`. */
  readonly method: string
  /** With the query, if any: `/cdn-cgi/access/certs` for the keys. */
  readonly path: string
  /** As Node.js reads them. */
  readonly headers: IncomingMessage['headers']
}

/** A team with real keys and a real endpoint. The plugin needs no other setting for it than `teamDomain`. */
export class AccessTeam extends Issuer {
  /** Its address, `http://127.0.0.1:PORT`: the `teamDomain` to give the plugin, and the issuer of its tokens. */
  declare readonly domain: string
  /** Everything it was asked so far, in order. */
  readonly requests: AccessTeamRequest[] = []

  readonly #server: Server
  readonly #endpoints = new Endpoints(this, token => this.#revoked.has(token) ? null : this.#identities.get(token) ?? {})
  /** Of the tokens that were given an identity of their own. */
  readonly #identities = new Map<string, Claims>()
  readonly #revoked = new Set<string>()

  constructor (server: Server, keys: SigningKeys) {
    super(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys)
    this.#server = server
    server.on('request', (request, response) => this.#answer(request, response))
  }

  override userToken (options: UserTokenOptions): string {
    return this.#remember(super.userToken(options), options)
  }

  override serviceToken (options: ServiceTokenOptions): string {
    return this.#remember(super.serviceToken(options), options)
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
    this.#endpoints.outage(outage, at)
  }

  /** Stops listening, whoever is connected. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #remember (token: string, { identity }: TokenOptions): string {
    // A service's tokens of one second are the same token, so the last word on its identity counts.
    if (identity === undefined) this.#identities.delete(token)
    else this.#identities.set(token, identity)
    return token
  }

  #answer (request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request
    this.requests.push({ method, path, headers })
    const endpoint = path.slice(ENDPOINTS.length)
    if (path.startsWith(ENDPOINTS) && isEndpoint(endpoint)) this.#endpoints.answer(endpoint, request, response)
    else response.writeHead(404).end()
  }
}

/** Where a team stands. */
export interface AccessTeamOptions {
  /** Where to listen on 127.0.0.1. Default 0: wherever there is room. */
  readonly port?: number
}

/** Starts a team of its own, with two fresh RSA keys as a real one has. */
export async function createAccessTeam ({ port = 0 }: AccessTeamOptions = {}): Promise<AccessTeam> {
  const keys = await SigningKeys.create()
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return new AccessTeam(server, keys)
}
