/** The errors that reject a request or stop the start of the application. */
import { createError, type FastifyError } from '@fastify/error'

/** Why a token is rejected, as one word. It goes to the log; clients never learn it. */
export type TokenFault =
  | 'malformed' | 'header' | 'algorithm' | 'kid' | 'signature'
  | 'issuer' | 'audience' | 'host' | 'type' | 'time' | 'identity' | 'revoked' | 'signed-out'

interface RejectionConstructor<Reason extends string> {
  new (reason: Reason): FastifyError & {
    /** Why, as one word: for the log, never for a client. */
    readonly reason: Reason
  }
}

/**
 * An error that the client causes. Its reason is not an own property, so that no serializer sends or logs it by
 * accident. It has no stack, which could only point at this library.
 */
function clientError<Reason extends string> (
  code: string, message: string, statusCode: number
): RejectionConstructor<Reason> {
  return class extends createError<[]>(code, message, statusCode, Error, false) {
    readonly #reason: Reason

    constructor (reason: Reason) {
      super()
      this.#reason = reason
    }

    get reason (): Reason {
      return this.#reason
    }
  }
}

/** `FST_CF_ACCESS_TOKEN_MISSING`, 401: the request has no token, in its header or in a cookie. */
export class TokenMissingError extends clientError<'missing'>(
  'FST_CF_ACCESS_TOKEN_MISSING', 'A Cloudflare Access token is required', 401) {}

/** `FST_CF_ACCESS_TOKEN_INVALID`, 401: malformed, with a wrong signature, or for another team or Access application. */
export class TokenInvalidError extends clientError<TokenFault>(
  'FST_CF_ACCESS_TOKEN_INVALID', 'The Cloudflare Access token is not valid here', 401) {}

/** `FST_CF_ACCESS_TOKEN_EXPIRED`, 401: past the token's `exp`, or issued longer ago than `maxTokenAge`. */
export class TokenExpiredError extends clientError<'expired' | 'age'>(
  'FST_CF_ACCESS_TOKEN_EXPIRED', 'The Cloudflare Access token has expired', 401) {}

/** `FST_CF_ACCESS_FORBIDDEN`, 403: verified, but a policy denies. The reason is the rule, such as `exclude.email`. */
export class ForbiddenError extends clientError<string>(
  'FST_CF_ACCESS_FORBIDDEN', 'Cloudflare Access identity is not allowed here', 403) {}

/**
 * `FST_CF_ACCESS_CROSS_ORIGIN`, 403: a page of another origin made a request that can change something, or opened a
 * WebSocket.
 */
export class CrossOriginError extends clientError<'cross-origin'>(
  'FST_CF_ACCESS_CROSS_ORIGIN', 'Requests of other origins are not allowed here', 403) {}

interface UnavailableConstructor {
  new (retryAfter: number, reason?: string): FastifyError & {
    /** Seconds after which the client can retry; at least 1. */
    readonly retryAfter: number
    /** What went wrong, for an operator. */
    readonly reason: string | undefined
  }
}

/** Access is unavailable: the request can be retried. */
function unavailableError (code: string, message: string): UnavailableConstructor {
  return class extends createError<[]>(code, message, 503, Error, false) {
    readonly retryAfter: number
    readonly #reason: string | undefined

    constructor (retryAfter: number, reason?: string) {
      super()
      this.retryAfter = retryAfter
      this.#reason = reason
    }

    get reason (): string | undefined {
      return this.#reason
    }
  }
}

/** `FST_CF_ACCESS_KEYS_UNAVAILABLE`, 503: no usable keys of the team are available. */
export class KeysUnavailableError extends unavailableError(
  'FST_CF_ACCESS_KEYS_UNAVAILABLE', 'Cloudflare Access signing keys are unavailable') {}

/**
 * `FST_CF_ACCESS_IDENTITY_UNAVAILABLE`, 503: a policy or a handler needs `details()`, and get-identity is unavailable.
 */
export class IdentityUnavailableError extends unavailableError(
  'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', 'Cloudflare Access identity details are unavailable') {}

/** `FST_CF_ACCESS_POLICY_FAILED`, 500: a policy function threw; its error is the `cause`. */
export const PolicyFailedError = createError<[ErrorOptions]>(
  'FST_CF_ACCESS_POLICY_FAILED', 'The access policy could not be decided', 500)

/** `FST_CF_ACCESS_NOT_REGISTERED`, 500: `guard()` found no registration, or more than one equally close. */
export const NotRegisteredError = createError<[message: string]>(
  'FST_CF_ACCESS_NOT_REGISTERED', '%s', 500)

/** `FST_CF_ACCESS_OPTIONS_INVALID`: an invalid option, policy or `config.cfAccess`. Stops the start. */
export const OptionsInvalidError = createError<[message: string]>(
  'FST_CF_ACCESS_OPTIONS_INVALID', '%s', 500, TypeError)
