/** The Access team: one name, from which the issuer and all URLs are derived. */
import { OptionsInvalidError } from '../errors.js'
import { describe } from '../util/option-errors.js'
import { ACCESS_PATH } from './protocol.js'

/** The issuer and URLs of a team. */
export interface Team {
  /** The `iss` of its tokens: the origin, lower case, without a trailing slash. */
  readonly issuer: string
  /** The URL of its JWK Set. */
  readonly certsUrl: string
  /** The URL of get-identity. */
  readonly identityUrl: string
  /** The URLs for logging in and out. */
  readonly loginUrl: string
  readonly logoutUrl: string
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const NAME = new RegExp(`^${LABEL}$`)
const HOST = new RegExp(`^(?:https://)?(${LABEL}(?:\\.fed)?\\.cloudflareaccess\\.com)/?$`)
const LOOPBACK = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?)\/?$/

export const TEAM_DOMAIN_TAKES =
  'a team name ("acme") or its domain ("acme.cloudflareaccess.com", "acme.fed.cloudflareaccess.com"), with or ' +
  'without https://; a port or http:// only on loopback, and not with NODE_ENV=production'

/**
 * The team that `text` names, or `null`. The text itself is matched, so that no URL parser can find another host in it
 * than its author meant.
 */
export function readTeam (text: string): Team | null {
  const issuer = readIssuer(text.toLowerCase())
  if (issuer === null || !URL.canParse(issuer) || new URL(issuer).origin !== issuer) return null
  const path = issuer + ACCESS_PATH
  return {
    issuer,
    certsUrl: `${path}/certs`,
    identityUrl: `${path}/get-identity`,
    loginUrl: `${path}/login`,
    logoutUrl: `${path}/logout`
  }
}

/** Whether the team is an emulator on this machine. */
export function isLoopback ({ issuer }: Team): boolean {
  return LOOPBACK.test(issuer)
}

function readIssuer (text: string): string | null {
  if (NAME.test(text)) return `https://${text}.cloudflareaccess.com`
  const host = HOST.exec(text)?.[1]
  if (host !== undefined) return `https://${host}`
  if (process.env['NODE_ENV'] === 'production') return null
  return LOOPBACK.exec(text)?.[1] ?? null
}

/**
 * The URL that logs a user out of the team.
 * @throws {OptionsInvalidError} when `returnTo` is not an absolute http or https URL
 */
export function logoutUrl (team: Team, returnTo?: string, at: 'team' | 'application' = 'team'): string {
  const url = at === 'team' ? team.logoutUrl : `${ACCESS_PATH}/logout`
  if (returnTo === undefined) return url
  if (!/^https?:\/\//i.test(returnTo) || !URL.canParse(returnTo)) {
    throw new OptionsInvalidError(
      `logoutUrl(returnTo) is given ${describe(returnTo)}; it takes an absolute http or https URL.`)
  }
  return `${url}?${new URLSearchParams({ returnTo })}`
}
