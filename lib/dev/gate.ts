/** What the edge does with each request for an application: authenticates, authorizes, and adds the token. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { decodeJwt } from 'jose'
import { EMAIL_HEADER, TOKEN_COOKIE, TOKEN_HEADER } from '../access/protocol.js'
import type { CfAccessClaims } from '../identity/claims.js'
import { readMachineDetails, readUserDetails } from '../identity/details.js'
import { identify, type CfAccessIdentity, type DetailsSource } from '../identity/identity.js'
import type { Issuer } from '../testing/issuer.js'
import type { Application, Applications } from './applications.js'
import { setSession } from './cookie.js'
import { bytesOf, edgeHeaders } from './headers.js'
import type { EdgeSettings } from './options.js'
import type { Users } from './users.js'
import { askToLogIn, sendForbidden, ReservedError, ServiceTokenError, UnreadableError } from './rejections.js'
import type { Sessions } from './sessions.js'

/** Who a request comes from, and the token that the application gets. */
interface Caller {
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  readonly label: string
}

export class Gate {
  readonly #issuer: Issuer
  readonly #applications: Applications
  readonly #users: Users
  readonly #services: ReadonlyMap<string, string>
  readonly #sessions: Sessions
  readonly #lifetime: number

  constructor (issuer: Issuer, sessions: Sessions, { applications, users, services, session }: EdgeSettings) {
    this.#issuer = issuer
    this.#sessions = sessions
    this.#applications = applications
    this.#users = users
    this.#services = services
    this.#lifetime = session
  }

  /** A hook for `onRequest`. */
  async check (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const application = this.#applications.at(request.originalUrl)
    if (application === 'unreadable') throw new UnreadableError()
    if (application === 'reserved') throw new ReservedError()
    if (application === null) return undefined
    const caller = this.#caller(request, reply, application)
    if (caller === null) return askToLogIn(request, reply, application)
    const rule = await this.#deniedBy(caller.token, application, request)
    if (rule !== null) return sendForbidden(request, reply, application, caller.label, rule)
    edgeHeaders.set(request, caller.headers)
    return undefined
  }

  #caller (request: FastifyRequest, reply: FastifyReply, application: Application): Caller | null {
    if (bringsServiceToken(request.headers)) return this.#service(request.headers, application)
    const session = this.#sessions.read(request.cookies[TOKEN_COOKIE])
    if (session === null) return null
    const own = this.#sessions.forApplication(session, application.audience)
    if (own !== session) setSession(reply, own)
    const { token, claims: { email } } = own
    return { token, label: email, headers: { [TOKEN_HEADER]: token, [EMAIL_HEADER]: bytesOf(email) } }
  }

  /** A cookie beside the pair is ignored; an incomplete or repeated pair is rejected. */
  #service (
    { 'cf-access-client-id': clientId, 'cf-access-client-secret': secret }: IncomingHttpHeaders,
    { audience }: Application
  ): Caller {
    if (secret === undefined || this.#services.get(String(clientId)) !== secret) throw new ServiceTokenError()
    const token = this.#issuer.serviceToken({
      clientId: String(clientId),
      audience,
      expiresIn: `${this.#lifetime}ms`,
      issuedIn: '0s'
    })
    return { token, label: String(clientId), headers: { [TOKEN_HEADER]: token } }
  }

  /** The rule that denies the caller, or `null`. */
  async #deniedBy (token: string, { policy }: Application, request: FastifyRequest): Promise<string | null> {
    return policy === null ? null : policy(identify(decodeJwt<CfAccessClaims>(token), token, this.#source), request)
  }

  /** Answers the policies' questions as get-identity would. */
  readonly #source: DetailsSource = {
    details: async (identity: CfAccessIdentity) => {
      const answer = this.#users.answerOf(identity.claims)
      return identity.kind === 'user'
        ? readUserDetails(answer, identity.email)
        : readMachineDetails(answer, String(identity.claims.common_name))
    }
  }
}

function bringsServiceToken (headers: IncomingHttpHeaders): boolean {
  return headers['cf-access-client-id'] !== undefined || headers['cf-access-client-secret'] !== undefined
}
