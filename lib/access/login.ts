/** Redirects a browser without a session to the team's login page, and from there back to the page it asked for. */
import type { SerializeOptions } from '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { channels } from '../channels.js'
import { TokenExpiredError, TokenMissingError } from '../errors.js'

/** Where users log in. */
export interface Login {
  readonly loginUrl: string
  /** Its AUD tag; `undefined` for a host without an Access application. */
  readonly tagFor: (host: string) => string | undefined
  readonly cookies: CookieCodec
}

/** The functions of @fastify/cookie that the login needs. */
export interface CookieCodec {
  readonly parseCookie: (header: string) => Record<string, string | undefined>
  readonly serializeCookie: (name: string, value: string, options?: SerializeOptions) => string
}

// Prevents redirect loops: after a login that sets no session (wrong settings, blocked cookies) the next request gets
// 401.
const LOOP_GUARD = 'cf-access-login'
const LOOP_GUARD_SECONDS = 60

const HOST = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/i
const HTML_FIRST = /^\s*(?:text\/html|application\/xhtml\+xml)\s*(?:[,;]|$)/i

/**
 * Redirects a browser's navigation without a valid session to the team's login page, and reports it on the channel
 * `login`: it is not a rejection.
 * @returns whether it redirected
 * @see Cloudflare's Pages plugin for the shape of the login's address
 */
export function sendToLogin (
  error: Error, request: FastifyRequest, reply: FastifyReply, { loginUrl, tagFor, cookies }: Login
): boolean {
  const isLoggedOut = error instanceof TokenMissingError || error instanceof TokenExpiredError
  if (!isLoggedOut || !isNavigation(request) || !HOST.test(request.hostname)) return false
  const tag = tagFor(request.host)
  if (tag === undefined) return false
  if (cookies.parseCookie(request.headers.cookie ?? '')[LOOP_GUARD] === tag) return false
  const query = new URLSearchParams({ kid: tag, redirect_url: localPath(request.originalUrl) })
  reply.header('cache-control', 'no-store')
    .header('set-cookie', cookies.serializeCookie(LOOP_GUARD, tag, {
      maxAge: LOOP_GUARD_SECONDS,
      path: '/',
      httpOnly: true,
      sameSite: 'lax'
    }))
    .redirect(`${loginUrl}/${request.hostname}?${query}`)
  request.log.info({ code: error.code }, 'redirected to the Cloudflare Access login page')
  channels.login.publish({ code: error.code, route: request.routeOptions.url ?? null })
  return true
}

/** Whether a user opens a page, as opposed to a script or program that fetches something. */
export function isNavigation ({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>): boolean {
  return method === 'GET' && headers.upgrade === undefined && HTML_FIRST.test(headers.accept ?? '') &&
    headers['x-requested-with'] === undefined &&
    (headers['sec-fetch-mode'] ?? 'navigate') === 'navigate'
}

/** Prevents open redirects: rejects `//host`, `/\host` and control characters, which browsers strip. */
export function localPath (target: string): string {
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(target) ? target : '/'
}
