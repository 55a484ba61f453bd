/** What the guard tells whoever listens, by `node:diagnostics_channel`: never a token, and of an identity its kind alone. */
import { channel } from 'node:diagnostics_channel'

/** A channel of Node's, typed. Listeners run at once, in the async context of the request. */
export interface CfAccessChannel<Message> {
  /** By which `node:diagnostics_channel` finds it too. */
  readonly name: string | symbol
  /** Nothing is measured or published while nobody listens. */
  readonly hasSubscribers: boolean
  /** Listens from now on. What a listener throws becomes an uncaught exception, as on every channel of Node's. */
  subscribe (listener: (message: Message, name: string | symbol) => void): void
  /** Listens no longer. */
  unsubscribe (listener: (message: Message, name: string | symbol) => void): void
  /** For this package to call. */
  publish (message: Message): void
}

/** A token was verified, or was not. */
export interface CfAccessVerification {
  /** Milliseconds. */
  readonly duration: number
  /** `verified`, or the code of the error, such as `FST_CF_ACCESS_TOKEN_EXPIRED`. */
  readonly outcome: string
  /** Whether memory alone answered, without cryptography or a question to Access. */
  readonly cached: boolean
  /** `null` where nobody was verified. */
  readonly kind: 'user' | 'service' | 'certificate' | null
}

/** The team's keys were asked for. */
export interface CfAccessRefresh {
  /** The key endpoint's address. */
  readonly url: string
  /** Milliseconds. */
  readonly duration: number
  /** `rotated`: the keys changed; also on the first fetch. */
  readonly outcome: 'rotated' | 'unchanged' | 'failed'
  /** The `kid` of every key there is now. */
  readonly kids: readonly string[]
  /** Why it failed, in words for an operator; `null` where it did not. */
  readonly reason: string | null
}

/** A request was rejected. A guard that denies beside another way in, which admits, is not counted. */
export interface CfAccessRejection {
  /** The error's code, such as `FST_CF_ACCESS_FORBIDDEN`. */
  readonly code: string
  /** What is wrong with the token, such as `signature`, or the rule that denied, such as `exclude.email`; `null` for any other reason. */
  readonly rule: string | null
  /** The error's status, which an error handler of the application's may change. */
  readonly statusCode: number
  /** The request's method. */
  readonly method: string
  /** The route's pattern; `null` for a path without a route. */
  readonly route: string | null
}

/** A browser was redirected to the team's login page. That is not a rejection. */
export interface CfAccessLogin {
  /** Why: `FST_CF_ACCESS_TOKEN_MISSING` or `FST_CF_ACCESS_TOKEN_EXPIRED`. */
  readonly code: string
  /** The route's pattern; `null` for a path without a route. */
  readonly route: string | null
}

/**
 * The package's diagnostics channels: `fastify-cf-access:verify`, `fastify-cf-access:refresh`,
 * `fastify-cf-access:rejection` and `fastify-cf-access:login`.
 */
export const channels: {
  /** Each verification, by a guard or by `verify()`; a token remembered as good counts too. */
  readonly verify: CfAccessChannel<CfAccessVerification>
  /** Each answer, or failure to answer, of the key endpoint. */
  readonly refresh: CfAccessChannel<CfAccessRefresh>
  /** Each request that ended with an error of this package. */
  readonly rejection: CfAccessChannel<CfAccessRejection>
  /** Each redirect to the login page. */
  readonly login: CfAccessChannel<CfAccessLogin>
} = {
  verify: typed('verify'),
  refresh: typed('refresh'),
  rejection: typed('rejection'),
  login: typed('login')
}

function typed<Message> (name: string): CfAccessChannel<Message> {
  return channel(`fastify-cf-access:${name}`) as CfAccessChannel<Message>
}
