/** The Access team: one name, from which the issuer and every address follow. */
import { OptionsInvalidError } from '../errors.js'
import { describe } from '../util/option-readers.js'
import { ACCESS_PATH } from './protocol.js'

/** Where a team lives, from the `teamDomain` option. */
export interface Team {
  /** The `iss` of its tokens: the origin, lower case, without a trailing slash. */
  readonly issuer: string
  /** The JWK Set it publishes. */
  readonly certsUrl: string
  /** Tells who a token speaks of. */
  readonly identityUrl: string
  /** Where a user is sent to log in, and to log out. */
  readonly loginUrl: string
  readonly logoutUrl: string
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const NAME = new RegExp(`^${LABEL}$`)
const HOST = new RegExp(`^(?:https://)?(${LABEL}(?:\\.fed)?\\.cloudflareaccess\\.com)/?$`)
const LOOPBACK = /^(https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?)\/?$/

export const TEAM_DOMAIN_TAKES =
  'a team name ("acme"), its domain ("acme.cloudflareaccess.com", "acme.fed.cloudflareaccess.com") or that with https:// in front; ' +
  'another host, a path, a port or http:// only on loopback, and not with NODE_ENV=production'

/**
 * The team that `text` names, or `null` when it names none. The text itself is matched, before any
 * URL parser can read a host into it that its author did not see.
 */
export function readTeam (text: string): Team | null {
  const issuer = readIssuer(text.toLowerCase())
  if (issuer === null || !URL.canParse(issuer) || new URL(issuer).origin !== issuer) return null
  const path = issuer + ACCESS_PATH
  return { issuer, certsUrl: `${path}/certs`, identityUrl: `${path}/get-identity`, loginUrl: `${path}/login`, logoutUrl: `${path}/logout` }
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
 * Where a user logs out of the team.
 * @throws {OptionsInvalidError} when `returnTo` is no absolute http or https URL
 */
export function logoutUrl (team: Team, returnTo?: string, at: 'team' | 'application' = 'team'): string {
  const url = at === 'team' ? team.logoutUrl : `${ACCESS_PATH}/logout`
  if (returnTo === undefined) return url
  if (!/^https?:\/\//i.test(returnTo) || !URL.canParse(returnTo)) {
    throw new OptionsInvalidError(`logoutUrl(returnTo) is given ${describe(returnTo)}; it takes an absolute http or https URL.`)
  }
  return `${url}?${new URLSearchParams({ returnTo })}`
}
