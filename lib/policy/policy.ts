/** Compiles a policy into a function that returns the rule that denies an identity (403), or `null` to allow it. */
import { IdentityUnavailableError, PolicyFailedError, TokenInvalidError } from '../errors.js'
import type { CfAccessDetails } from '../identity/details.js'
import type { CfAccessIdentity } from '../identity/identity.js'
import { attempt, type MaybePromise } from '../util/maybe-promise.js'
import { isObject } from '../util/is-object.js'
import { readMembers } from '../util/option-readers.js'
import { NEEDS_DETAILS, type CompiledSelector } from './matcher.js'
import { compileSelectors, type AtLeastOne, type CfAccessSelectors } from './selectors.js'

/**
 * Who is allowed, by one or more of these rules. Without `include` every verified identity is.
 * @see Cloudflare docs: Access policies, rule types
 */
export type CfAccessRules = AtLeastOne<{
  /** At least one selector must match. */
  readonly include: CfAccessSelectors
  /** Every selector must match. */
  readonly require: CfAccessSelectors
  /** No selector must match. A selector that has no certain answer for this identity denies too. */
  readonly exclude: CfAccessSelectors
}>

/**
 * Allows by returning `true` or a promise of `true`; any other value denies. An error that it throws ends the request
 * with 500, except a failure of `details()`, which keeps its own status.
 */
export type CfAccessPredicateFor<Request> =
  (identity: CfAccessIdentity, request: Request) => boolean | Promise<boolean>

/** Rules, a function, or a policy that `policy()` has compiled. */
export type CfAccessPolicyFor<Request> = CfAccessRules | CfAccessPredicateFor<Request> | CfAccessCompiledPolicy<Request>

/** Why a policy denies. */
export interface Denial {
  /** Such as `exclude.email`. */
  readonly rule: string
  /** The names of the selectors of which one had to match, or this one had to, or must not. */
  readonly selectors: readonly string[]
  /** What Access said of the identity; `null` when it was not asked. */
  readonly details: CfAccessDetails | null
}

/** Returns why it denies, or `null` to allow. */
export type CompiledPolicy = (identity: CfAccessIdentity, request: unknown) => MaybePromise<Denial | null>

/** The denial, `null` when no rule denies, or `NEEDS_DETAILS` when that depends on the details. */
type Verdict = Denial | null | typeof NEEDS_DETAILS
type CompiledRule = (identity: CfAccessIdentity, details: CfAccessDetails | null) => Verdict

const RULES: Readonly<Record<string, (selectors: readonly CompiledSelector[]) => CompiledRule>> = {
  include: includeAny,
  require: requireAll,
  exclude: excludeAny
}

/** A policy that is compiled once, for use wherever a policy is taken, and in handlers. */
export class CfAccessCompiledPolicy<Request = unknown> {
  readonly #evaluate: CompiledPolicy

  /** @throws {OptionsInvalidError} for anything that is not a policy */
  constructor (policy: CfAccessPolicyFor<Request>) {
    this.#evaluate = compilePolicy(policy, 'policy(rules)')
    Object.freeze(this)
  }

  /**
   * Whether the policy allows an identity. Await it: a promise is never false.
   * @param identity `null` is never allowed
   * @param request for a function, which gets it; rules do not need it
   * @throws {IdentityUnavailableError | TokenInvalidError} as a rejection, when a rule needs `details()` and they fail
   * @throws {PolicyFailedError} as a rejection, when a function throws
   */
  async allows (identity: CfAccessIdentity | null, request?: Request): Promise<boolean> {
    return identity !== null && await this.#evaluate(identity, request) === null
  }

  /** What `policy()` has compiled; `undefined` for any other value. */
  static evaluatorOf (value: unknown): CompiledPolicy | undefined {
    return isObject(value) && #evaluate in value ? (value as unknown as CfAccessCompiledPolicy).#evaluate : undefined
  }
}

/**
 * Compiles a policy.
 * @param name where the policy was written, for the error
 * @throws {OptionsInvalidError} for anything that is not a policy: no other value means "allow all".
 */
export function compilePolicy (policy: unknown, name: string): CompiledPolicy {
  if (typeof policy === 'function') return compilePredicate(policy as CfAccessPredicateFor<unknown>)
  const compiled = CfAccessCompiledPolicy.evaluatorOf(policy)
  if (compiled !== undefined) return compiled
  const given = readMembers(policy, name, Object.keys(RULES), 'a policy { include, require, exclude } or a function')
  const rules = Object.keys(RULES).filter(rule => given.has(rule))
    .map(rule => RULES[rule]!(compileSelectors(given.get(rule), `${name}.${rule}`)))
  return identity => {
    const verdict = evaluate(rules, identity, null)
    return verdict === NEEDS_DETAILS ? evaluateWithDetails(rules, identity) : verdict
  }
}

/** Asks Access only if no other selector decides. */
async function evaluateWithDetails (
  rules: readonly CompiledRule[], identity: CfAccessIdentity
): Promise<Denial | null> {
  return evaluate(rules, identity, await identity.details()) as Denial | null
}

function evaluate (
  rules: readonly CompiledRule[], identity: CfAccessIdentity, details: CfAccessDetails | null
): Verdict {
  let verdict: Verdict = null
  for (const rule of rules) {
    const own = rule(identity, details)
    if (own !== null && own !== NEEDS_DETAILS) return own
    verdict ??= own
  }
  return verdict
}

function includeAny (selectors: readonly CompiledSelector[]): CompiledRule {
  const names = selectors.map(({ name }) => name)
  return (identity, details) => {
    let needsDetails = false
    for (const { match } of selectors) {
      const matches = match(identity, details)
      if (matches === true) return null
      if (matches === NEEDS_DETAILS) needsDetails = true
    }
    return needsDetails ? NEEDS_DETAILS : { rule: 'include', selectors: names, details }
  }
}

function requireAll (selectors: readonly CompiledSelector[]): CompiledRule {
  return denyUnless(selectors, 'require', true)
}

/** A selector without a certain answer is not `false`, so it denies. */
function excludeAny (selectors: readonly CompiledSelector[]): CompiledRule {
  return denyUnless(selectors, 'exclude', false)
}

function denyUnless (selectors: readonly CompiledSelector[], rule: string, wanted: boolean): CompiledRule {
  return (identity, details) => {
    let verdict: Verdict = null
    for (const { name, match } of selectors) {
      const matches = match(identity, details)
      if (matches === NEEDS_DETAILS) verdict = NEEDS_DETAILS
      else if (matches !== wanted) return { rule: `${rule}.${name}`, selectors: [name], details }
    }
    return verdict
  }
}

const BY_FUNCTION: Denial = { rule: 'predicate', selectors: [], details: null }

function compilePredicate (predicate: CfAccessPredicateFor<unknown>): CompiledPolicy {
  const read = (allowed: unknown): Denial | null => allowed === true ? null : BY_FUNCTION
  return (identity, request) => attempt<unknown, Denial | null>(() => {
    const allowed: unknown = predicate(identity, request)
    return typeof allowed === 'boolean' ? allowed : Promise.resolve(allowed)
  }, read, fail)
}

function fail (cause: unknown): never {
  const isRejection = cause instanceof IdentityUnavailableError || cause instanceof TokenInvalidError
  throw isRejection ? cause : new PolicyFailedError({ cause })
}
