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

/** A request that the team got. */
export interface AccessTeamRequest {
  /** Such as `GET`. */
  readonly method: string
  /** With the query, if any: `/cdn-cgi/access/certs` for the keys. */
  readonly path: string
  /** As Node.js reads them. */
  readonly headers: IncomingMessage['headers']
}

/** A team with real keys and real endpoints. The plugin needs no other setting for it than `teamDomain`. */
export class AccessTeam extends Issuer {
  /** Its address, `http://127.0.0.1:PORT`: the `teamDomain` to give the plugin, and the issuer of its tokens. */
  declare readonly domain: string
  /** Every request so far, in order. */
  readonly requests: AccessTeamRequest[] = []

  readonly #server: Server
  readonly #endpoints = new Endpoints(this, token => this.#revoked.has(token)
    ? null
    : this.#identities.get(token) ?? {})

  /** The `identity` option of each token that was given one. */
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

  /** Ends a token's session: get-identity no longer accepts the token, though it is valid until its `exp`. */
  revoke (token: string): void {
    this.#revoked.add(token)
  }

  /**
   * Makes endpoints fail in this way, until `null` restores them.
   * @param at the endpoint; by default all
   */
  outage (outage: Outage | null, at?: Endpoint): void {
    this.#endpoints.outage(outage, at)
  }

  /** Stops listening and closes all connections. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #remember (token: string, { identity }: TokenOptions): string {
    // Two tokens that a service gets in one second are equal, so the later identity counts.
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

/** The options of a team emulator. */
export interface AccessTeamOptions {
  /** The port to listen on, on 127.0.0.1. Default 0: any free port. */
  readonly port?: number
}

/** Starts a team with two new RSA keys, as a real team has. A team that is not closed keeps no process alive. */
export async function createAccessTeam ({ port = 0 }: AccessTeamOptions = {}): Promise<AccessTeam> {
  const keys = await SigningKeys.create()
  const server = createServer()
  // Node.js closes an idle connection after 5 s, perhaps just when the client uses it again.
  server.keepAliveTimeout = 0
  server.on('connection', socket => socket.unref())
  server.unref().listen(port, '127.0.0.1')
  await once(server, 'listening')
  return new AccessTeam(server, keys)
}
