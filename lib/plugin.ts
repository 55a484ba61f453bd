/** The wiring of a registration with Fastify: options in, decorators and hooks out. */
import type {
  FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler
} from 'fastify'
import fp from 'fastify-plugin'
import { sendToLogin, type CookieCodec, type Login } from './access/login.js'
import { logoutUrl } from './access/team.js'
import { admit, createAdmission } from './admission.js'
import { prefixOf } from './coverage/prefix.js'
import { isPreflight } from './coverage/preflight.js'
import type { RegistrationRegistry } from './coverage/registry.js'
import { compileRouteConfig, type CfAccessRouteConfig } from './coverage/route-config.js'
import { announceAtStart } from './coverage/start-log.js'
import { OptionsInvalidError } from './errors.js'
import { checkRequest, guard, runAsHook, type CfAccessGuard } from './guard.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { SharedStore } from './identity/shared-store.js'
import type { KeyObserver } from './keys/key-set.js'
import { checkOptions, type CfAccessOptions, type Settings } from './options.js'
import { checkOptional } from './optional.js'
import { compilePolicy, type CfAccessPolicyFor } from './policy/policy.js'
import type { CfAccessPolicy } from './policy/route-policy.js'
import type { Registration } from './registration.js'
import { cfAccessOnError, noteRejectedBy } from './reject.js'
import { RejectionPatterns } from './rejection-patterns.js'
import { serverStateOf } from './server-state.js'
import { signOut } from './sign-out.js'
import { acceptedOn } from './token/audience.js'
import type { TrustedTeam } from './token/token-verifier.js'
import { prefetchKeys, releaseTeams, statusOf, trustTeams, type CfAccessTeamStatus } from './trusted-teams.js'
import { fromIncoming, type CfAccessIncoming, type HttpRequest } from './util/http-request.js'

/** `fastify.cfAccess`: the registration nearest to the instance it is read from. */
export interface CfAccess {
  /** The `guard` this package exports. */
  guard (...policy: [policy?: CfAccessPolicy]): CfAccessGuard
  /**
   * Verifies a token that did not come with a request, such as one from a socket or a queue. No policy is evaluated.
   * @param options its hostname is required where `audience` differs by hostname
   * @throws {TokenInvalidError | TokenExpiredError | KeysUnavailableError | NotRegisteredError} as a rejection
   * @throws {OptionsInvalidError} as a rejection, when the hostname is missing
   */
  verify (token: string, options?: { readonly hostname?: string }): Promise<CfAccessIdentity>
  /**
   * Authenticates and authorizes a request that no hook sees, such as an upgrade that Socket.IO or `ws` handles, by the
   * same rules: header or cookies, cross-origin protection, hostname, the registration's policy, `recheck`. An error
   * that a handler does not catch is reported as a guard's rejection.
   * @param request a Fastify request, Node's own, or anything with its headers and method
   * @param policy must allow the identity, in addition to the registration's
   * @throws {TokenMissingError | TokenInvalidError | TokenExpiredError | CrossOriginError | ForbiddenError} as a
   *   rejection, as are the errors of keys, details, policies and registrations
   */
  authenticate<Request extends CfAccessIncoming> (
    request: Request, ...policy: [policy?: CfAccessPolicyFor<Request>]
  ): Promise<CfAccessIdentity>
  /**
   * The state of each team's keys, in the order of `teamDomain`, for a readiness route. Starts a refresh in the
   * background when they are old.
   * @throws {NotRegisteredError} without a nearest registration, or with several of different teams
   */
  status (): readonly CfAccessTeamStatus[]
  /**
   * Ends a user's session here: its token is rejected until it expires, by every registration of this server, and
   * `onSessionEnd()` calls back. While the session at the edge lives, the user's next page load brings a new token, so
   * send the browser to `logoutUrl()` afterwards. At most 10,000 are kept, in this process.
   * @throws {OptionsInvalidError} as a rejection, for a service, a certificate, and anything that is not an identity
   */
  signOut (identity: CfAccessIdentity): Promise<void>
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
    /** `false`: not guarded. `'optional'`: open. `true`: guarded. A policy: guarded, and it must allow the request. */
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
  const { registry, keyObserver, signOuts } = serverStateOf(fastify)
  const warn = (facts: object, message: string): void => fastify.log.warn(facts, message)
  const store = settings.store && new SharedStore(settings.store, warn)
  const teams = joinTeams(fastify, settings, keyObserver, store)
  const registration: Registration = {
    ...createAdmission(settings, teams, { signOuts, store }, warn),
    scope: fastify,
    prefixes: settings.prefixes?.map(prefix => prefixOf(fastify.prefix + prefix)) ?? null,
    global: settings.global,
    preflight: settings.preflight,
    teams,
    login: settings.login ? loginOf(settings, await cookiesOf(fastify)) : null,
    logIdentity: settings.logIdentity,
    patterns: new RejectionPatterns(warn)
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
  announceAtStart(registration)
}

function loginOf ({ teams: [team], audience }: Settings, cookies: CookieCodec): Login {
  return { loginUrl: team!.loginUrl, tagFor: audience.loginTag, cookies }
}

function onRequestFor (registration: Registration, registry: RegistrationRegistry): onRequestHookHandler {
  return function cfAccessOnRequest (request, reply, done) {
    // A scope created before the registration lacks the decorator's initial value.
    request.cfAccess ??= null
    const { login } = registration
    runAsHook(() => {
      const requirement = registry.requirementFor(request)
      const { registrations, isOptional } = requirement
      if (isOptional) return registration === registrations[0] ? checkOptional(requirement, request, reply) : undefined
      if (!registrations.includes(registration) || (registration.preflight && isPreflight(request))) return undefined
      return checkRequest(registration, requirement, request, reply)
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
        verify: async (token, { hostname } = {}) => {
          const { verifier, audience } = registry.nearest(this)
          return verifier.verify(token, acceptedOn(audience, hostname))
        },
        authenticate: async (request, ...policy) => {
          const compiled = policy.length === 0 ? null : compilePolicy(policy[0], 'authenticate(request, policy)')
          const checks = { policy: compiled, trustedOrigins: [] }
          const asked: HttpRequest = isOfFastify(request) ? request : fromIncoming(request)
          const registration = registry.nearest(this)
          try {
            return await admit(registration, checks, asked, null, request)
          } catch (error) {
            noteRejectedBy(registration, error)
            throw error
          }
        },
        status: () => statusOf(registry.nearestOfSameTeams(this).teams),
        signOut,
        logoutUrl: (returnTo, at) => logoutUrl(registry.nearestOfSameTeams(this).teams[0]!.team, returnTo, at)
      }
    }
  })
}

function isOfFastify (request: CfAccessIncoming): request is FastifyRequest {
  return 'raw' in request
}

/** Your app's own @fastify/cookie, or one in a separate scope, which does not change your app. */
async function cookiesOf (fastify: FastifyInstance): Promise<CookieCodec> {
  const pick = ({ parseCookie, serializeCookie }: FastifyInstance): CookieCodec => ({ parseCookie, serializeCookie })
  if (fastify.hasDecorator('parseCookie')) return pick(fastify)
  const { default: fastifyCookie } = await import('@fastify/cookie') // only an app with a login loads it
  let cookies: CookieCodec
  await fastify.register(async scope => {
    await scope.register(fastifyCookie, { hook: false })
    cookies = pick(scope)
  })
  return cookies!
}

/** Shares the keys of the teams from the start of the server until it closes. */
function joinTeams (
  fastify: FastifyInstance, settings: Settings, observer: KeyObserver, store: SharedStore | null
): readonly TrustedTeam[] {
  const teams = trustTeams(settings, observer, store)
  fastify.addHook('onReady', async () => { prefetchKeys(teams) })
  // Before the server waits for its open requests, since some can be waiting for keys.
  fastify.addHook('preClose', async () => { releaseTeams(teams, observer) })
  return teams
}

/**
 * Admits only requests with a token that Cloudflare Access has signed, and sets `request.cfAccess`.
 * Its options are {@link CfAccessOptions}.
 * @see Fastify docs: Plugins, Encapsulation
 */
export const cfAccess = fp(registerCfAccess, { name: 'fastify-cf-access', fastify: '5.x' })
