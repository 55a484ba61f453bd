/** Ends a user's session here, for what Access cannot be asked to do. */
import { OptionsInvalidError } from './errors.js'
import { sessionOf, type CfAccessIdentity } from './identity/identity.js'
import { isObject } from './util/is-object.js'

/** @throws {OptionsInvalidError} for anything but a user that a verifier made */
export async function signOut (identity: CfAccessIdentity): Promise<void> {
  const session = isObject(identity) && identity.kind === 'user' ? sessionOf(identity) : null
  if (session === null) {
    throw new OptionsInvalidError('signOut(identity) takes a user, as request.cfAccess is after a login.')
  }
  await session.signOut()
}
