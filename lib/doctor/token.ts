/** Checks a token, claim by claim. */
import { correctFirst, type Check } from './check.js'
import { checkClaims } from './claims.js'
import { readForm } from './form.js'
import { clockOf, type TeamKeys } from './keys.js'
import type { DoctorSettings } from './settings.js'
import { checkSignature } from './signature.js'
import { checkTimes } from './times.js'

/** @param now milliseconds since the Unix epoch */
export function checkToken (text: string, settings: DoctorSettings, teams: readonly TeamKeys[], now: number): Check[] {
  const form = readForm(text)
  const { payload } = form
  const clock = { tolerance: settings.clockTolerance, ahead: clockOf(teams) }
  const claims = payload === null ? [] : [...checkClaims(payload, settings), ...checkTimes(payload, clock, now)]
  return [
    ...form.checks,
    ...pointTo('iss', checkSignature(form, teams, payload?.['iss']), claims),
    ...pointTo('type', claims, claims)
  ]
}

/**
 * A token of another team has another key, and one of another type other claims: there is one thing to do, not one for
 * each check that fails.
 */
function pointTo (cause: 'iss' | 'type', checks: Check[], claims: readonly Check[]): Check[] {
  if (claims.every(({ name, ok }) => name !== cause || ok)) return checks
  return checks.map(check => check.ok || check.name === cause ? check : { ...check, todo: correctFirst(cause) })
}
