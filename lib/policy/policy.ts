/** Policies, compiled once: include, require, exclude; or a predicate. */
import type { FastifyRequest } from 'fastify'
import { IdentityUnavailableError, PolicyFailedError, TokenInvalidError } from '../errors.js'
import type { CfAccessDetails } from '../identity/details.js'
import type { CfAccessIdentity } from '../identity/identity.js'
import { attempt, type MaybePromise } from '../util/maybe-promise.js'
import { readMembers } from '../util/option-readers.js'
import { NEEDS_DETAILS, compileSelectors, type AtLeastOne, type CfAccessSelectors, type CompiledSelector } from './selectors.js'

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

/**
 * Lets in by returning `true`, or a promise of it, and by nothing else. What it throws refuses with
 * 500, but for a failure of `details()`, which refuses as itself.
 */
export type CfAccessPredicate = (identity: CfAccessIdentity, request: FastifyRequest) => boolean | Promise<boolean>

/** What stands on a registration, on a route or in `guard()`: rules, or a function. */
export type CfAccessPolicy = CfAccessRules | CfAccessPredicate

/** Names the rule that refuses, or `null` to let in. */
export type CompiledPolicy = (identity: CfAccessIdentity, request: FastifyRequest) => MaybePromise<string | null>

/** The selector that refuses, `null` when none does, or `ASK` when that hangs on the details. */
type Verdict = string | null | typeof NEEDS_DETAILS
type Rule = (identity: CfAccessIdentity, details: CfAccessDetails | null) => Verdict

const RULES: Readonly<Record<string, (selectors: readonly CompiledSelector[]) => Rule>> = {
  include: includeAny,
  require: selectors => holdEach(selectors, 'require', true),
  exclude: selectors => holdEach(selectors, 'exclude', false)
}

/**
 * Compiles a policy.
 * @param name what the policy is called where it was written, for the error
 * @throws {OptionsInvalidError} for anything that is no policy: nothing is ever read as "allow all".
 */
export function compilePolicy (policy: unknown, name: string): CompiledPolicy {
  if (typeof policy === 'function') return compilePredicate(policy as CfAccessPredicate)
  const given = readMembers(policy, name, Object.keys(RULES), 'a policy { include, require, exclude } or a function')
  const rules = Object.keys(RULES).filter(rule => given.has(rule))
    .map(rule => RULES[rule]!(compileSelectors(given.get(rule), `${name}.${rule}`)))
  return identity => {
    const verdict = evaluate(rules, identity, null)
    return verdict === NEEDS_DETAILS ? evaluateWithDetails(rules, identity) : verdict
  }
}

/** Access is asked only where nothing else decides. */
async function evaluateWithDetails (rules: readonly Rule[], identity: CfAccessIdentity): Promise<string | null> {
  return evaluate(rules, identity, await identity.details()) as string | null
}

function evaluate (rules: readonly Rule[], identity: CfAccessIdentity, details: CfAccessDetails | null): Verdict {
  let verdict: Verdict = null
  for (const rule of rules) {
    const own = rule(identity, details)
    if (typeof own === 'string') return own
    verdict ??= own
  }
  return verdict
}

function includeAny (selectors: readonly CompiledSelector[]): Rule {
  return (identity, details) => {
    let verdict: Verdict = 'include'
    for (const { match } of selectors) {
      const matches = match(identity, details)
      if (matches === true) return null
      if (matches === NEEDS_DETAILS) verdict = NEEDS_DETAILS
    }
    return verdict
  }
}

function holdEach (selectors: readonly CompiledSelector[], rule: string, wanted: boolean): Rule {
  const refusals = selectors.map(({ name, match }) => ({ match, refusal: `${rule}.${name}` }))
  return (identity, details) => {
    let verdict: Verdict = null
    for (const { match, refusal } of refusals) {
      const matches = match(identity, details)
      if (matches === NEEDS_DETAILS) verdict = NEEDS_DETAILS
      else if (matches !== wanted) return refusal
    }
    return verdict
  }
}

function compilePredicate (predicate: CfAccessPredicate): CompiledPolicy {
  const read = (allowed: unknown): string | null => allowed === true ? null : 'predicate'
  return (identity, request) => attempt<unknown, string | null>(() => {
    const allowed: unknown = predicate(identity, request)
    return typeof allowed === 'boolean' ? allowed : Promise.resolve(allowed)
  }, read, fail)
}

function fail (cause: unknown): never {
  const isRefusal = cause instanceof IdentityUnavailableError || cause instanceof TokenInvalidError
  throw isRefusal ? cause : new PolicyFailedError({ cause })
}
