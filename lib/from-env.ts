/** Options from environment variables. */
import { OptionsInvalidError } from './errors.js'

/** The options that a deployment sets. */
export interface CfAccessEnv {
  /** `CF_ACCESS_TEAM_DOMAIN`. */
  readonly teamDomain: string | readonly string[]
  /** `CF_ACCESS_AUD`. */
  readonly audience: string | readonly string[]
}

/**
 * The options `teamDomain` and `audience` by `CF_ACCESS_TEAM_DOMAIN` and `CF_ACCESS_AUD`; commas separate several.
 * @param env default `process.env`
 * @throws {OptionsInvalidError} for a variable that is missing or empty
 */
export function fromEnv (env: Readonly<Record<string, string | undefined>> = process.env): CfAccessEnv {
  return { teamDomain: readVariable(env, 'CF_ACCESS_TEAM_DOMAIN'), audience: readVariable(env, 'CF_ACCESS_AUD') }
}

/**
 * The values of one variable; commas separate several.
 * @throws {OptionsInvalidError} when it is missing or empty
 */
export function readVariable (
  env: Readonly<Record<string, string | undefined>>, name: string
): string | readonly string[] {
  const [first = '', ...others] = (env[name] ?? '').split(',').map(value => value.trim())
  if (first === '') throw new OptionsInvalidError(`The environment variable ${name} is missing or empty.`)
  return others.length === 0 ? first : [first, ...others]
}
