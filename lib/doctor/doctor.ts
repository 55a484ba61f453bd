/** Runs the checks in order, from the settings to the verdict. */
import type { Check } from './check.js'
import { checkUrl } from './edge.js'
import { checkClock, fetchKeys } from './keys.js'
import { checkOrigin } from './origin.js'
import { readSettings, type GivenSettings } from './settings.js'
import { checkToken } from './token.js'
import type { Env } from './trouble.js'
import { verdictOn } from './verdict.js'

/** What is to be checked. */
export interface DoctorOptions {
  readonly settings: GivenSettings
  readonly token: string | null
  /** The app's public URL. */
  readonly url: URL | null
  /** Where the app itself listens; only with `url`. */
  readonly origin: URL | null
}

/**
 * Each check as soon as it is done.
 * @throws {OptionsInvalidError} for a `clockTolerance` that is not one
 */
export async function * runChecks (
  { settings: given, token, url, origin }: DoctorOptions, env: Env
): AsyncGenerator<Check> {
  const settings = readSettings(given, env)
  yield * settings.checks
  const teams = await Promise.all(settings.teams.map(team => fetchKeys(team, env)))
  yield * teams.map(({ check }) => check)
  yield * checkClock(teams, settings.clockTolerance)
  const tokenChecks = token === null ? [] : checkToken(token, settings, teams, Date.now())
  yield * tokenChecks
  if (url !== null) yield await checkUrl(url, settings, env)
  if (url !== null && origin !== null) yield await checkOrigin(origin, url)
  if (token !== null) yield await verdictOn(token, settings, tokenChecks)
}
