/**
 * Diagnostics channels (`node:diagnostics_channel`). Messages never contain a token or an e-mail address.
 */
import { channel } from 'node:diagnostics_channel'
import type { CfAccessReason } from './reasons.js'

/** A typed channel of `node:diagnostics_channel`. Listeners run synchronously, in the async context of the request. */
export interface CfAccessChannel<Message> {
  /** The channel's name, which `diagnostics_channel.subscribe()` takes too. */
  readonly name: string | symbol
  /** Nothing is measured or published without subscribers. */
  readonly hasSubscribers: boolean
  /** Adds a listener. An error that it throws becomes an uncaught exception, as on every channel of Node.js. */
  subscribe (listener: (message: Message, name: string | symbol) => void): void
  /** Removes a listener. */
  unsubscribe (listener: (message: Message, name: string | symbol) => void): void
  /** Called by this package only. */
  publish (message: Message): void
}

/** A token was verified, or its verification failed. */
export interface CfAccessVerification {
  /** Milliseconds. */
  readonly duration: number
  /** `verified`, or the code of the error, such as `FST_CF_ACCESS_TOKEN_EXPIRED`. */
  readonly outcome: string
  /** Whether the cache answered, without cryptography or a request to Access. */
  readonly cached: boolean
  /** `null` when the verification failed. */
  readonly kind: 'user' | 'service' | 'certificate' | null
}

/** A fetch of the team's keys ended. */
export interface CfAccessRefresh {
  /** The key endpoint's address. */
  readonly url: string
  /** Milliseconds. */
  readonly duration: number
  /** `rotated`: the keys changed; also on the first fetch. */
  readonly outcome: 'rotated' | 'unchanged' | 'failed'
  /** The `kid` of every current key. */
  readonly kids: readonly string[]
  /** Why the fetch failed, for an operator; `null` when it did not. */
  readonly reason: string | null
}

/** Who made a request: the kind of the identity, and its ID. */
export type CfAccessCaller = {
  /** A user who logged in. */
  readonly kind: 'user'
  /** Cloudflare's ID of the user. */
  readonly subject: string
} | {
  /** A machine with a service token. */
  readonly kind: 'service'
  /** The client ID of the service token. */
  readonly clientId: string
} | {
  /** A client with an mTLS certificate. */
  readonly kind: 'certificate'
  /** The common name of the certificate. */
  readonly commonName: string
}

/**
 * A request was admitted: who made it, and for which route. Once for each request. A later guard of the route can still
 * reject it.
 */
export type CfAccessAdmission = CfAccessCaller & {
  /** The request's method. */
  readonly method: string
  /** The route's pattern; `null` for a path without a route. */
  readonly route: string | null
}

/**
 * A request was rejected. A guard that rejects inside an "or" of `@fastify/auth` does not count when another way in
 * admits.
 */
export interface CfAccessRejection {
  /** The error's code, such as `FST_CF_ACCESS_FORBIDDEN`. */
  readonly code: string
  /** Why, such as `signature` or `policy`; `null` for an error of the server. See `docs/troubleshooting.md`. */
  readonly reason: CfAccessReason | null
  /** The rule of the policy that denied, such as `exclude.email`; `null` for any other reason. */
  readonly rule: string | null
  /** The error's status. An error handler of your app can change it afterwards. */
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
 * `fastify-cf-access:admission`, `fastify-cf-access:rejection` and `fastify-cf-access:login`.
 */
export const channels: {
  /** Each verification, by a guard or by `verify()`; a cached token counts too. */
  readonly verify: CfAccessChannel<CfAccessVerification>
  /** Each fetch of the team's keys, successful or not. */
  readonly refresh: CfAccessChannel<CfAccessRefresh>
  /** Each request that a guard admitted, for an audit. */
  readonly admission: CfAccessChannel<CfAccessAdmission>
  /** Each request that ended with an error of this package. */
  readonly rejection: CfAccessChannel<CfAccessRejection>
  /** Each redirect to the login page. */
  readonly login: CfAccessChannel<CfAccessLogin>
} = {
  verify: typed('verify'),
  refresh: typed('refresh'),
  admission: typed('admission'),
  rejection: typed('rejection'),
  login: typed('login')
}

function typed<Message> (name: string): CfAccessChannel<Message> {
  return channel(`fastify-cf-access:${name}`) as CfAccessChannel<Message>
}
