/** What a policy may ask of an identity, in Cloudflare's own words. */
import type { CfAccessClaims } from './application-token.js'
import type { CfAccessDetails, CfAccessUserDetails } from './details.js'
import { OptionsInvalidError } from './errors.js'
import type { CfAccessIdentity } from './identity.js'
import { describe, readMembers } from './option-errors.js'

type OneOrMore<Value> = Value | readonly Value[]

// Written as the members one may leave out, a type would also take an object that has none of them.
export type AtLeastOne<Members> = { [Name in keyof Members]: Pick<Members, Name> & Partial<Members> }[keyof Members]

/**
 * What an identity may be asked for, one or more of these. A list matches when any one of its values
 * does. Text is compared whole, whatever the case of its ASCII letters, but for claims.
 * @see Cloudflare docs: Access policies, selectors
 */
export type CfAccessSelectors = AtLeastOne<{
  /** E-mail addresses of people; `true` for any person. */
  readonly email: true | OneOrMore<string>
  /** Domains of people's e-mail addresses: a subdomain is another domain. */
  readonly emailDomain: OneOrMore<string>
  /** Groups of people at their identity provider, each by its ID, name or e-mail address. Asks `details()`. */
  readonly group: OneOrMore<string>
  /** Client IDs of service tokens; `true` for any service token. */
  readonly serviceToken: true | OneOrMore<string>
  /** Common names of client certificates; `true` for any certificate. */
  readonly commonName: true | OneOrMore<string>
  /** Two-letter ISO 3166 codes. Access names a country for people alone. */
  readonly country: OneOrMore<string>
  /** Identity providers of people, each by its ID in the account or its kind, such as `azureAD`. Asks `details()`. */
  readonly identityProvider: OneOrMore<string>
  /** How people proved who they are, such as `mfa` (RFC 8176). Asks `details()`. */
  readonly authMethod: OneOrMore<string>
  /**
   * Claims of the token, each by its name and the values it may have, compared strictly. A dot goes
   * one level down: `{ 'custom.department': ['finance', 'legal'] }`. A list in the token matches when
   * any one of its members does.
   */
  readonly claim: Readonly<Record<string, OneOrMore<string | number | boolean>>>
}>

/** Only the identity's details can tell. */
export const ASK = Symbol('ask')

/** `undefined`: this identity cannot be asked that. */
export type Match = boolean | undefined | typeof ASK

export interface CompiledSelector {
  /** As a refusal names it. */
  readonly name: string
  /** @param details `null` when they have not been asked for */
  readonly match: (identity: CfAccessIdentity, details: CfAccessDetails | null) => Match
}

interface Selector {
  readonly takesTrue: boolean
  readonly takes: string
  readonly form: RegExp
  readonly match: (identity: CfAccessIdentity, values: ReadonlySet<string>, details: CfAccessDetails | null) => Match
}

const TEXT = /^[^\p{Cc}]*\S[^\p{Cc}]*$/u

const SELECTORS: Readonly<Record<string, Selector>> = {
  email: {
    takesTrue: true,
    takes: 'an e-mail address, a list of them, or true for any person',
    form: /^[^\s@]+@[^\s@]+$/,
    match: (identity, values) => identity.kind === 'user' && has(values, identity.email)
  },
  emailDomain: {
    takesTrue: false,
    takes: 'a domain such as "acme.com", or a list of them',
    form: /^[^\s@]+$/,
    match: (identity, values) => identity.kind === 'user' && hasDomain(values, identity.email)
  },
  group: {
    takesTrue: false,
    takes: 'a group\'s ID, name or e-mail address, or a list of them',
    form: TEXT,
    match: askingPeople(({ groups }) => groups?.flatMap(({ id, name, email }) => [id, name, email]))
  },
  serviceToken: {
    takesTrue: true,
    takes: 'a client ID, which ends in ".access", a list of them, or true for any service token',
    form: /^\S+\.access$/,
    match: (identity, values) => identity.kind === 'service' && has(values, identity.clientId)
  },
  commonName: {
    takesTrue: true,
    takes: 'a certificate\'s common name, a list of them, or true for any certificate',
    form: TEXT,
    match: (identity, values) => identity.kind === 'certificate' && has(values, identity.commonName)
  },
  country: {
    takesTrue: false,
    takes: 'a two-letter country code, or a list of them',
    form: /^[a-z]{2}$/i,
    match: (identity, values) => identity.kind === 'user' && identity.country !== undefined
      ? has(values, identity.country)
      : undefined
  },
  identityProvider: {
    takesTrue: false,
    takes: 'an identity provider\'s ID or kind, or a list of them',
    form: TEXT,
    match: askingPeople(({ identityProvider }) => identityProvider && [identityProvider.id, identityProvider.type])
  },
  authMethod: {
    takesTrue: false,
    takes: 'an authentication method such as "mfa", or a list of them',
    form: TEXT,
    match: askingPeople(({ authMethods }) => authMethods)
  }
}

/**
 * @param name what the selectors are called where they were written, for the error
 * @throws {OptionsInvalidError} for anything that is no selector
 */
export function compileSelectors (selectors: unknown, name: string): CompiledSelector[] {
  const members = readMembers(selectors, name, [...Object.keys(SELECTORS), 'claim'], 'selectors such as { email: "a@acme.com" }')
  return [...members].flatMap(([selector, value]) => selector === 'claim'
    ? compileClaims(value, `${name}.claim`)
    : [{ name: selector, match: compileSelector(SELECTORS[selector]!, value, `${name}.${selector}`) }])
}

function compileSelector ({ takesTrue, takes, form, match }: Selector, value: unknown, name: string): CompiledSelector['match'] {
  const values = value === true && takesTrue ? ANY : readValues(value, form)
  if (values === null) throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${takes}.`)
  return (identity, details) => match(identity, values, details)
}

function readValues (value: unknown, form: RegExp): ReadonlySet<string> | null {
  const list = Array.isArray(value) ? value : [value]
  if (list.length === 0 || !list.every(item => typeof item === 'string' && form.test(item))) return null
  return new Set(list.map(foldCase))
}

/** Each claim is a selector of its own, so that `require` means all of them and `include` any one. */
function compileClaims (claims: unknown, name: string): CompiledSelector[] {
  return [...readMembers(claims, name, null, 'claims and their values such as { "custom.department": "finance" }')].map(([path, value]) => {
    const values = Array.isArray(value) ? [...value] : [value]
    if (values.length === 0 || !values.every(isScalar)) {
      throw new OptionsInvalidError(`${name}["${path}"] is ${describe(value)}; it takes text, a number, true, false or a list of them.`)
    }
    warnOfGroups(path)
    return { name: `claim.${path}`, match: ({ claims }) => matchClaim(claimAt(claims, path), values) }
  })
}

function warnOfGroups (path: string): void {
  if (!/^custom\.groups(?:\.|$)/.test(path)) return
  process.emitWarning(
    'Access leaves custom.groups out of a person\'s token when it grows large, so the claim cannot tell who is in no group. Use the selector "group".',
    { type: 'CfAccessWarning', code: 'FST_CF_ACCESS_GROUPS_CLAIM' })
}

function matchClaim (claim: unknown, values: readonly unknown[]): boolean | undefined {
  if (claim === undefined) return undefined
  return Array.isArray(claim) ? claim.some(member => values.includes(member)) : values.includes(claim)
}

/** Own members only. A whole name wins over a path, since names such as URLs have dots of their own. */
function claimAt (owner: CfAccessClaims | unknown, path: string): unknown {
  if (typeof owner !== 'object' || owner === null || Array.isArray(owner)) return undefined
  if (Object.hasOwn(owner, path)) return (owner as CfAccessClaims)[path]
  const dot = path.indexOf('.')
  const name = path.slice(0, dot)
  return dot > 0 && Object.hasOwn(owner, name) ? claimAt((owner as CfAccessClaims)[name], path.slice(dot + 1)) : undefined
}

function isScalar (value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

/** A selector that only Access can answer, and only of people. */
function askingPeople (read: (details: CfAccessUserDetails) => ReadonlyArray<string | undefined> | undefined): Selector['match'] {
  return (identity, values, details) => {
    if (identity.kind !== 'user') return false
    if (details === null) return ASK
    return read(details as CfAccessUserDetails)?.some(value => value !== undefined && has(values, value))
  }
}

/** Holds every value. */
const ANY: ReadonlySet<string> = Object.assign(new Set<string>(), { has: () => true })

function has (values: ReadonlySet<string>, value: string): boolean {
  return values.has(foldCase(value))
}

/** An address with another "@" in it names no domain that could be relied on. */
function hasDomain (values: ReadonlySet<string>, email: string): boolean | undefined {
  const [, domain, ...rest] = email.split('@')
  return domain === undefined || rest.length > 0 ? undefined : has(values, domain)
}

/** ASCII alone: Unicode folds letters of other scripts into ours. */
function foldCase (text: string): string {
  return text.replace(/[A-Z]/g, letter => letter.toLowerCase())
}
