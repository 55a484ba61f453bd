/** The user of a request, for routes that only users can use. */
import { ForbiddenError } from './errors.js'
import type { CfAccessIdentity, CfAccessUser } from './identity/identity.js'

/**
 * The user of an admitted request.
 * @throws {ForbiddenError} for a service, a certificate, and a request without an identity
 */
export function userOf ({ cfAccess }: { readonly cfAccess: CfAccessIdentity | null }): CfAccessUser {
  if (cfAccess?.kind !== 'user') throw new ForbiddenError('user')
  return cfAccess
}
