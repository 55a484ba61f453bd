/** What a selector is, and what all kinds of them have in common. */
import { OptionsInvalidError } from '../errors.js'
import type { CfAccessDetails, CfAccessUserDetails } from '../identity/details.js'
import type { CfAccessIdentity } from '../identity/identity.js'
import { describe } from '../util/option-errors.js'
import { TextSet } from './comparable.js'

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

export type Matcher = CompiledSelector['match']

export interface Selector {
  readonly takes: string
  /** `null` for a value that is invalid for the selector. */
  readonly compile: (value: unknown) => Matcher | null
}

// No value is a pattern, so a `*` is a mistake: as text it would match nothing, and an `exclude` would deny nothing.
export const TEXT = /^[^\p{Cc}*]*[^\s\p{Cc}*][^\p{Cc}*]*$/u
export const EMAIL = /^[^\s@*]+@[^\s@*]+$/

export function rejectValue (name: string, value: unknown, takes: string): never {
  throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${takes}.`)
}

/**
 * @param matcherOf makes the matcher of a rule's values
 * @param any the question that `true` stands for, where it is valid
 */
export function textSelector (
  form: RegExp, matcherOf: (values: TextSet) => Matcher, any: Matcher | null = null
): Selector['compile'] {
  return value => {
    if (value === true) return any
    const texts = readList(value, item => isText(item, form) ? item : null)
    return texts && matcherOf(new TextSet(texts))
  }
}

/** Reads one value or a list of values; `null` if one is invalid or the list is empty. */
export function readList<Item> (value: unknown, read: (item: unknown) => Item | null): Item[] | null {
  const items = (Array.isArray(value) ? [...value] : [value]).map(read)
  return items.length > 0 && items.every(item => item !== null) ? items : null
}

export function isText (value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value)
}

/** A matcher that only Access can answer. */
export function asking (match: (details: CfAccessDetails) => boolean | undefined): Matcher {
  return (_identity, details) => details === null ? NEEDS_DETAILS : match(details)
}

/** As {@link asking}, for what only users have. */
export function askingUsers (match: (details: CfAccessUserDetails) => boolean | undefined): Matcher {
  return (identity, details) => {
    if (identity.kind !== 'user') return false
    return details === null ? NEEDS_DETAILS : match(details as CfAccessUserDetails)
  }
}

export function matchAny (matches: ReadonlyArray<boolean | undefined>): boolean | undefined {
  if (matches.includes(true)) return true
  return matches.includes(undefined) ? undefined : false
}
