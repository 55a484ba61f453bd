/** What the edge does with each request for an application: authenticates, authorizes, and adds the token. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { decodeJwt } from 'jose'
import { isNavigation, localPath } from '../access/login.js'
import { CLIENT_ID_HEADER, CLIENT_SECRET_HEADER, EMAIL_HEADER, TOKEN_COOKIE, TOKEN_HEADER } from '../access/protocol.js'
import { hasPreflightHeaders } from '../coverage/preflight.js'
import type { CfAccessClaims } from '../identity/claims.js'
import { readMachineDetails, readUserDetails } from '../identity/details.js'
import { identify, type CfAccessIdentity, type DetailsSource } from '../identity/identity.js'
import type { Issuer } from '../testing/issuer.js'
import { placeOf, type Application } from './applications.js'
import { setSession } from './cookie.js'
import { bytesOf, forwardings, networkHeaders } from './headers.js'
import { note } from './log.js'
import type { EdgeSettings } from './options.js'
import { forbiddenPage } from './pages.js'
import { LOGIN } from './paths.js'
import {
  ForbiddenError, LoginRequiredError, PreflightError, ReservedError, sendError, ServiceTokenError, UnreadableError
} from './rejections.js'
import type { Sessions } from './sessions.js'
import type { Sites } from './sites.js'

/** Who a request comes from, and the token that the application gets. */
interface Caller {
  readonly token: string
  readonly claims: CfAccessClaims
  readonly label: string
}

// Cloudflare's code for a country that is not known.
const NO_COUNTRY = 'XX'

export class Gate {
  readonly #issuer: Issuer
  readonly #sites: Sites
  readonly #sessions: Sessions
  readonly #settings: EdgeSettings

  constructor (issuer: Issuer, sites: Sites, sessions: Sessions, settings: EdgeSettings) {
    this.#issuer = issuer
    this.#sites = sites
    this.#sessions = sessions
    this.#settings = settings
  }

  /** A hook for `onRequest`, on the hostnames of applications. */
  async check (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { applications, to } = this.#settings
    const application = applications.at(this.#sites.hostnameIn(request.headers.host)!, request.originalUrl)
    if (application === 'unreadable') throw new UnreadableError()
    if (application === 'reserved') throw new ReservedError()
    if (application === null || application.isBypassed) {
      forwardings.set(request, { to: application?.to ?? to, headers: networkHeaders(request, NO_COUNTRY) })
      return undefined
    }
    const caller = this.#caller(request, reply, application)
    if (caller === null) return this.#askToLogIn(request, reply, application)
    const rule = await this.#deniedBy(caller, application, request)
    if (rule !== null) return this.#sendForbidden(request, reply, application, caller, rule)
    const headers = networkHeaders(request, caller.claims.country ?? NO_COUNTRY)
    forwardings.set(request, { to: application.to ?? to, headers: { ...headers, ...accessHeaders(caller) } })
    return undefined
  }

  #caller (request: FastifyRequest, reply: FastifyReply, application: Application): Caller | null {
    if (bringsServiceToken(request.headers)) return this.#service(request, application)
    const session = this.#sessions.read(request.cookies[TOKEN_COOKIE], 'application')
    if (session === null) return null
    const own = this.#sessions.forApplication(session, application.audience)
    if (own !== session) setSession(reply, own, this.#settings.sameSite)
    return callerOf(own.token)
  }

  /** A cookie beside the pair is ignored; an incomplete or repeated pair is rejected. */
  #service (request: FastifyRequest, { audience }: Application): Caller {
    const { [CLIENT_ID_HEADER]: clientId, [CLIENT_SECRET_HEADER]: secret } = request.headers
    if (secret === undefined || this.#settings.services.get(String(clientId)) !== secret) {
      note(request, 'no such service token')
      throw new ServiceTokenError()
    }
    const token = this.#issuer.serviceToken({
      clientId: String(clientId),
      audience,
      expiresIn: `${this.#settings.session}ms`,
      issuedIn: '0s'
    })
    return callerOf(token)
  }

  /** The rule that denies the caller, or `null`. */
  async #deniedBy (
    { token, claims }: Caller, { policy }: Application, request: FastifyRequest
  ): Promise<string | null> {
    const denial = await policy?.check(identify(claims, token, this.#source), request)
    return denial?.rule ?? null
  }

  /** Answers the policies' questions as get-identity would. */
  readonly #source: DetailsSource = {
    sessions: null,
    details: async (identity: CfAccessIdentity) => {
      const answer = this.#settings.users.answerOf(identity.claims)
      return identity.kind === 'user'
        ? readUserDetails(answer, identity.email)
        : readMachineDetails(answer, String(identity.claims.common_name))
    }
  }

  /**
   * As the edge does: a redirect to the team's site for every client but those that ask for 401.
   * @see Cloudflare docs: Session management (AJAX); CORS; Managed OAuth
   */
  #askToLogIn (request: FastifyRequest, reply: FastifyReply, application: Application): FastifyReply {
    const { lenient, managedOauth } = this.#settings
    reply.header('cache-control', 'no-store')
    note(request, 'no session')
    if (request.method === 'OPTIONS' && hasPreflightHeaders(request.headers)) throw new PreflightError()
    const isPage = isNavigation(request)
    if (managedOauth && !isPage) return challenge(request, reply)
    if (request.headers['x-requested-with'] === 'XMLHttpRequest' || (lenient && !isPage)) throw new LoginRequiredError()
    return reply.redirect(this.#loginFor(request, application))
  }

  #loginFor (request: FastifyRequest, { hostname, audience }: Application): string {
    const target = localPath(request.originalUrl)
    const meta = this.#issuer.metaToken({ audience, issuedIn: '0s', claims: { hostname, redirect_url: target } })
    const query = new URLSearchParams({ kid: audience, redirect_url: target, meta })
    return `${this.#sites.team}${LOGIN}/${hostname}?${query}`
  }

  #sendForbidden (
    request: FastifyRequest, reply: FastifyReply, application: Application, { label, claims }: Caller, rule: string
  ): FastifyReply {
    reply.header('cf-access-error', bytesOf(rule))
    const login = this.#loginFor(request, application)
    return sendError(request, reply, new ForbiddenError(placeOf(application), rule), () =>
      forbiddenPage({ application, who: label, rule, known: this.#settings.users.answerOf(claims), login }))
  }
}

function callerOf (token: string): Caller {
  const claims = decodeJwt<CfAccessClaims>(token)
  return { token, claims, label: String(claims.email ?? claims.common_name) }
}

function accessHeaders ({ token, claims: { email } }: Caller): IncomingHttpHeaders {
  return { [TOKEN_HEADER]: token, ...(email !== undefined && { [EMAIL_HEADER]: bytesOf(email) }) }
}

function bringsServiceToken (headers: IncomingHttpHeaders): boolean {
  return headers[CLIENT_ID_HEADER] !== undefined || headers[CLIENT_SECRET_HEADER] !== undefined
}

/** @see RFC 6750, section 3; RFC 9728, section 5.1 */
function challenge ({ host }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const facts = {
    error: 'invalid_token',
    error_description: 'Missing or invalid access token',
    resource_metadata: `http://${host}/.well-known/cloudflare-access-protected-resource/`
  }
  const parameters = Object.entries({ realm: 'OAuth', ...facts }).map(([name, value]) => `${name}="${value}"`)
  return reply.code(401).header('www-authenticate', `Bearer ${parameters.join(', ')}`).send(facts)
}
