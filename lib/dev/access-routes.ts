/** The routes of Access itself, under `/cdn-cgi/access/`: of the team, of every application's hostname, or of both. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { decodeJwt } from 'jose'
import { localPath } from '../access/login.js'
import { ACCESS_PATH, RESERVED_PATH, TOKEN_COOKIE } from '../access/protocol.js'
import type { Endpoint, Endpoints } from '../testing/endpoints.js'
import { DEFAULT_HOSTNAME, type Application } from './applications.js'
import { setSession } from './cookie.js'
import { note } from './log.js'
import type { EdgeSettings } from './options.js'
import { loggedOutPage, loginPage, PAGE_HEADERS, type Candidate } from './pages.js'
import { AUTHORIZED, LOGIN, LOGOUT, STYLESHEET } from './paths.js'
import { CodeError, ForeignFormError, ReservedError } from './rejections.js'
import type { Sessions } from './sessions.js'
import { TEAM_HOSTNAME, type Sites } from './sites.js'
import { stylesheet } from './stylesheet.js'
import { isEmail } from './users.js'

export interface Access {
  readonly settings: EdgeSettings
  readonly sites: Sites
  readonly sessions: Sessions
  readonly endpoints: Endpoints
}

interface Destination {
  readonly application: Application
  readonly target: string
}

export async function accessRoutes (scope: FastifyInstance, access: Access): Promise<void> {
  const { settings: { sameSite }, sites, sessions, endpoints } = access

  scope.removeAllContentTypeParsers() // only forms are posted here; anything else gets 415
  scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' },
    async (_request: FastifyRequest, body: string | Buffer) => new URLSearchParams(String(body)))

  for (const endpoint of ['certs', 'get-identity'] satisfies Endpoint[]) {
    scope.get(`${ACCESS_PATH}/${endpoint}`, (request, reply) => {
      reply.hijack()
      endpoints.answer(endpoint, request.raw, reply.raw)
    })
  }

  scope.get(STYLESHEET, async (_request, reply) => reply.type('text/css; charset=utf-8').send(stylesheet))

  const onTeam = async (request: FastifyRequest): Promise<void> => {
    if (!isTeam(request, sites)) throw new ReservedError()
  }
  for (const url of [LOGIN, `${LOGIN}/:hostname`]) {
    scope.get(url, { onRequest: onTeam }, async (request, reply) =>
      sendLoginPage(request, reply, destinationOf(request, queryOf(request), access), access))

    scope.post<{ Body?: URLSearchParams }>(url, { onRequest: [onTeam, rejectForeignForms] },
      async (request, reply) => {
        const form = request.body ?? new URLSearchParams()
        const { application, target } = destinationOf(request, form, access)
        const email = (form.get('email') ?? '').trim()
        if (!isEmail(email)) return sendLoginPage(request, reply.code(400), { application, target }, access, email)
        note(request, `${email} logs in to ${application.name}`)
        const session = sessions.begin(email, application.audience)
        setSession(reply, sessions.forTeam(session), sameSite)
        const code = sessions.handOver({ hostname: application.hostname, session, target })
        return reply.redirect(`${sites.originOf(application.hostname)}${AUTHORIZED}?${new URLSearchParams({ code })}`, 303)
      })
  }

  scope.get(AUTHORIZED, async (request, reply) => {
    const handover = sessions.takeOver(queryOf(request).get('code') ?? '', sites.hostnameIn(request.headers.host)!)
    if (handover === null) throw new CodeError()
    setSession(reply, handover.session, sameSite)
    return reply.header('cache-control', 'no-store').redirect(handover.target, 303)
  })

  scope.get(LOGOUT, async (request, reply) => {
    const session = sessions.read(request.cookies[TOKEN_COOKIE], isTeam(request, sites) ? 'team' : 'application')
    if (session !== null) sessions.end(session)
    note(request, `${session?.claims.email ?? 'no session'} logs out`)
    reply.clearCookie(TOKEN_COOKIE, { path: '/' })
    const returnTo = queryOf(request).get('returnTo')
    const address = returnTo === null ? null : knownAddress(returnTo, request, sites)
    if (address !== null) return reply.redirect(address)
    return reply.headers(PAGE_HEADERS).send(loggedOutPage(sites.links, returnTo !== null))
  })

  for (const url of [RESERVED_PATH, `${RESERVED_PATH}/*`]) scope.all(url, async () => { throw new ReservedError() })
}

export function isTeam ({ headers }: FastifyRequest, sites: Sites): boolean {
  return sites.hostnameIn(headers.host) === TEAM_HOSTNAME
}

/** The query of the raw target: `URL` does not parse every target. */
function queryOf ({ url }: FastifyRequest): URLSearchParams {
  return new URLSearchParams(/\?.*/s.exec(url)?.[0])
}

/** Where a login leads: to an application of the hostname in the path, which is known here, so no open redirect. */
function destinationOf (
  { params }: FastifyRequest, query: URLSearchParams, { settings: { applications } }: Access
): Destination {
  const { hostname = DEFAULT_HOSTNAME } = params as { hostname?: string }
  const known = applications.hasHostname(hostname) ? hostname : applications.list[0]!.hostname
  const target = localPath(query.get('redirect_url') ?? '/')
  return { target, application: applications.forLogin(known, query.get('kid'), target) }
}

function sendLoginPage (
  request: FastifyRequest, reply: FastifyReply, { application, target }: Destination,
  { settings: { users }, sites, sessions }: Access, mistake?: string
): FastifyReply {
  const candidates = users.list.map((user): Candidate =>
    ({ user, claims: decodeJwt(sessions.begin(user.email, application.audience).token) }))
  const current = sessions.read(request.cookies[TOKEN_COOKIE], 'team')?.claims.email
  const place = sites.originOf(application.hostname) + target
  return reply.headers(PAGE_HEADERS).send(loginPage({ application, target, place, candidates, current, mistake }))
}

/** Prevents CSRF: a browser says which site a form comes from, and only a browser has a user's cookies. */
async function rejectForeignForms ({ headers }: FastifyRequest): Promise<void> {
  const { origin = `http://${headers.host}`, 'sec-fetch-site': site = 'same-origin' } = headers
  if (origin !== `http://${headers.host}` || site !== 'same-origin') throw new ForeignFormError()
}

/** A `returnTo` that leads to the team or an application, else `null`; prevents an open redirect. */
function knownAddress (address: string, { headers }: FastifyRequest, sites: Sites): string | null {
  const origin = `http://${headers.host}`
  if (!URL.canParse(address, origin)) return null
  const url = new URL(address, origin)
  if (url.origin !== origin && !sites.hasOrigin(url.origin)) return null
  return url.origin + localPath(url.pathname + url.search)
}
