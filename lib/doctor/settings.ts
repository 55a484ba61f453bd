/** Checks the team and the AUD tags, as the plugin reads them. */
import { AUD_TAG_PLACE } from '../access/protocol.js'
import { isLoopback, TEAM_DOMAIN_TAKES, type Team } from '../access/team.js'
import { readVariable } from '../from-env.js'
import { TOKEN_READERS } from '../token-options.js'
import type { CfAccessVerifierOptions } from '../verifier.js'
import { failed, passed, rejected, type Check } from './check.js'
import type { Env } from './trouble.js'
import { describeForm, plural, showSetting, TAG } from './wording.js'

/** What the command line says. An absent setting is read from the environment. */
export interface GivenSettings {
  readonly team?: readonly string[] | undefined
  readonly audience?: readonly string[] | undefined
  /** Such as `30s`. */
  readonly clockTolerance: string
}

export interface DoctorSettings {
  readonly checks: readonly Check[]
  /** Those with a valid name. */
  readonly teams: readonly Team[]
  /** Those that the plugin accepts. */
  readonly tags: readonly string[]
  /** Seconds. */
  readonly clockTolerance: number
  /** `null` where the plugin would not start with them. */
  readonly options: CfAccessVerifierOptions | null
}

/** A value and what was found; `null` where the plugin would not take it. */
interface Finding<Value> {
  readonly value: Value | null
  readonly check: Check
}

/** @throws {OptionsInvalidError} for a `clockTolerance` that is not one */
export function readSettings ({ team, audience, clockTolerance }: GivenSettings, env: Env): DoctorSettings {
  const tolerance = TOKEN_READERS.clockTolerance(clockTolerance, '--clock-tolerance') / 1000
  const teamFindings = valuesOf(team, env, 'CF_ACCESS_TEAM_DOMAIN').map(readTeamDomain)
  const teams = valuesIn(teamFindings)
  const isReal = !teams.some(isLoopback)
  const tagFindings = valuesOf(audience, env, 'CF_ACCESS_AUD').map(value => readTag(value, isReal))
  const tags = valuesIn(tagFindings)
  const findings: ReadonlyArray<Finding<unknown>> = [...teamFindings, ...tagFindings]
  const missing = [
    ...(teamFindings.length === 0 ? [missingCheck('team', '--team NAME', 'CF_ACCESS_TEAM_DOMAIN')] : []),
    ...(tagFindings.length === 0 ? [missingCheck('audience', '--audience TAG', 'CF_ACCESS_AUD')] : []),
    ...(isRepeated(teams) ? [failed('team', 'One team is given more than once.', 'Give each team once.')] : [])
  ]
  const isComplete = missing.length === 0 && findings.every(({ value }) => value !== null)
  return {
    checks: [...findings.map(({ check }) => check), ...missing],
    teams: [...new Map(teams.map(each => [each.issuer, each])).values()],
    tags,
    clockTolerance: tolerance,
    options: isComplete
      ? { teamDomain: teams.map(({ issuer }) => issuer), audience: tags, clockTolerance: `${tolerance * 1000}ms` }
      : null
  }
}

function valuesIn<Value> (findings: ReadonlyArray<Finding<Value>>): Value[] {
  return findings.flatMap(({ value }) => value === null ? [] : [value])
}

/** As `fromEnv()` reads them; empty where there are none. */
function valuesOf (given: readonly string[] | undefined, env: Env, variable: string): readonly string[] {
  try {
    return [readVariable(given === undefined ? env : { [variable]: given.join(',') }, variable)].flat()
  } catch {
    return []
  }
}

function missingCheck (name: string, flag: string, variable: string): Check {
  return failed(name, `There is no ${name === 'team' ? 'team' : 'AUD tag'}: the plugin does not start without one.`,
    `Give ${flag}, or set the environment variable ${variable}.`)
}

function isRepeated (teams: readonly Team[]): boolean {
  return new Set(teams.map(({ issuer }) => issuer)).size < teams.length
}

function readTeamDomain (value: string): Finding<Team> {
  const team = orNull(() => TOKEN_READERS.teamDomain(value, 'teamDomain')[0]!)
  if (team !== null) return { value: team, check: passed('team', `The team means the issuer ${team.issuer}.`) }
  const check = failed('team', `The team is not a team name or domain: it is ${showSetting(value)}.`,
    `It takes ${TEAM_DOMAIN_TAKES}.`)
  return { value: null, check }
}

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

const WHERE = `Copy the Application Audience (AUD) Tag, 64 hexadecimal characters: Zero Trust > ${AUD_TAG_PLACE}.`

/** @param isReal whether the tags are Cloudflare's own, and not those of an emulator */
function readTag (value: string, isReal: boolean): Finding<string> {
  if (orNull(() => TOKEN_READERS.audience(value, 'audience')) === null) {
    const text = `The AUD tag is ${describeForm(value)} with quotes, blanks or characters that are not ASCII.`
    return { value: null, check: failed('audience', text, `Give the tag alone. ${WHERE}`) }
  }
  return { value, check: isReal ? checkTag(value) : passed('audience', `The AUD tag is ${showSetting(value)}.`) }
}

/** The plugin takes any text; Cloudflare's tags have one form. */
function checkTag (value: string): Check {
  if (UUID.test(value)) {
    return rejected('audience', 'The AUD is a UUID: the ID of the application or of something else, not its AUD tag.',
      'audience', WHERE)
  }
  if (!TAG.test(value)) {
    const text = `The AUD tag has ${plural(value.length, 'character')}; a tag has 64 hexadecimal ones.`
    return rejected('audience', text, 'audience', WHERE)
  }
  return value === value.toLowerCase()
    ? passed('audience', `The AUD tag has the form of one: ${value}.`)
    : rejected('audience', 'The AUD tag has upper-case letters; tags are compared letter by letter.', 'audience',
      'Write it in lower case, as Cloudflare shows it.')
}

/** @returns `null` for a value that the reader does not take */
function orNull<Value> (read: () => Value): Value | null {
  try {
    return read()
  } catch {
    return null
  }
}
