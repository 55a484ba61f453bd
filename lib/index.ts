/**
 * The public face of fastify-cf-access.
 * @module
 */
import { cfAccess } from './plugin.js'

export default cfAccess
export { cfAccess }
export { guard, type CfAccessGuard } from './guard.js'
export type { CfAccess, CfAccessRequest } from './plugin.js'
export type { CfAccessCacheOptions, CfAccessDetailsOptions, CfAccessKeysOptions, CfAccessOptions } from './options.js'
export type { CfAccessPolicy, CfAccessPredicate, CfAccessRules } from './policy/policy.js'
export type { CfAccessGroupSelector, CfAccessSelectors } from './policy/selectors.js'
export {
  channels, type CfAccessChannel, type CfAccessLogin, type CfAccessRefresh, type CfAccessRejection,
  type CfAccessVerification
} from './channels.js'
export { onExpiry } from './identity/session-end.js'
export type { CfAccessDetails, CfAccessGroup, CfAccessMachineDetails, CfAccessUserDetails } from './identity/details.js'
export type { CfAccessFetch } from './util/fetch-bounded.js'
export type { CfAccessDuration } from './util/duration.js'
export type { CfAccessRouteConfig } from './coverage/route-config.js'
export type { CfAccessCertificate, CfAccessIdentity, CfAccessService, CfAccessUser } from './identity/identity.js'
export type { CfAccessKeyStatus } from './keys/key-set.js'
export { swaggerTransform, type SwaggerResult, type SwaggerRoute } from './swagger.js'
export type * from './identity/claims.js'
export * from './errors.js'
