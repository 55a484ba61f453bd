/** The wiring of a registration with Fastify: options in, decorators and hooks out. */
import fastifyCookie from '@fastify/cookie'
import type {
  FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HookHandlerDoneFunction
} from 'fastify'
import fp from 'fastify-plugin'
import { sendToLogin, type Login } from './access/login.js'
import { logoutUrl } from './access/team.js'
import { prefixOf } from './coverage/prefix.js'
import { isPreflight } from './coverage/preflight.js'
import type { RegistrationRegistry } from './coverage/registry.js'
import { compileRouteConfig, type CfAccessRouteConfig } from './coverage/route-config.js'
import { announceAtStart } from './coverage/start-log.js'
import { OptionsInvalidError } from './errors.js'
import { checkRequest, guard, runAsHook, type CfAccessGuard } from './guard.js'
import { GetIdentityClient } from './identity/get-identity.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { acquireKeySet, releaseKeySet, type CfAccessKeyStatus, type KeyObserver, type KeySet } from './keys/key-set.js'
import { checkOptions, type CfAccessOptions, type Settings } from './options.js'
import type { CfAccessPolicy } from './policy/policy.js'
import type { Registration } from './registration.js'
import { cfAccessOnError } from './reject.js'
import { serverStateOf } from './server-state.js'
import { headerOrCookies, readHeader } from './token/extract.js'
import { Verifier, type VerifierSettings } from './token/token-verifier.js'
import type { CookieCodec } from './util/cookie-codec.js'

/** `fastify.cfAccess`: the registration nearest to the instance it is read from. */
export interface CfAccess {
  /** The `guard` this package exports. */
  guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard
  /**
   * Verifies a token that did not come with a request, such as one from a socket or a queue. No policy is evaluated.
   * @throws {TokenInvalidError | TokenExpiredError | KeysUnavailableError | NotRegisteredError} as a rejection
   */
  verify (token: string): Promise<CfAccessIdentity>
  /**
   * The state of the team's keys, for a readiness route. Starts a refresh in the background when they are old.
   * @throws {NotRegisteredError} without a nearest registration, or with several of different teams
   */
  status (): CfAccessKeyStatus
  /**
   * The URL that logs a user out of every Access application of the team. With `at: 'application'` it is on your
   * app's own hostname, which also clears that cookie at once.
   * @param returnTo an absolute http or https URL of an application behind Access
   * @throws {OptionsInvalidError} when it is not
   * @throws {NotRegisteredError} without a nearest registration, or with several of different teams
   * @see Cloudflare docs: Session management, Log out as a user
   */
  logoutUrl (returnTo?: string, at?: 'team' | 'application'): string
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly cfAccess: CfAccess
  }
  interface FastifyRequest {
    /** The identity of the request; `null` until a guard has admitted it. */
    cfAccess: CfAccessIdentity | null
  }
  interface FastifyContextConfig {
    /** `false`: not guarded. `true`: guarded. A policy: guarded, and the policy must allow the request. */
    cfAccess?: CfAccessRouteConfig
  }
}

/**
 * A request that a guard has admitted, so `cfAccess` is not `null`. Pass the request's own type to keep its route's
 * generics, and an identity type where a policy admits one kind only: `request as CfAccessRequest<typeof request,
 * CfAccessUser>`.
 */
export type CfAccessRequest<
  Request extends Pick<FastifyRequest, 'cfAccess'> = FastifyRequest,
  Identity extends CfAccessIdentity = CfAccessIdentity
> = Request & {
  /** The identity. */
  readonly cfAccess: Identity
}

const registerCfAccess: FastifyPluginAsync<CfAccessOptions> = async (fastify, options) => {
  const settings = checkOptions(options, fastify.prefix)
  const { registry, keyObserver } = serverStateOf(fastify)
  const keySet = joinKeys(fastify, settings, keyObserver)
  const cookies = await cookiesOf(fastify)
  const registration: Registration = {
    scope: fastify,
    prefixes: settings.prefixes?.map(prefix => prefixOf(fastify.prefix + prefix)) ?? null,
    global: settings.global,
    preflight: settings.preflight,
    policy: settings.policy,
    readTokens: settings.cookie ? headerOrCookies(cookies) : readHeader,
    verifier: new Verifier(verifierSettingsOf(settings), keySet, endpointOf(fastify, settings)),
    keySet,
    team: settings.team,
    login: settings.login ? { loginUrl: settings.team.loginUrl, audience: settings.audience[0]!, cookies } : null
  }
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
    // A scope created before the registration lacks the decorator's initial value.
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
        status: () => {
          const { keySet } = registry.nearestOfOneTeam(this)
          // An app that gets no requests until it is ready would otherwise never fetch the keys that it waits for.
          keySet.prefetch()
          return keySet.status()
        },
        logoutUrl: (returnTo, at) => logoutUrl(registry.nearestOfOneTeam(this).team, returnTo, at)
      }
    }
  })
}

/** Your app's own @fastify/cookie, or one in a separate scope, which does not change your app. */
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

function verifierSettingsOf (
  { team, audience, clockTolerance, maxTokenAge, cacheMax, recheck }: Settings
): VerifierSettings {
  return { issuer: team.issuer, audience, clockTolerance, maxTokenAge, cacheMax, recheck }
}

function endpointOf (fastify: FastifyInstance, { team, fetch, details }: Settings): GetIdentityClient {
  const endpoint = new GetIdentityClient(team.identityUrl, fetch, details)
  fastify.addHook('preClose', async () => { endpoint.close() })
  return endpoint
}

/** Shares the team's key set from the start of the server until it closes. */
function joinKeys (fastify: FastifyInstance, { team, fetch, keyTimes }: Settings, observer: KeyObserver): KeySet {
  const keySet = acquireKeySet({ url: team.certsUrl, fetch, times: keyTimes }, observer)
  // Deferred: the first fetch of a process loads many modules, and the start does not need to wait for it.
  fastify.addHook('onReady', async () => { setImmediate(() => keySet.prefetch()) })
  // Before the server waits for its open requests, since some can be waiting for keys.
  fastify.addHook('preClose', async () => { releaseKeySet(keySet, observer) })
  return keySet
}

/**
 * Admits only requests with a token that Cloudflare Access has signed, and sets `request.cfAccess`.
 * Its options are {@link CfAccessOptions}.
 * @see Fastify docs: Plugins, Encapsulation
 */
export const cfAccess = fp(registerCfAccess, { name: 'fastify-cf-access', fastify: '5.x' })
