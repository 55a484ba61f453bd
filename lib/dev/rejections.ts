/** How the edge rejects requests: with pages for users, and with JSON for other clients. */
import { createError, type FastifyError } from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isNavigation } from '../access/login.js'
import { noteError } from './log.js'
import { PAGE_HEADERS } from './pages.js'

export const UnreadableError = createError('FST_CF_ACCESS_EDGE_PATH',
  'Emulator for Cloudflare Access: this path is ambiguous', 400)
export const ReservedError = createError('FST_CF_ACCESS_EDGE_RESERVED',
  'Emulator for Cloudflare Access: /cdn-cgi never reaches your app', 404)
export const CodeError = createError('FST_CF_ACCESS_EDGE_CODE',
  'Emulator for Cloudflare Access: this code was used before, is too old or is of another hostname; log in again', 400)
export const LoginRequiredError = createError('FST_CF_ACCESS_EDGE_LOGIN_REQUIRED',
  'Emulator for Cloudflare Access: no session', 401)
export const PreflightError = createError('FST_CF_ACCESS_EDGE_PREFLIGHT',
  'Emulator for Cloudflare Access: a CORS preflight has no cookie, so Access blocks it', 403)
export const ServiceTokenError = createError('FST_CF_ACCESS_EDGE_SERVICE_TOKEN',
  'Emulator for Cloudflare Access: unknown pair of CF-Access-Client-Id and CF-Access-Client-Secret', 401)
export const ForbiddenError = createError<[place: string, rule: string]>('FST_CF_ACCESS_EDGE_FORBIDDEN',
  'Emulator for Cloudflare Access: the policy of %s denies by its "%s"', 403)
export const ForeignFormError = createError('FST_CF_ACCESS_EDGE_FORM',
  'Emulator for Cloudflare Access: this form was sent from another site', 403)
export const ForeignHostError = createError('FST_CF_ACCESS_EDGE_HOST',
  'Emulator for Cloudflare Access: only for 127.0.0.1 and localhost', 421)
export const UnknownHostError = createError<[url: string]>('FST_CF_ACCESS_EDGE_HOSTNAME',
  'Emulator for Cloudflare Access: no application has this hostname; open %s', 421)
export const UnreachableError = createError<[to: string, cause: string]>('FST_CF_ACCESS_EDGE_UNREACHABLE',
  'Emulator for Cloudflare Access: the application at %s does not answer: %s', 502)

/** Answers with a page where a user asked for one, and with the error for other clients. */
export function sendError (
  request: FastifyRequest, reply: FastifyReply, error: FastifyError, renderPage: () => string
): FastifyReply {
  noteError(request, error)
  reply.code(error.statusCode!).header('cache-control', 'no-store')
  if (!isNavigation(request)) return reply.send(error)
  return reply.headers(PAGE_HEADERS).send(renderPage())
}
