/** The routes of Access itself, under `/cdn-cgi/access/`: keys, identities, login and logout. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { decodeJwt } from 'jose'
import { localPath } from '../access/login.js'
import { ACCESS_PATH, RESERVED_PATH, TOKEN_COOKIE } from '../access/protocol.js'
import type { Endpoint, Endpoints } from '../testing/endpoints.js'
import { LOGIN, loginFor, LOGOUT, STYLESHEET } from './paths.js'
import type { Application, Applications } from './applications.js'
import { setSession } from './cookie.js'
import { loggedOutPage, loginPage, PAGE_HEADERS, type Candidate } from './pages.js'
import { isEmail, type Users } from './users.js'
import { ForeignFormError, ReservedError } from './rejections.js'
import type { Sessions } from './sessions.js'
import { stylesheet } from './stylesheet.js'

export interface Access {
  readonly applications: Applications
  readonly users: Users
  readonly sessions: Sessions
  readonly endpoints: Endpoints
}

interface Destination {
  readonly application: Application
  readonly target: string
}

export async function accessRoutes (scope: FastifyInstance, access: Access): Promise<void> {
  const { sessions, endpoints } = access

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

  for (const url of [LOGIN, `${LOGIN}/:hostname`]) {
    scope.get(url, async (request, reply) => {
      return sendLoginPage(request, reply, destinationOf(queryOf(request), access), access)
    })
  }

  scope.post<{ Body?: URLSearchParams }>(LOGIN, { onRequest: rejectForeignForms }, async (request, reply) => {
    const form = request.body ?? new URLSearchParams()
    const destination = destinationOf(form, access)
    const email = (form.get('email') ?? '').trim()
    if (!isEmail(email)) return sendLoginPage(request, reply.code(400), destination, access, email)
    setSession(reply, sessions.begin(email, destination.application.audience))
    return reply.redirect(destination.target, 303)
  })

  scope.get<{ Querystring: { returnTo?: string | string[] } }>(LOGOUT, async (request, reply) => {
    const session = sessions.read(request.cookies[TOKEN_COOKIE])
    if (session !== null) sessions.end(session)
    reply.clearCookie(TOKEN_COOKIE, { path: '/' })
    const returnTo = request.query.returnTo === undefined ? null : ownAddress(String(request.query.returnTo), request)
    if (returnTo !== null && returnTo !== 'elsewhere') return reply.redirect(returnTo)
    const { application, target } = destinationOf(new URLSearchParams(), access)
    return reply.headers(PAGE_HEADERS).send(
      loggedOutPage(loginFor(request.hostname, application.audience, target), returnTo === 'elsewhere'))
  })

  for (const url of [RESERVED_PATH, `${RESERVED_PATH}/*`]) scope.all(url, async () => { throw new ReservedError() })
}

/** The query of the raw target: `URL` does not parse every target. */
function queryOf ({ url }: FastifyRequest): URLSearchParams {
  return new URLSearchParams(/\?.*/s.exec(url)?.[0])
}

function destinationOf (query: URLSearchParams, { applications }: Access): Destination {
  const target = localPath(query.get('redirect_url') ?? applications.list[0]!.path)
  return { target, application: applications.forLogin(query.get('kid'), target) }
}

function sendLoginPage (
  request: FastifyRequest, reply: FastifyReply, { application, target }: Destination, { users, sessions }: Access,
  mistake?: string
): FastifyReply {
  const candidates = users.list.map((user): Candidate =>
    ({ user, claims: decodeJwt(sessions.begin(user.email, application.audience).token) }))
  const current = sessions.read(request.cookies[TOKEN_COOKIE])?.claims.email
  return reply.headers(PAGE_HEADERS).send(loginPage({ application, target, candidates, current, mistake }))
}

/** Prevents CSRF: a browser says which site a form comes from, and only a browser has a user's cookies. */
async function rejectForeignForms ({ headers }: FastifyRequest): Promise<void> {
  const { origin = `http://${headers.host}`, 'sec-fetch-site': site = 'same-origin' } = headers
  if (origin !== `http://${headers.host}` || site !== 'same-origin') throw new ForeignFormError()
}

/** The path of a same-origin `returnTo`, else `'elsewhere'`; prevents an open redirect. */
function ownAddress (address: string, { headers }: FastifyRequest): string {
  const origin = `http://${headers.host}`
  if (!URL.canParse(address, origin)) return 'elsewhere'
  const url = new URL(address, origin)
  return url.origin === origin ? localPath(`${url.pathname}${url.search}`) : 'elsewhere'
}
