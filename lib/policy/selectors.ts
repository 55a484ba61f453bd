/** The selectors of policies, in Cloudflare's words. */
import { readTeam } from '../access/team.js'
import { readMembers } from '../util/option-readers.js'
import type { TextSet } from './comparable.js'
import { DETAILS_SELECTORS } from './details-selectors.js'
import { compileGroups } from './group-selector.js'
import {
  EMAIL, readList, rejectValue, textSelector, type CompiledSelector, type Matcher, type Selector
} from './matcher.js'
import { compileAttributes, compileClaims } from './value-selectors.js'

type OneOrMore<Value> = Value | readonly Value[]

// With only optional members, the type would also accept an object without any of them.
export type AtLeastOne<Members> = { [Name in keyof Members]: Pick<Members, Name> & Partial<Members> }[keyof Members]

// The other members are `never`: TypeScript lets an object literal have the members of all parts of a union.
type ExactlyOne<Members> = {
  [Name in keyof Members]: Pick<Members, Name> & { readonly [Other in Exclude<keyof Members, Name>]?: never }
}[keyof Members]

/** A group by exactly one of its members. */
export type CfAccessGroupSelector = ExactlyOne<{
  /** Its ID at the identity provider. */
  readonly id: string
  /** Its name at the identity provider. */
  readonly name: string
  /** Its e-mail address at the identity provider. */
  readonly email: string
}>

/**
 * One or more selectors. A list matches if any of its values matches. Text is compared as a whole; except for `claim`,
 * ASCII case is ignored. No value is a pattern.
 *
 * A value that differs from the rule's only by Unicode case, normalization, punycode or a trailing dot has no certain
 * answer: `include` and `require` do not match it, and `exclude` denies.
 * @see Cloudflare docs: Access policies, selectors
 */
export type CfAccessSelectors = AtLeastOne<{
  /** E-mail addresses of users; `true` for any user. */
  readonly email: true | OneOrMore<string>
  /** Domains of users' e-mail addresses: a subdomain is another domain. */
  readonly emailDomain: OneOrMore<string>
  /**
   * Groups of users at their identity provider. Calls `details()`. Text that contains `@` is a group's e-mail address;
   * a UUID, or 20 or more ASCII letters and digits of both kinds (such as Okta's `00g…`), is an ID; any other text is
   * an ID or a name. `{ id }`, `{ name }` and `{ email }` say which. Where the text equals another member of a group,
   * such as a name made to look like an ID, `include` and `require` do not match, and `exclude` denies. Of a group
   * that the identity provider sends as plain text, the text is the name.
   */
  readonly group: OneOrMore<string | CfAccessGroupSelector>
  /** Client IDs of service tokens; `true` for any service token. */
  readonly serviceToken: true | OneOrMore<string>
  /**
   * Common names of client certificates; `true` for any certificate. A certificate's name can be a wildcard such as
   * `*.example.com`: it matches exactly that name, and `exclude` also denies the names that it covers.
   */
  readonly commonName: true | OneOrMore<string>
  /** Two-letter ISO 3166 codes. Access sends a country for users only. */
  readonly country: OneOrMore<string>
  /** Identity providers of users, each by its ID in the account or its kind, such as `azureAD`. Calls `details()`. */
  readonly identityProvider: OneOrMore<string>
  /** How users authenticated, such as `mfa` (RFC 8176). Calls `details()`. */
  readonly authMethod: OneOrMore<string>
  /**
   * Device posture checks that the device has passed, each by its name or ID. A check that Access does not tell of, and
   * checks of one name with different results, have no certain answer. Calls `details()`.
   */
  readonly devicePosture: OneOrMore<string>
  /** Whether the device runs the Cloudflare One client (WARP). Calls `details()`. */
  readonly warp: true
  /** Whether the device's traffic goes through the organization's Gateway. Calls `details()`. */
  readonly gateway: true
  /**
   * The address that the user logged in from, as an IP address or a range, such as `192.0.2.0/24`. Not the address of
   * this request: that is what `request.ip` says. Calls `details()`.
   */
  readonly ip: OneOrMore<string>
  /** The team that issued the token, where a registration trusts several. */
  readonly team: OneOrMore<string>
  /**
   * Claims of the token, each by its name and its accepted values, compared strictly. A dot goes one level down:
   * `{ 'custom.department': ['finance', 'legal'] }`. A list in the token matches if any of its members matches.
   * `null`, objects, and lists that contain `null`, objects or lists match nothing, and `exclude` denies them. It also
   * denies a value that is only written differently (`Finance`, `"7"` for `7`).
   */
  readonly claim: Readonly<Record<string, OneOrMore<string | number | boolean>>>
  /**
   * SAML attributes and OIDC claims that the identity provider sent, as `claim` compares them. Unlike `custom` claims,
   * Access does not leave them out of a large token. Calls `details()`.
   */
  readonly attribute: Readonly<Record<string, OneOrMore<string | number | boolean>>>
}>

// A wildcard certificate has it in front (RFC 6125, section 6.4.3).
const COMMON_NAME = /^(?:\*\.)?[^\p{Cc}*]*[^\s\p{Cc}*][^\p{Cc}*]*$/u

const SELECTORS: Readonly<Record<string, Selector>> = {
  email: {
    takes: 'an e-mail address, a list of them, or true for any user, and no patterns: ' +
      'for a whole domain use emailDomain',
    compile: textSelector(EMAIL, values => identity => identity.kind === 'user' && values.has(identity.email),
      identity => identity.kind === 'user')
  },
  emailDomain: {
    takes: 'a domain such as "acme.com", without the "@", or a list of them, and no patterns',
    compile: textSelector(/^[^\s@*]+$/,
      values => identity => identity.kind === 'user' && hasDomain(values, identity.email))
  },
  group: {
    takes: 'a group\'s ID, name or e-mail address, { id }, { name } or { email }, or a list of them, and no patterns',
    compile: compileGroups
  },
  serviceToken: {
    takes: 'a client ID, which ends in ".access", a list of them, or true for any service token, and no patterns',
    compile: textSelector(/^[^\s*]+\.access$/,
      values => identity => identity.kind === 'service' && values.has(identity.clientId),
      identity => identity.kind === 'service')
  },
  commonName: {
    takes: 'a certificate\'s common name, a list of them, or true for any certificate, and no patterns: ' +
      '"*" only as the first label of a wildcard certificate\'s name',
    compile: textSelector(COMMON_NAME,
      values => identity => identity.kind === 'certificate' && hasCommonName(values, identity.commonName),
      identity => identity.kind === 'certificate')
  },
  country: {
    takes: 'a two-letter country code, or a list of them, and no patterns',
    compile: textSelector(/^[a-z]{2}$/i,
      values => ({ country }) => country === undefined ? undefined : values.has(country))
  },
  team: {
    takes: 'a team name ("acme") or its domain, or a list of them',
    compile: compileTeams
  },
  ...DETAILS_SELECTORS
}

/** Selectors that take an object: a name, and the values that are accepted there. */
const VALUE_SELECTORS = { claim: compileClaims, attribute: compileAttributes }

/**
 * @param name where the selectors were written, for the error
 * @throws {OptionsInvalidError} for anything that is not a selector
 */
export function compileSelectors (selectors: unknown, name: string): CompiledSelector[] {
  const known = [...Object.keys(SELECTORS), ...Object.keys(VALUE_SELECTORS)]
  const members = readMembers(selectors, name, known, 'selectors such as { email: "a@acme.com" }')
  return [...members].flatMap(([selector, value]) => {
    const path = `${name}.${selector}`
    if (selector === 'claim' || selector === 'attribute') return VALUE_SELECTORS[selector](value, path)
    return [{ name: selector, match: compileSelector(SELECTORS[selector]!, value, path) }]
  })
}

function compileSelector ({ takes, compile }: Selector, value: unknown, name: string): Matcher {
  return compile(value) ?? rejectValue(name, value, takes)
}

/** The team that issued the token, where a registration trusts several. */
function compileTeams (value: unknown): Matcher | null {
  const teams = readList(value, item => typeof item === 'string' ? readTeam(item) : null)
  return teams && (({ claims }) => teams.some(({ issuer }) => issuer === claims.iss))
}

/** The domain of an address with a second "@", also one of Unicode's other forms, is not reliable. */
function hasDomain (values: TextSet, email: string): boolean | undefined {
  const at = email.indexOf('@')
  const domain = email.slice(at + 1)
  return at === -1 || /[@\uFE6B\uFF20]/.test(domain) ? undefined : values.has(domain)
}

/**
 * A rule's wildcard can mean the certificate of that name, or all that it covers: for the latter there is no certain
 * answer.
 */
function hasCommonName (values: TextSet, name: string): boolean | undefined {
  const match = values.has(name)
  if (match !== false) return match
  return values.has(`*${name.slice(name.indexOf('.'))}`) === false ? false : undefined
}
