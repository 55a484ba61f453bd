/** Reports each verification on the channel `verify`. */
import { channels } from '../channels.js'
import type { CfAccessIdentity } from '../identity/identity.js'
import { attempt, type MaybePromise } from '../util/maybe-promise.js'

/** Runs a verification and publishes its outcome. */
export function observed (
  isCached: boolean, verify: () => MaybePromise<CfAccessIdentity>
): MaybePromise<CfAccessIdentity> {
  const since = performance.now()
  const publish = (outcome: string, cached: boolean, kind: CfAccessIdentity['kind'] | null): void => {
    channels.verify.publish({ duration: performance.now() - since, outcome, cached, kind })
  }
  const succeed = (identity: CfAccessIdentity): CfAccessIdentity => {
    publish('verified', isCached, identity.kind)
    return identity
  }
  const fail = (error: unknown): never => {
    publish((error as { code: string }).code, false, null)
    throw error
  }
  return attempt(verify, succeed, fail)
}
