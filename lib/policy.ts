/** Policies in Cloudflare's own words, compiled once: include, require, exclude; or a predicate. */
import type { FastifyRequest } from 'fastify'
import { OptionsInvalidError, PolicyFailedError } from './errors.js'
import type { CfAccessIdentity } from './identity.js'
import { describe, refuseUnknownNames } from './option-errors.js'

type OneOrMore<Value> = Value | readonly Value[]

// Written as the members one may leave out, a type would also take an object that has none of them.
type AtLeastOne<Members> = { [Name in keyof Members]: Pick<Members, Name> & Partial<Members> }[keyof Members]

/** What an identity may be asked for, one or more of these. A list matches when any one of its values does. */
export type CfAccessSelectors = AtLeastOne<{
  /** E-mail addresses of people, compared whole and whatever their case; `true` for any person. */
  readonly email: true | OneOrMore<string>
  /** Domains of people's e-mail addresses, compared whole: a subdomain is another domain. */
  readonly emailDomain: OneOrMore<string>
  /** Client IDs of service tokens; `true` for any service token. */
  readonly serviceToken: true | OneOrMore<string>
  /** Two-letter ISO 3166 codes. Access names a country for people alone. */
  readonly country: OneOrMore<string>
}>

/**
 * Who may come in, by one or more of these. Without `include` that is everybody verified: people,
 * services and certificates.
 * @see Cloudflare docs: Access policies, rule types
 */
export type CfAccessRules = AtLeastOne<{
  /** One matching selector suffices. */
  readonly include: CfAccessSelectors
  /** Every selector must match. */
  readonly require: CfAccessSelectors
  /** No selector may match, nor be one that cannot be answered for this identity. */
  readonly exclude: CfAccessSelectors
}>

/** Lets in by returning `true`, or a promise of it, and by nothing else. What it throws refuses with 500. */
export type CfAccessPredicate = (identity: CfAccessIdentity, request: FastifyRequest) => boolean | Promise<boolean>

export type CfAccessPolicy = CfAccessRules | CfAccessPredicate

/** Names the rule that refuses, or `null` to let in. */
export type Decide = (identity: CfAccessIdentity, request: FastifyRequest) => string | null | Promise<string | null>

/** `undefined`: the identity cannot be asked this. */
type Match = (identity: CfAccessIdentity) => boolean | undefined

interface Selector {
  readonly takesTrue: boolean
  readonly takes: string
  readonly form: RegExp
  readonly match: (identity: CfAccessIdentity, values: ReadonlySet<string>) => boolean | undefined
}

const RULES = ['include', 'require', 'exclude'] as const

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
  serviceToken: {
    takesTrue: true,
    takes: 'a client ID, which ends in ".access", a list of them, or true for any service token',
    form: /^\S+\.access$/,
    match: (identity, values) => identity.kind === 'service' && has(values, identity.clientId)
  },
  country: {
    takesTrue: false,
    takes: 'a two-letter country code, or a list of them',
    form: /^[a-z]{2}$/i,
    match: (identity, values) => identity.kind === 'user' && identity.country !== undefined
      ? has(values, identity.country)
      : undefined
  }
}

/**
 * Compiles a policy.
 * @param name what the policy is called where it was written, for the error
 * @throws {OptionsInvalidError} for anything that is no policy: nothing is ever read as "allow all".
 */
export function compilePolicy (policy: unknown, name: string): Decide {
  if (typeof policy === 'function') return compilePredicate(policy as CfAccessPredicate)
  const rules = readMembers(policy, name, RULES, 'a policy { include, require, exclude } or a function')
  const include = compileRule(rules, 'include', name)
  const require = compileRule(rules, 'require', name)
  const exclude = compileRule(rules, 'exclude', name)
  return identity => {
    if (include.length > 0 && !include.some(({ match }) => match(identity) === true)) return 'include'
    const unmet = require.find(({ match }) => match(identity) !== true)
    if (unmet !== undefined) return `require.${unmet.selector}`
    const hit = exclude.find(({ match }) => match(identity) !== false)
    return hit === undefined ? null : `exclude.${hit.selector}`
  }
}

function compilePredicate (predicate: CfAccessPredicate): Decide {
  const read = (allowed: unknown): string | null => allowed === true ? null : 'predicate'
  const fail = (cause: unknown): never => { throw new PolicyFailedError({ cause }) }
  return (identity, request) => {
    try {
      const allowed = predicate(identity, request)
      return typeof allowed === 'boolean' ? read(allowed) : Promise.resolve(allowed).then(read, fail)
    } catch (error) {
      return fail(error)
    }
  }
}

function compileRule (rules: Map<string, unknown>, rule: string, name: string): Array<{ selector: string, match: Match }> {
  if (!rules.has(rule)) return []
  const selectors = readMembers(rules.get(rule), `${name}.${rule}`, Object.keys(SELECTORS), 'selectors such as { email: "a@acme.com" }')
  return [...selectors].map(([selector, value]) => ({
    selector,
    match: compileSelector(SELECTORS[selector]!, value, `${name}.${rule}.${selector}`)
  }))
}

function compileSelector ({ takesTrue, takes, form, match }: Selector, value: unknown, name: string): Match {
  const values = value === true && takesTrue ? ANY : readValues(value, form)
  if (values === null) throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${takes}.`)
  return identity => match(identity, values)
}

function readValues (value: unknown, form: RegExp): ReadonlySet<string> | null {
  const list = Array.isArray(value) ? value : [value]
  if (list.length === 0 || !list.every(item => typeof item === 'string' && form.test(item))) return null
  return new Set(list.map(foldCase))
}

/** The own members of an object, known by name and at least one. */
function readMembers (value: unknown, name: string, known: readonly string[], takes: string): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0) {
    throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${takes}.`)
  }
  refuseUnknownNames(Object.keys(value), known, name)
  return new Map(Object.entries(value))
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
