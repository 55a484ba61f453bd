/**
 * The public face of fastify-cf-access.
 * @module
 */
import { cfAccess } from './plugin.js'

export default cfAccess
export { cfAccess }
export { guard, type CfAccessGuard } from './guard.js'
export type { CfAccess, CfAccessRequest } from './plugin.js'
export type { CfAccessTeamStatus } from './trusted-teams.js'
export type { CfAccessOptions } from './options.js'
export type {
  CfAccessCacheOptions, CfAccessDetailsOptions, CfAccessKeysOptions, CfAccessTokenOptions
} from './token-options.js'
export type { CfAccessCompiledPolicy, CfAccessPolicyFor, CfAccessPredicateFor, CfAccessRules } from './policy/policy.js'
export { policy, type CfAccessPolicy, type CfAccessPredicate } from './policy/route-policy.js'
export type { CfAccessGroupSelector, CfAccessSelectors } from './policy/selectors.js'
export {
  channels, type CfAccessAdmission, type CfAccessCaller, type CfAccessChannel, type CfAccessLogin,
  type CfAccessRefresh, type CfAccessRejection, type CfAccessVerification
} from './channels.js'
export { REASONS, type CfAccessReason, type CfAccessReasonText } from './reasons.js'
export { redactPaths } from './redact-paths.js'
export { fromEnv, type CfAccessEnv } from './from-env.js'
export { userOf } from './user-of.js'
export { onSessionEnd, type CfAccessSessionEnd } from './identity/session-end.js'
export type { CfAccessDetails, CfAccessGroup, CfAccessMachineDetails, CfAccessUserDetails } from './identity/details.js'
export type { CfAccessStore } from './identity/shared-store.js'
export type { CfAccessFetch } from './util/fetch-bounded.js'
export type { CfAccessDuration } from './util/duration.js'
export type { CfAccessIncoming } from './util/http-request.js'
export type { CfAccessRouteConfig, CfAccessRouteOptions } from './coverage/route-config.js'
export type { CfAccessCertificate, CfAccessIdentity, CfAccessService, CfAccessUser } from './identity/identity.js'
export type { CfAccessKeyStatus } from './keys/key-set.js'
export { swaggerTransform, type SwaggerResult, type SwaggerRoute } from './swagger.js'
export type * from './identity/claims.js'
export * from './errors.js'
