/**
 * The verifier without Fastify: for queue workers, other frameworks and servers of Node's own.
 * @module
 */
import { admit, createAdmission } from './admission.js'
import type { CfAccessIdentity } from './identity/identity.js'
import { SharedStore } from './identity/shared-store.js'
import { SignOuts } from './identity/sign-outs.js'
import type { KeyObserver } from './keys/key-set.js'
import { compilePolicy, type CfAccessPolicyFor } from './policy/policy.js'
import { acceptedOn } from './token/audience.js'
import { TOKEN_READERS, toTokenSettings, type CfAccessTokenOptions } from './token-options.js'
import { prefetchKeys, releaseTeams, statusOf, trustTeams, type CfAccessTeamStatus } from './trusted-teams.js'
import { fromIncoming, type CfAccessIncoming } from './util/http-request.js'
import { optional, readOptions } from './util/option-readers.js'

/** The options of a verifier: those of the plugin that do not concern routes. */
export interface CfAccessVerifierOptions extends CfAccessTokenOptions {
  /** Must allow every request that `authenticate()` admits. Default: every verified identity is allowed. */
  policy?: CfAccessPolicyFor<CfAccessIncoming>
}

/** Verifies tokens and authenticates requests by the rules of the plugin, with the same caches and errors. */
export interface CfAccessVerifier {
  /**
   * Verifies a token. No policy is evaluated.
   * @param options its hostname is required where `audience` differs by hostname
   * @throws {TokenInvalidError | TokenExpiredError | KeysUnavailableError} as a rejection
   */
  verify (token: string, options?: { readonly hostname?: string }): Promise<CfAccessIdentity>
  /**
   * Authenticates and authorizes a request: header or cookies, cross-origin protection, hostname by its Host header,
   * the policy, `recheck`.
   * @throws {TokenMissingError | TokenInvalidError | TokenExpiredError | CrossOriginError | ForbiddenError} as a
   *   rejection, as are the errors of keys, details and policies
   */
  authenticate (request: CfAccessIncoming): Promise<CfAccessIdentity>
  /** The state of each team's keys, in the order of `teamDomain`. Starts a refresh of old keys in the background. */
  status (): readonly CfAccessTeamStatus[]
  /** Ends running requests to the teams. A verifier that is not closed keeps no process alive. */
  close (): void
}

const READERS = { ...TOKEN_READERS, policy: optional(compilePolicy) }

/**
 * Makes a verifier, and starts fetching the keys.
 * @throws {OptionsInvalidError} for an invalid option
 */
export function createVerifier (options: CfAccessVerifierOptions): CfAccessVerifier {
  const { policy, ...read } = readOptions(options, READERS)
  const settings = { ...toTokenSettings(read), policy }
  // There is no logger here; refreshes are reported on the channel.
  const observer: KeyObserver = { rotated: () => undefined, failed: () => undefined }
  const warn = (facts: object, message: string): void => {
    process.emitWarning(`${message} ${JSON.stringify(facts)}`, 'CfAccessWarning')
  }
  const store = settings.store && new SharedStore(settings.store, warn)
  const teams = trustTeams(settings, observer, store)
  const admission = createAdmission(settings, teams, { signOuts: new SignOuts(), store }, warn)
  prefetchKeys(teams)
  return {
    verify: async (token, { hostname } = {}) =>
      admission.verifier.verify(token, acceptedOn(admission.audience, hostname)),
    authenticate: async request =>
      admit(admission, { policy: null, trustedOrigins: [] }, fromIncoming(request), null, request),
    status: () => statusOf(teams),
    close: () => releaseTeams(teams, observer)
  }
}

export type { CfAccessTeamStatus } from './trusted-teams.js'
export type {
  CfAccessCacheOptions, CfAccessDetailsOptions, CfAccessKeysOptions, CfAccessTokenOptions
} from './token-options.js'
export { channels } from './channels.js'
export { REASONS, type CfAccessReason, type CfAccessReasonText } from './reasons.js'
export { onSessionEnd, type CfAccessSessionEnd } from './identity/session-end.js'
export type {
  CfAccessCompiledPolicy, CfAccessPolicyFor, CfAccessPredicateFor, CfAccessRules
} from './policy/policy.js'
export type { CfAccessGroupSelector, CfAccessSelectors } from './policy/selectors.js'
export type { CfAccessDetails, CfAccessGroup, CfAccessMachineDetails, CfAccessUserDetails } from './identity/details.js'
export type { CfAccessCertificate, CfAccessIdentity, CfAccessService, CfAccessUser } from './identity/identity.js'
export type { CfAccessStore } from './identity/shared-store.js'
export type { CfAccessFetch } from './util/fetch-bounded.js'
export type { CfAccessDuration } from './util/duration.js'
export type { CfAccessIncoming } from './util/http-request.js'
export type { CfAccessKeyStatus } from './keys/key-set.js'
export type * from './identity/claims.js'
export * from './errors.js'
