/** How the edge rejects requests: with pages for users, and with JSON for other clients. */
import { createError } from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isNavigation, localPath } from '../access/login.js'
import { loginFor } from './paths.js'
import type { Application } from './applications.js'
import { bytesOf } from './headers.js'
import { forbiddenPage, PAGE_HEADERS } from './pages.js'

export const UnreadableError = createError('FST_CF_ACCESS_EDGE_PATH',
  'Emulator for Cloudflare Access: this path is ambiguous', 400)
export const ReservedError = createError('FST_CF_ACCESS_EDGE_RESERVED',
  'Emulator for Cloudflare Access: /cdn-cgi never reaches your app', 404)
const LoginRequiredError = createError('FST_CF_ACCESS_EDGE_LOGIN_REQUIRED',
  'Emulator for Cloudflare Access: no session, and not a browser that asks for a page', 401)
export const ServiceTokenError = createError('FST_CF_ACCESS_EDGE_SERVICE_TOKEN',
  'Emulator for Cloudflare Access: unknown pair of CF-Access-Client-Id and CF-Access-Client-Secret', 401)
const ForbiddenError = createError<[path: string, rule: string]>('FST_CF_ACCESS_EDGE_FORBIDDEN',
  'Emulator for Cloudflare Access: the policy of %s denies by its "%s"', 403)
export const ForeignFormError = createError('FST_CF_ACCESS_EDGE_FORM',
  'Emulator for Cloudflare Access: this form was sent from another site', 403)

/** Redirects a browser to the login page, and rejects other clients. */
export function askToLogIn (request: FastifyRequest, reply: FastifyReply, { audience }: Application): FastifyReply {
  reply.header('cache-control', 'no-store')
  if (isNavigation(request)) return reply.redirect(loginFor(request.hostname, audience, localPath(request.originalUrl)))
  reply.header('www-authenticate', 'Cloudflare-Access')
  throw new LoginRequiredError()
}

/** @param rule the rule of the application's policy that denies */
export function sendForbidden (
  request: FastifyRequest, reply: FastifyReply, application: Application, who: string, rule: string
): FastifyReply {
  reply.headers({ 'cache-control': 'no-store', 'cf-access-error': bytesOf(rule) })
  if (!isNavigation(request)) throw new ForbiddenError(application.path, rule)
  const login = loginFor(request.hostname, application.audience, localPath(request.originalUrl))
  return reply.code(403).headers(PAGE_HEADERS).send(forbiddenPage({ application, who, rule, login }))
}
