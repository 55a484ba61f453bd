/** Fastify's side of a registration: settings in, decorators and hooks out. */
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import fp from 'fastify-plugin'
import { sendToLogin, type Login } from './access/login.js'
import { logoutUrl } from './access/team.js'
import { prefixOf } from './coverage/prefix.js'
import { isPreflight } from './coverage/preflight.js'
import { registryOf, type RegistrationRegistry } from './coverage/registry.js'
import { compileRouteConfig, type CfAccessRouteConfig } from './coverage/route-config.js'
import { announceAtStart } from './coverage/start-log.js'
import { OptionsInvalidError } from './errors.js'
import { checkRequest, guard, runAsHook, type CfAccessGuard } from './guard.js'
import { GetIdentityClient } from './identity/get-identity.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { acquireKeySet, releaseKeySet, type KeyObserver, type KeySet, type CfAccessKeyStatus } from './keys/key-set.js'
import { checkOptions, type CfAccessOptions, type Settings } from './options.js'
import type { CfAccessPolicy } from './policy/policy.js'
import type { Registration } from './registration.js'
import { cfAccessOnError } from './reject.js'
import { headerOrCookies, readHeader } from './token/extract.js'
import { Verifier } from './token/token-verifier.js'
import type { CookieCodec } from './util/cookie-codec.js'

/** What `fastify.cfAccess` offers: the registration nearest to the instance it is read from. */
export interface CfAccess {
  /** The `guard` this package exports. */
  guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard
  /**
   * Verifies a token that came by another way than a request, such as a socket or a queue. No policy is asked.
   * @throws {TokenInvalidError | TokenExpiredError | KeysUnavailableError | NotRegisteredError} as a rejection
   */
  verify (token: string): Promise<CfAccessIdentity>
  /**
   * The state of the team's keys, for a readiness route.
   * @throws {NotRegisteredError} where no registration is the nearest, or several of different teams are
   */
  status (): CfAccessKeyStatus
  /**
   * Where a user logs out: of every application of the team, whichever address is used. The
   * application's own address, `at: 'application'`, clears its cookie at once.
   * @param returnTo an absolute http or https URL of an application behind Access
   * @throws {OptionsInvalidError} when it is none
   * @throws {NotRegisteredError} where no registration is the nearest, or several of different teams are
   * @see Cloudflare docs: Session management, Log out as a user
   */
  logoutUrl (returnTo?: string, at?: 'team' | 'application'): string
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly cfAccess: CfAccess
  }
  interface FastifyRequest {
    /** Who this request comes from; `null` until a guard has let it in. */
    cfAccess: CfAccessIdentity | null
  }
  interface FastifyContextConfig {
    /** `false`: not guarded. `true` or a policy: guarded, and asked for that too. */
    cfAccess?: CfAccessRouteConfig
  }
}

/**
 * A request that a guard has let in: `cfAccess` is there. Name the request's own type to keep its route's
 * generics, and an identity where a policy admits one kind only: `request as CfAccessRequest<typeof request, CfAccessUser>`.
 */
export type CfAccessRequest<
  Request extends Pick<FastifyRequest, 'cfAccess'> = FastifyRequest,
  Identity extends CfAccessIdentity = CfAccessIdentity
> = Request & {
  /** Who it is. */
  readonly cfAccess: Identity
}

const registerCfAccess: FastifyPluginAsync<CfAccessOptions> = async (fastify, options) => {
  const settings = checkOptions(options, fastify.prefix)
  const keySet = joinKeys(fastify, settings)
  const cookies = await cookiesOf(fastify)
  const registration: Registration = {
    scope: fastify,
    prefixes: settings.prefixes?.map(prefix => prefixOf(fastify.prefix + prefix)) ?? null,
    global: settings.global,
    preflight: settings.preflight,
    policy: settings.policy,
    readTokens: settings.cookie ? headerOrCookies(cookies) : readHeader,
    verifier: new Verifier({ issuer: settings.team.issuer, ...settings }, keySet, endpointOf(fastify, settings)),
    keySet,
    team: settings.team,
    login: settings.login ? { loginUrl: settings.team.loginUrl, audience: settings.audience[0]!, cookies } : null
  }
  const registry = registryOf(fastify)
  if (!registry.add(registration)) {
    throw new OptionsInvalidError('fastify-cf-access is registered twice in one scope for the same path; ' +
      'give each registration a prefix or a scope of its own.')
  }
  decorate(fastify, registry)
  fastify.addHook('onRoute', route => {
    if (route.config !== undefined) route.config = compileRouteConfig(route.config)
  })
  fastify.addHook('onRequest', onRequestFor(registration, registry))
  fastify.addHook('onError', cfAccessOnError)
  announceAtStart(registration, settings.audience)
}

function onRequestFor (registration: Registration, registry: RegistrationRegistry): CfAccessGuard {
  return function cfAccessOnRequest (request, reply, done) {
    // A scope older than the registration does not know the decorator's initial value.
    request.cfAccess ??= null
    const { login } = registration
    runAsHook(() => {
      const { registrations, policy } = registry.requirementFor(request)
      if (!registrations.includes(registration) || (registration.preflight && isPreflight(request))) return undefined
      return checkRequest(registration, policy, request)
    }, login === null ? done : orLogin(login, request, reply, done))
  }
}

function orLogin (
  login: Login, request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction
): HookHandlerDoneFunction {
  return error => {
    if (error === undefined || !sendToLogin(error, request, reply, login)) done(error)
  }
}

function decorate (fastify: FastifyInstance, registry: RegistrationRegistry): void {
  if (!fastify.hasRequestDecorator('cfAccess')) fastify.decorateRequest('cfAccess', null)
  if (fastify.hasDecorator('cfAccess')) return
  fastify.decorate('cfAccess', {
    getter () {
      return {
        guard,
        verify: async token => registry.nearest(this).verifier.verify(token),
        status: () => registry.nearestOfOneTeam(this).keySet.status(),
        logoutUrl: (returnTo, at) => logoutUrl(registry.nearestOfOneTeam(this).team, returnTo, at)
      }
    }
  })
}

/** The application's own @fastify/cookie, or one in a scope of its own, which leaves the application as it is. */
async function cookiesOf (fastify: FastifyInstance): Promise<CookieCodec> {
  const pick = ({ parseCookie, serializeCookie }: FastifyInstance): CookieCodec => ({ parseCookie, serializeCookie })
  if (fastify.hasDecorator('parseCookie')) return pick(fastify)
  let cookies: CookieCodec
  await fastify.register(async scope => {
    await scope.register(fastifyCookie, { hook: false })
    cookies = pick(scope)
  })
  return cookies!
}

function endpointOf (fastify: FastifyInstance, { team, fetch, details }: Settings): GetIdentityClient {
  const endpoint = new GetIdentityClient(team.identityUrl, fetch, details)
  fastify.addHook('preClose', async () => { endpoint.close() })
  return endpoint
}

/** Takes part in the team's keys from the start of the application until it closes. */
function joinKeys (fastify: FastifyInstance, { team, fetch, keyTimes }: Settings): KeySet {
  const observer = observerOf(fastify)
  const keySet = acquireKeySet({ url: team.certsUrl, fetch, times: keyTimes }, observer)
  // Not at once: the first fetch of a process loads much, and the start need not wait for it.
  fastify.addHook('onReady', async () => { setImmediate(() => keySet.prefetch()) })
  // Before the server waits for its requests, since some may be waiting for keys.
  fastify.addHook('preClose', async () => { releaseKeySet(keySet, observer) })
  return keySet
}

const observers = new WeakMap<object, KeyObserver>()

/** One observer a server, so that each refresh is logged once. */
function observerOf ({ server, log }: FastifyInstance): KeyObserver {
  let observer = observers.get(server)
  if (observer === undefined) {
    observer = {
      rotated: (url, kids) => log.info({ url, kids }, 'Cloudflare Access keys changed'),
      failed: (url, reason) => log.warn({ url, reason }, 'Cloudflare Access keys could not be refreshed')
    }
    observers.set(server, observer)
  }
  return observer
}

/**
 * Lets in only the requests that Cloudflare Access has signed, and says who they are.
 * See {@link CfAccessOptions} for what it takes.
 * @see Fastify docs: Plugins, Encapsulation
 */
export const cfAccess = fp(registerCfAccess, { name: 'fastify-cf-access', fastify: '5.x' })
