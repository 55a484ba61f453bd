/** An emulator for Cloudflare's edge with Access, in front of your app: on loopback, for development. */
import fastifyCookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { RESERVED_PATH } from '../access/protocol.js'
import { Endpoints, type Endpoint, type Outage } from '../testing/endpoints.js'
import { Issuer } from '../testing/issuer.js'
import { SigningKeys } from '../testing/keys.js'
import { accessRoutes, isTeam } from './access-routes.js'
import type { AccessApplication } from './applications.js'
import { Gate } from './gate.js'
import { loadKeys, saveKeys } from './key-file.js'
import { listen, type Listener } from './listen.js'
import { logRequests } from './log.js'
import { checkEdgeOptions, type AccessEdgeOptions, type EdgeSettings } from './options.js'
import { unknownHostPage } from './pages.js'
import { forward, importHttpProxy } from './proxy.js'
import { ForeignHostError, sendError, UnknownHostError } from './rejections.js'
import { Sessions } from './sessions.js'
import { Sites } from './sites.js'
import { Upgrades } from './upgrades.js'

interface Parts {
  readonly app: FastifyInstance
  readonly listener: Listener
  readonly upgrades: Upgrades
  readonly sites: Sites
  readonly endpoints: Endpoints
  readonly keys: SigningKeys
  readonly settings: EdgeSettings
}

/** The emulator, while it listens. */
export class AccessEdge {
  /** The team, `http://localhost:PORT`: the plugin's `teamDomain`, the `iss` of the tokens, and the login page. */
  readonly domain: string
  /** Where your app is reached through the edge: the first application's hostname, as `http://127.0.0.1:PORT`. */
  readonly url: string
  /** Its Access applications, without those that are bypassed. */
  readonly applications: ReadonlyArray<Required<Pick<AccessApplication, 'hostname' | 'path' | 'audience' | 'name'>>>

  readonly #parts: Parts
  readonly #timer: NodeJS.Timeout | undefined

  constructor (parts: Parts) {
    const { sites, settings: { applications: { list }, rotate } } = parts
    this.domain = sites.team
    this.url = sites.originOf(list[0]!.hostname)
    this.applications = list.filter(({ isBypassed }) => !isBypassed)
    this.#parts = parts
    if (rotate !== null) this.#timer = setInterval(() => this.rotateKeys(), rotate)
  }

  /** Makes a new current key. The current one becomes the previous one, and the previous one is no longer published. */
  async rotateKeys (): Promise<void> {
    const { keys, settings } = this.#parts
    await keys.rotate()
    if (settings.keys !== null) await saveKeys(settings.keys, keys)
  }

  /**
   * Makes endpoints fail in this way, until `null` restores them.
   * @param at the endpoint; by default all
   */
  outage (outage: Outage | null, at?: Endpoint): void {
    this.#parts.endpoints.outage(outage, at)
  }

  /** Stops listening and closes all connections. */
  async close (): Promise<void> {
    const { app, listener, upgrades } = this.#parts
    clearInterval(this.#timer)
    upgrades.close()
    await Promise.all([listener.close(), app.close()])
  }
}

/**
 * Starts an emulator in front of `options.to`.
 * @throws {OptionsInvalidError} for a wrong option, with `NODE_ENV=production`, without `@fastify/http-proxy`, and
 * for a port that is already in use.
 */
export async function createAccessEdge (options: AccessEdgeOptions): Promise<AccessEdge> {
  const settings = checkEdgeOptions(options)
  const httpProxy = await importHttpProxy()
  const keys = settings.keys === null ? await SigningKeys.create() : await loadKeys(settings.keys)
  const listener = await listen(settings.port)
  const { server } = listener
  const sites = new Sites(listener.port, settings.applications)
  const issuer = new Issuer(sites.team, keys)
  const sessions = new Sessions(issuer, settings.users, settings.session)
  const endpoints = new Endpoints(issuer, (_token, claims) => sessions.hasEnded(claims)
    ? null
    : settings.users.knowledgeOf(claims))
  if (settings.outage !== null) endpoints.outage(settings.outage)
  const gate = new Gate(issuer, sites, sessions, settings)

  const app = Fastify({ serverFactory: handler => server.on('request', handler) })
  const upgrades = new Upgrades(server, app)
  if (settings.log !== null) logRequests(app, settings.log, settings.verbose)
  app.addHook('onRequest', async (request, reply) => rejectOtherHosts(request, reply, sites, settings))
  await app.register(fastifyCookie)
  await app.register(async scope => accessRoutes(scope, { settings, sites, sessions, endpoints }))
  await app.register(async scope => {
    scope.addHook('onRequest', async (request, reply) => gate.check(request, reply))
    scope.addHook('onRequest', async (request, reply) => upgrades.forward(request, reply))
    await forward(scope, httpProxy)
  })
  await app.ready()
  return new AccessEdge({ app, listener, upgrades, sites, endpoints, keys, settings })
}

/** Rejects hosts of other machines, to prevent DNS rebinding, and hostnames of this one without an application. */
async function rejectOtherHosts (
  request: FastifyRequest, reply: FastifyReply, sites: Sites, { applications }: EdgeSettings
): Promise<unknown> {
  const hostname = sites.hostnameIn(request.headers.host)
  if (hostname === null) throw new ForeignHostError()
  if (applications.hasHostname(hostname)) return undefined
  if (isTeam(request, sites) && request.routeOptions.url?.startsWith(RESERVED_PATH) === true) return undefined
  return sendError(request, reply, new UnknownHostError(sites.links[0]!.url),
    () => unknownHostPage(request.host, sites.links))
}
