/** An emulator for Cloudflare's edge with Access, in front of your app: on loopback, for development. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import { createError } from '@fastify/error'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { OptionsInvalidError } from '../errors.js'
import { Endpoints, type Endpoint, type Outage } from '../testing/endpoints.js'
import { Issuer } from '../testing/issuer.js'
import { SigningKeys } from '../testing/keys.js'
import { accessRoutes } from './access-routes.js'
import type { AccessApplication } from './applications.js'
import { Gate } from './gate.js'
import { loadKeys, saveKeys } from './key-file.js'
import { checkEdgeOptions, type AccessEdgeOptions, type EdgeSettings } from './options.js'
import { forward, importHttpProxy } from './proxy.js'
import { Sessions } from './sessions.js'

interface Parts {
  readonly app: FastifyInstance
  readonly server: Server
  readonly issuer: Issuer
  readonly endpoints: Endpoints
  readonly keys: SigningKeys
  readonly settings: EdgeSettings
}

/** The emulator, while it listens. */
export class AccessEdge {
  /**
   * Its address, `http://127.0.0.1:PORT`: open it in a browser. Also the plugin's `teamDomain`, and the `iss` of its
   * tokens.
   */
  readonly domain: string
  /** Its Access applications. */
  readonly applications: ReadonlyArray<Required<Pick<AccessApplication, 'path' | 'audience' | 'name'>>>

  readonly #app: FastifyInstance
  readonly #server: Server
  readonly #endpoints: Endpoints
  readonly #keys: SigningKeys
  readonly #keyFile: string | null
  readonly #timer: NodeJS.Timeout | undefined

  constructor ({ app, server, issuer, endpoints, keys, settings }: Parts) {
    this.domain = issuer.domain
    this.applications = settings.applications.list
    this.#app = app
    this.#server = server
    this.#endpoints = endpoints
    this.#keys = keys
    this.#keyFile = settings.keys
    if (settings.rotate !== null) this.#timer = setInterval(() => this.rotateKeys(), settings.rotate)
  }

  /** Makes a new current key. The current one becomes the previous one, and the previous one is no longer published. */
  async rotateKeys (): Promise<void> {
    await this.#keys.rotate()
    if (this.#keyFile !== null) await saveKeys(this.#keyFile, this.#keys)
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
    clearInterval(this.#timer)
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await Promise.all([closed, this.#app.close()])
  }
}

const NotLoopbackError = createError('FST_CF_ACCESS_EDGE_HOST',
  'Emulator for Cloudflare Access: only for 127.0.0.1 and localhost', 421)

// Rejects other hosts to prevent DNS rebinding.
const LOOPBACK_HOST = /^(?:(?:[\w-]+\.)*localhost|127\.0\.0\.1)(?::\d{1,5})?$/i

/**
 * Starts an emulator in front of `options.to`.
 * @throws {OptionsInvalidError} for a wrong option, with `NODE_ENV=production`, without `@fastify/http-proxy`, and
 * for a port that is already in use.
 */
export async function createAccessEdge (options: AccessEdgeOptions): Promise<AccessEdge> {
  const settings = checkEdgeOptions(options)
  const httpProxy = await importHttpProxy()
  const keys = settings.keys === null ? await SigningKeys.create() : await loadKeys(settings.keys)
  const server = await listen(settings.port)
  const issuer = new Issuer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys)
  const sessions = new Sessions(issuer, settings.users, settings.session)
  const endpoints = new Endpoints(issuer, (_token, claims) => sessions.hasEnded(claims)
    ? null
    : settings.users.knowledgeOf(claims))
  if (settings.outage !== null) endpoints.outage(settings.outage)
  const gate = new Gate(issuer, sessions, settings)

  const app = Fastify({ serverFactory: handler => server.on('request', handler) })
  app.addHook('onRequest', rejectOtherHosts)
  await app.register(fastifyCookie)
  await app.register(async scope => accessRoutes(scope, { ...settings, sessions, endpoints }))
  await app.register(async scope => {
    scope.addHook('onRequest', async (request, reply) => gate.check(request, reply))
    await forward(scope, httpProxy, settings.to)
  })
  await app.ready()
  return new AccessEdge({ app, server, issuer, endpoints, keys, settings })
}

/** Listens on the loopback interface only. */
async function listen (port: number): Promise<Server> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new OptionsInvalidError(`Option "port" is ${port}, which is not available: ${(error as Error).message}.`)
  }
  return server
}

async function rejectOtherHosts ({ headers }: FastifyRequest): Promise<void> {
  if (!LOOPBACK_HOST.test(String(headers.host))) throw new NotLoopbackError()
}
