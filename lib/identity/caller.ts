/** Who made a request, for logs and audits: the kind of the identity and its ID, without an e-mail address. */
import type { CfAccessCaller } from '../channels.js'
import type { CfAccessIdentity } from './identity.js'

export function callerOf (identity: CfAccessIdentity): CfAccessCaller {
  switch (identity.kind) {
    case 'user': return { kind: 'user', subject: identity.subject }
    case 'service': return { kind: 'service', clientId: identity.clientId }
    default: return { kind: 'certificate', commonName: identity.commonName }
  }
}
