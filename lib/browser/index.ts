/**
 * For pages behind Access: a `fetch` that knows when the session has ended, and what to do then. An ES module without
 * dependencies, to be served as it is.
 * @module
 */
export { accessFetch, type AccessFetchInit } from './access-fetch.js'
export type { SessionEndEvent, SessionEndHandler, SessionEndMode } from './recovery.js'
export { onSessionEndSoon, signOut, whoAmI, type AccessIdentity, type SignOutOptions } from './session.js'
export type { CfAccessDuration } from '../util/duration.js'
