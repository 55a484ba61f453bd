/** The selectors of policies, in Cloudflare's words. */
import { OptionsInvalidError } from '../errors.js'
import type { CfAccessDetails, CfAccessGroup, CfAccessUserDetails } from '../identity/details.js'
import type { CfAccessIdentity } from '../identity/identity.js'
import { isObject } from '../util/is-object.js'
import { describe } from '../util/option-errors.js'
import { readMembers } from '../util/option-readers.js'
import { skeletonOf, TextSet } from './comparable.js'

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
   * Claims of the token, each by its name and its accepted values, compared strictly. A dot goes one level down:
   * `{ 'custom.department': ['finance', 'legal'] }`. A list in the token matches if any of its members matches.
   * `null`, objects, and lists that contain `null`, objects or lists match nothing, and `exclude` denies them. It also
   * denies a value that is only written differently (`Finance`, `"7"` for `7`).
   */
  readonly claim: Readonly<Record<string, OneOrMore<string | number | boolean>>>
}>

/** The answer of a selector that needs the identity's details. */
export const NEEDS_DETAILS = Symbol('ask')

/** `undefined`: no certain answer for this identity. */
export type Match = boolean | undefined | typeof NEEDS_DETAILS

export interface CompiledSelector {
  /** Its name in the log. */
  readonly name: string
  /** @param details `null` before they are fetched */
  readonly match: (identity: CfAccessIdentity, details: CfAccessDetails | null) => Match
}

type Matcher = CompiledSelector['match']

interface Selector {
  readonly takes: string
  /** `null` for a value that is invalid for the selector. */
  readonly compile: (value: unknown) => Matcher | null
}

// No value is a pattern, so a `*` is a mistake: as text it would match nothing, and an `exclude` would deny nothing.
const TEXT = /^[^\p{Cc}*]*[^\s\p{Cc}*][^\p{Cc}*]*$/u
const EMAIL = /^[^\s@*]+@[^\s@*]+$/
// A wildcard certificate has it in front (RFC 6125, section 6.4.3).
const COMMON_NAME = /^(?:\*\.)?[^\p{Cc}*]*[^\s\p{Cc}*][^\p{Cc}*]*$/u

const SELECTORS: Readonly<Record<string, Selector>> = {
  email: {
    takes: 'an e-mail address, a list of them, or true for any user, and no patterns: ' +
      'for a whole domain use emailDomain',
    compile: textSelector(EMAIL, (identity, values) => identity.kind === 'user' && values.has(identity.email),
      identity => identity.kind === 'user')
  },
  emailDomain: {
    takes: 'a domain such as "acme.com", without the "@", or a list of them, and no patterns',
    compile: textSelector(/^[^\s@*]+$/,
      (identity, values) => identity.kind === 'user' && hasDomain(values, identity.email))
  },
  group: {
    takes: 'a group\'s ID, name or e-mail address, { id }, { name } or { email }, or a list of them, and no patterns',
    compile: compileGroups
  },
  serviceToken: {
    takes: 'a client ID, which ends in ".access", a list of them, or true for any service token, and no patterns',
    compile: textSelector(/^[^\s*]+\.access$/,
      (identity, values) => identity.kind === 'service' && values.has(identity.clientId),
      identity => identity.kind === 'service')
  },
  commonName: {
    takes: 'a certificate\'s common name, a list of them, or true for any certificate, and no patterns: ' +
      '"*" only as the first label of a wildcard certificate\'s name',
    compile: textSelector(COMMON_NAME,
      (identity, values) => identity.kind === 'certificate' && hasCommonName(values, identity.commonName),
      identity => identity.kind === 'certificate')
  },
  country: {
    takes: 'a two-letter country code, or a list of them, and no patterns',
    compile: textSelector(/^[a-z]{2}$/i,
      (identity, values) => identity.kind === 'user' && identity.country !== undefined
        ? values.has(identity.country)
        : undefined)
  },
  identityProvider: {
    takes: 'an identity provider\'s ID or kind, or a list of them, and no patterns',
    compile: textSelector(TEXT,
      askingUsers(({ identityProvider }, values) => identityProvider && anyOf(Object.values(identityProvider), values)))
  },
  authMethod: {
    takes: 'an authentication method such as "mfa", or a list of them, and no patterns',
    compile: textSelector(TEXT, askingUsers(({ authMethods }, values) => authMethods && anyOf(authMethods, values)))
  }
}

/**
 * @param name where the selectors were written, for the error
 * @throws {OptionsInvalidError} for anything that is not a selector
 */
export function compileSelectors (selectors: unknown, name: string): CompiledSelector[] {
  const members = readMembers(selectors, name, [...Object.keys(SELECTORS), 'claim'],
    'selectors such as { email: "a@acme.com" }')
  return [...members].flatMap(([selector, value]) => selector === 'claim'
    ? compileClaims(value, `${name}.claim`)
    : [{ name: selector, match: compileSelector(SELECTORS[selector]!, value, `${name}.${selector}`) }])
}

function compileSelector ({ takes, compile }: Selector, value: unknown, name: string): Matcher {
  return compile(value) ?? rejectValue(name, value, takes)
}

function rejectValue (name: string, value: unknown, takes: string): never {
  throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${takes}.`)
}

/** @param any the question that `true` stands for, where it is valid */
function textSelector (
  form: RegExp, match: (identity: CfAccessIdentity, values: TextSet, details: CfAccessDetails |
    null) => Match, any: Matcher | null = null
): Selector['compile'] {
  return value => {
    if (value === true) return any
    const texts = readList(value, item => isText(item, form) ? item : null)
    if (texts === null) return null
    const values = new TextSet(texts)
    return (identity, details) => match(identity, values, details)
  }
}

/** Reads one value or a list of values; `null` if one is invalid or the list is empty. */
function readList<Item> (value: unknown, read: (item: unknown) => Item | null): Item[] | null {
  const items = (Array.isArray(value) ? [...value] : [value]).map(read)
  return items.length > 0 && items.every(item => item !== null) ? items : null
}

function isText (value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value)
}

/** Each claim is a selector, so that `require` means all of them and `include` any of them. */
function compileClaims (claims: unknown, name: string): CompiledSelector[] {
  return [...readMembers(claims, name, null, 'claims and their values such as { "custom.department": "finance" }')].map(
    ([path, value]) => {
      const values = readList(value, item => isScalar(item) ? item : null) ??
      rejectValue(`${name}["${path}"]`, value, 'text, a number, true, false or a list of them')
      const skeletons = new Set(values.map(item => skeletonOf(String(item))))
      warnOfGroups(path)
      return { name: `claim.${path}`, match: ({ claims }) => matchClaim(claimAt(claims, path), values, skeletons) }
    })
}

function warnOfGroups (path: string): void {
  if (!/^custom\.groups(?:\.|$)/.test(path)) return
  process.emitWarning(
    'Access leaves custom.groups out of a large token, so a missing claim does not mean that a user is in no group; ' +
    'use the selector "group".',
    { type: 'CfAccessWarning', code: 'FST_CF_ACCESS_GROUPS_CLAIM' })
}

/** A list with anything other than scalars has no certain answer, not even for its scalars. */
function matchClaim (claim: unknown, values: readonly Scalar[], skeletons: ReadonlySet<string>): boolean | undefined {
  const members: readonly unknown[] = Array.isArray(claim) ? claim : [claim]
  if (!members.every(isScalar)) return undefined
  if (members.some(member => values.includes(member))) return true
  return members.some(member => skeletons.has(skeletonOf(String(member)))) ? undefined : false
}

/** Own members only. A whole name has precedence over a path, since names such as URLs contain dots. */
function claimAt (owner: unknown, path: string): unknown {
  if (!isObject(owner)) return undefined
  if (Object.hasOwn(owner, path)) return owner[path]
  const dot = path.indexOf('.')
  const name = path.slice(0, dot)
  return dot > 0 && Object.hasOwn(owner, name) ? claimAt(owner[name], path.slice(dot + 1)) : undefined
}

type Scalar = string | number | boolean

function isScalar (value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

/** A selector that only Access can answer, and only for users. */
function askingUsers<Values> (match: (details: CfAccessUserDetails, values: Values) => boolean | undefined) {
  return (identity: CfAccessIdentity, values: Values, details: CfAccessDetails | null): Match => {
    if (identity.kind !== 'user') return false
    return details === null ? NEEDS_DETAILS : match(details as CfAccessUserDetails, values)
  }
}

const GROUP_MEMBERS = ['id', 'name', 'email'] as const
type GroupMember = typeof GROUP_MEMBERS[number]

/** What a rule compares with each member of a group. */
type GroupValues = Readonly<Record<GroupMember, TextSet>>

interface GroupValue {
  readonly text: string
  readonly members: readonly GroupMember[]
  /** Whether the rule names the member that it means. */
  readonly isExplicit: boolean
}

// A UUID, or the opaque ID of a provider such as Okta: 20 or more letters and digits of both kinds.
const GROUP_ID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=.*[0-9])(?=.*[a-z])[0-9a-z]{20,})$/i

function compileGroups (value: unknown): Matcher | null {
  const groups = readList(value, readGroup)
  if (groups === null) return null
  // A user who can name a group must not get into another group, or out of an exclusion, by naming it like that one's
  // ID.
  const similar = groups.filter(({ isExplicit }) => !isExplicit).map(({ text }) => text)
  const among = (member: GroupMember): TextSet =>
    new TextSet(groups.filter(({ members }) => members.includes(member)).map(({ text }) => text), similar)
  const values: GroupValues = { id: among('id'), name: among('name'), email: among('email') }
  const match =
    askingUsers(({ groups }, values: GroupValues) => groups && matchAny(groups.map(group => matchGroup(group, values))))
  return (identity, details) => match(identity, values, details)
}

function readGroup (value: unknown): GroupValue | null {
  if (typeof value === 'string') {
    return isText(value, TEXT) ? { text: value, members: membersOf(value), isExplicit: false } : null
  }
  if (!isObject(value)) return null
  const [[name, text] = [], ...others] = Object.entries(value)
  const member = GROUP_MEMBERS.find(known => known === name)
  if (member === undefined || others.length > 0 || !isText(text, member === 'email' ? EMAIL : TEXT)) return null
  return { text, members: [member], isExplicit: true }
}

function membersOf (text: string): readonly GroupMember[] {
  if (text.includes('@')) return ['email']
  return GROUP_ID.test(text) ? ['id'] : ['id', 'name']
}

function matchGroup (group: CfAccessGroup, values: GroupValues): boolean | undefined {
  return matchAny(GROUP_MEMBERS.map(member => group[member] !== undefined && values[member].has(group[member])))
}

function anyOf (texts: ReadonlyArray<string | undefined>, values: TextSet): boolean | undefined {
  return matchAny(texts.map(text => text !== undefined && values.has(text)))
}

function matchAny (matches: ReadonlyArray<boolean | undefined>): boolean | undefined {
  if (matches.includes(true)) return true
  return matches.includes(undefined) ? undefined : false
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
