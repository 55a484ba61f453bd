/** Checks a token, claim by claim. */
import type { Check } from './check.js'
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
  return [
    ...form.checks,
    ...checkSignature(form, teams, payload?.['iss']),
    ...(payload === null ? [] : pointToType([...checkClaims(payload, settings), ...checkTimes(payload, clock, now)]))
  ]
}

/** A token of another type has other claims: there is one thing to do, not one for each claim. */
function pointToType (checks: Check[]): Check[] {
  if (checks.every(({ name, ok }) => name !== 'type' || ok)) return checks
  return checks.map(check => check.ok || check.name === 'type' ? check : { ...check, todo: TYPE_FIRST })
}

const TYPE_FIRST = 'Correct what the check of the type says first.'
