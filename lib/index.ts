/**
 * The public face of fastify-cf-access.
 * @module
 */
import { cfAccess } from './plugin.js'

export default cfAccess
export { cfAccess }
export { guard, type CfAccessGuard } from './guard.js'
export type { CfAccess, CfAccessRequest } from './plugin.js'
export type { CfAccessOptions } from './options.js'
export type { CfAccessPolicy, CfAccessPredicate, CfAccessRules } from './policy.js'
export type { CfAccessGroupSelector, CfAccessSelectors } from './selectors.js'
export { channels, type CfAccessChannel, type CfAccessLogin, type CfAccessRefresh, type CfAccessRefusal, type CfAccessVerification } from './channels.js'
export { onExpiry } from './expiry.js'
export type { CfAccessDetails, CfAccessGroup, CfAccessMachineDetails, CfAccessUserDetails } from './details.js'
export type { Fetch } from './fetch-bounded.js'
export type { DetailsSettings } from './identity-endpoint.js'
export type { CfAccessRouteConfig } from './coverage/route-config.js'
export type { CfAccessCertificate, CfAccessIdentity, CfAccessService, CfAccessUser } from './identity.js'
export type { KeyStatus, KeyTimes } from './key-set.js'
export { swaggerTransform, type SwaggerResult, type SwaggerRoute } from './swagger.js'
export type * from './application-token.js'
export * from './errors.js'
