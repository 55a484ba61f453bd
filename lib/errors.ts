/** The errors that reject a request or stop the start of the application. */
import { createError, type FastifyError } from '@fastify/error'
import type { CfAccessReason } from './reasons.js'

/** The reasons of {@link TokenInvalidError}. */
export type TokenFault = Exclude<CfAccessReason, 'missing' | 'expired' | 'age' | 'policy' | 'cross-origin'>

/**
 * What a check compared, for the log at `debug`. Of a token only values of a known form, such as AUD tags, are in it:
 * no e-mail address and nothing secret.
 */
export interface RejectionFacts {
  /** What would have been right. */
  readonly expected?: unknown
  /** What the request has instead. */
  readonly received?: unknown
}

interface RejectionConstructor<Reason extends CfAccessReason> {
  new (reason: Reason, facts?: RejectionFacts): FastifyError & {
    /** Why, as one word: for the log, never for a client. `docs/troubleshooting.md` says what to do. */
    readonly reason: Reason
    /** What was compared: for the log, never for a client. */
    readonly facts: RejectionFacts
  }
}

/**
 * An error that the client causes. Its reason is not an own property, so that no serializer sends or logs it by
 * accident. It has no stack, which could only point at this library.
 */
function clientError<Reason extends CfAccessReason> (
  code: string, message: string, statusCode: number
): RejectionConstructor<Reason> {
  return class extends createError<[]>(code, message, statusCode, Error, false) {
    readonly #reason: Reason
    readonly #facts: RejectionFacts

    constructor (reason: Reason, facts: RejectionFacts = {}) {
      super()
      this.#reason = reason
      this.#facts = facts
    }

    get reason (): Reason {
      return this.#reason
    }

    get facts (): RejectionFacts {
      return this.#facts
    }
  }
}

/**
 * `FST_CF_ACCESS_TOKEN_MISSING`, 401: the request has no token, in its header or in a cookie.
 * @see docs/troubleshooting.md
 */
export class TokenMissingError extends clientError<'missing'>(
  'FST_CF_ACCESS_TOKEN_MISSING', 'A Cloudflare Access token is required', 401) {}

/**
 * `FST_CF_ACCESS_TOKEN_INVALID`, 401: malformed, with a wrong signature, or for another team or Access application.
 * @see docs/troubleshooting.md
 */
export class TokenInvalidError extends clientError<TokenFault>(
  'FST_CF_ACCESS_TOKEN_INVALID', 'The Cloudflare Access token is not valid here', 401) {}

/**
 * `FST_CF_ACCESS_TOKEN_EXPIRED`, 401: past the token's `exp`, or issued longer ago than `maxTokenAge`.
 * @see docs/troubleshooting.md
 */
export class TokenExpiredError extends clientError<'expired' | 'age'>(
  'FST_CF_ACCESS_TOKEN_EXPIRED', 'The Cloudflare Access token has expired', 401) {}

/**
 * `FST_CF_ACCESS_FORBIDDEN`, 403: verified, but a policy denies.
 * @see docs/troubleshooting.md
 */
export class ForbiddenError extends clientError<'policy'>(
  'FST_CF_ACCESS_FORBIDDEN', 'Cloudflare Access identity is not allowed here', 403) {
  readonly #rule: string

  constructor (rule: string, facts?: RejectionFacts) {
    super('policy', facts)
    this.#rule = rule
  }

  /** The rule that denies, such as `exclude.email`: for the log, never for a client. */
  get rule (): string {
    return this.#rule
  }
}

/**
 * `FST_CF_ACCESS_CROSS_ORIGIN`, 403: a page of another origin made a request that can change something, or opened a
 * WebSocket.
 * @see docs/troubleshooting.md
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

    // With these two NestJS knows that the status is meant for the client. Without them it answers 500.
    get status (): number | undefined {
      return this.statusCode
    }

    get expose (): boolean {
      return true
    }
  }
}

/**
 * `FST_CF_ACCESS_KEYS_UNAVAILABLE`, 503: no usable keys of the team are available.
 * @see docs/troubleshooting.md
 */
export class KeysUnavailableError extends unavailableError(
  'FST_CF_ACCESS_KEYS_UNAVAILABLE', 'Cloudflare Access signing keys are unavailable') {}

/**
 * `FST_CF_ACCESS_IDENTITY_UNAVAILABLE`, 503: a policy or a handler needs `details()`, and get-identity is unavailable.
 * @see docs/troubleshooting.md
 */
export class IdentityUnavailableError extends unavailableError(
  'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', 'Cloudflare Access identity details are unavailable') {}

/**
 * `FST_CF_ACCESS_POLICY_FAILED`, 500: a policy function threw; its error is the `cause`.
 * @see docs/troubleshooting.md
 */
export const PolicyFailedError = createError<[ErrorOptions]>(
  'FST_CF_ACCESS_POLICY_FAILED', 'The access policy could not be decided', 500)

/**
 * `FST_CF_ACCESS_NOT_REGISTERED`, 500: `guard()` found no registration, or more than one equally close.
 * @see docs/troubleshooting.md
 */
export const NotRegisteredError = createError<[message: string]>(
  'FST_CF_ACCESS_NOT_REGISTERED', '%s', 500)

/**
 * `FST_CF_ACCESS_OPTIONS_INVALID`: an invalid option, policy or `config.cfAccess`. Stops the start.
 * @see docs/troubleshooting.md
 */
export const OptionsInvalidError = createError<[message: string]>(
  'FST_CF_ACCESS_OPTIONS_INVALID', '%s', 500, TypeError)
