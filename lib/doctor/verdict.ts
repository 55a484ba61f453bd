/** What the plugin itself says of a token. */
import { TokenExpiredError, TokenInvalidError } from '../errors.js'
import { REASONS } from '../reasons.js'
import { createVerifier } from '../verifier.js'
import { correctFirst, failed, passed, rejected, type Check } from './check.js'
import type { DoctorSettings } from './settings.js'

const WORDS = { user: 'a user', service: 'a service token', certificate: 'a client certificate' }

/**
 * Verifies the token as a registration with these settings does.
 * @param checks what was found in the token, which says more than the plugin's reason
 */
export async function verdictOn (
  token: string, { options }: DoctorSettings, checks: readonly Check[]
): Promise<Check> {
  if (options === null) {
    return failed('verdict', 'The plugin does not start with these settings.',
      'Correct the team and the AUD tag first.')
  }
  const verifier = createVerifier(options)
  const verdict = await verifier.verify(token).then(
    ({ kind }) => passed('verdict', `The plugin would admit this token as ${WORDS[kind]}.`),
    (error: unknown) => rejection(error, checks.filter(({ ok }) => !ok)))
  verifier.close()
  return verdict
}

function rejection (error: unknown, faults: readonly Check[]): Check {
  if (error instanceof TokenInvalidError || error instanceof TokenExpiredError) {
    const { reason } = error
    const text = `The plugin would reject this token with 401, for the reason "${reason}". ${REASONS[reason].meaning}`
    // The other claims of a token of another type differ too, which is no cause of its own.
    const other = reason === 'malformed' ? undefined : faults.find(({ name }) => name === 'type')
    if (other !== undefined) return rejected('verdict', `${text} ${other.text}`, reason, other.todo)
    return rejected('verdict', text, reason, faults.find(fault => fault.reason === reason)?.todo)
  }
  // Without `recheck` the only other error is the one for missing keys.
  const text = 'The plugin would answer with 503: it has no keys to verify this token with.'
  return failed('verdict', text, correctFirst('keys'))
}
