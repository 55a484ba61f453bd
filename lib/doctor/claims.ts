/** Checks the claims that say whose token it is, and for what: each for itself, not only up to the first fault. */
import { readTeam } from '../access/team.js'
import type { CfAccessClaims } from '../identity/claims.js'
import { identify, type DetailsSource } from '../identity/identity.js'
import { matchesAudience } from '../token/audience.js'
import { passed, rejected, type Check } from './check.js'
import type { Json } from './form.js'
import type { DoctorSettings } from './settings.js'
import { describeForm, listed, showSetting, showTags, showTeam } from './wording.js'

export function checkClaims (claims: Json, settings: DoctorSettings): Check[] {
  return [
    checkIssuer(claims['iss'], settings), checkAudience(claims['aud'], settings), checkType(claims['type']),
    checkIdentity(claims)
  ]
}

function checkIssuer (iss: unknown, { teams }: DoctorSettings): Check {
  const issuers = teams.map(({ issuer }) => issuer)
  if (issuers.some(issuer => issuer === iss)) return passed('iss', `The token is of the team ${iss}.`)
  const wanted = `the settings have ${listed(issuers)}`
  if (iss === undefined) return rejected('iss', `The token has no iss; ${wanted}.`, 'issuer')
  const isSpelling = typeof iss === 'string' && issuers.some(issuer => issuer === readTeam(iss)?.issuer)
  const what = isSpelling ? 'The iss is not spelled as Access spells it' : 'The token is of another team'
  return rejected('iss', `${what}: its iss is ${showTeam(iss)}; ${wanted}.`, 'issuer')
}

function checkAudience (aud: unknown, { tags }: DoctorSettings): Check {
  const shown = showTags(aud, tags)
  return matchesAudience(aud, [tags])
    ? passed('aud', `The token is for the Access application with the AUD tag ${shown}.`)
    : rejected('aud', `The token is not for this Access application: its aud is ${shown}; ` +
      `the settings have ${listed(tags.map(showSetting))}.`, 'audience')
}

/** Where each token that a team signs comes from. */
const SOURCES: ReadonlyMap<unknown, string> = new Map([
  ['meta', 'It was copied from the URL of the login page (meta=), which anyone can read.'],
  ['match', 'It was copied from the answer\'s header cf-access-metadata, which anyone can get.'],
  ['org', 'It is the cookie CF_Authorization of the team domain, not the one of your app\'s hostname.']
])

function checkType (type: unknown): Check {
  if (type === 'app') return passed('type', 'The type is app.')
  const source = SOURCES.get(type)
  return source === undefined
    ? rejected('type', `The type is not app but ${describeForm(type)}.`, 'type')
    : rejected('type', `The type is not app but ${type}. ${source}`, 'type')
}

const KINDS = {
  user: 'The claims sub and email name a user.',
  service: 'The claims name a service token: sub is empty, and common_name is a client ID.',
  certificate: 'The claims name a client certificate: sub is empty, and common_name is not a client ID.'
}

// The identity is not kept, so it is never asked for its details.
const NO_SOURCE = { sessions: null } as unknown as DetailsSource

function checkIdentity (claims: Json): Check {
  const kind = kindOf(claims)
  if (kind !== null) return passed('identity', KINDS[kind])
  const { sub, email, common_name: name, country } = claims
  const found = [
    `sub is ${sub === '' ? 'empty' : describeForm(sub)}`,
    `email is ${describeForm(email)}`,
    `common_name is ${describeForm(name)}`,
    `country is ${describeForm(country)}`
  ].join(', ')
  return rejected('identity', `The claims name no user, service token or certificate: ${found}.`, 'identity')
}

function kindOf (claims: Json): keyof typeof KINDS | null {
  try {
    return typeof claims['sub'] === 'string' ? identify(claims as unknown as CfAccessClaims, '', NO_SOURCE).kind : null
  } catch {
    return null
  }
}
