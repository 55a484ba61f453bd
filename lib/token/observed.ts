/** Reports each verification on the channel `verify`. */
import { channels } from '../channels.js'
import type { CfAccessIdentity } from '../identity/identity.js'

/** Runs a verification, and publishes how it went. */
export function observed (verify: () => CfAccessIdentity | Promise<CfAccessIdentity>): CfAccessIdentity | Promise<CfAccessIdentity> {
  const since = performance.now()
  const succeed = (identity: CfAccessIdentity, cached: boolean): CfAccessIdentity => {
    channels.verify.publish({ duration: performance.now() - since, outcome: 'verified', cached, kind: identity.kind })
    return identity
  }
  const fail = (error: unknown): never => {
    channels.verify.publish({ duration: performance.now() - since, outcome: (error as { code: string }).code, cached: false, kind: null })
    throw error
  }
  try {
    const identity = verify()
    return identity instanceof Promise ? identity.then(verified => succeed(verified, false), fail) : succeed(identity, true)
  } catch (error) {
    return fail(error)
  }
}
