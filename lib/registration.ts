/** One use of the plugin: where it guards, and which requests it admits. */
import type { FastifyInstance } from 'fastify'
import type { Login } from './access/login.js'
import type { Admission } from './admission.js'
import type { Prefix } from './coverage/prefix.js'
import type { CfAccessIdentity } from './identity/identity.js'
import type { RejectionPatterns } from './rejection-patterns.js'
import type { TrustedTeam } from './token/token-verifier.js'

export interface Registration extends Admission {
  /** The instance it is registered on. It guards requests of this scope alone. */
  readonly scope: FastifyInstance
  /** `null`: the whole scope. */
  readonly prefixes: readonly Prefix[] | null
  /** `false`: it guards only routes that ask for it. */
  readonly global: boolean
  readonly preflight: boolean
  /** Users log in to the first, and log out of it. */
  readonly teams: readonly TrustedTeam[]
  /** Redirects browsers to the login page; `null`: rejects them like other clients. */
  readonly login: Login | null
  /** What log lines say of an admitted identity; `null`: nothing. */
  readonly logIdentity: ((identity: CfAccessIdentity) => object) | null
  /** Its last rejections. */
  readonly patterns: RejectionPatterns
}

/**
 * How closely a registration matches a path: its prefix's number of segments plus one; 0 without a prefix; -1: no
 * match.
 */
export function matchDepth (path: string, { prefixes }: Registration): number {
  if (prefixes === null) return 0
  return Math.max(-1, ...prefixes.filter(prefix => prefix.covers(path)).map(prefix => prefix.depth + 1))
}

/** Whether two registrations guard the same path in one scope, so that no rule says which has precedence. */
export function conflicts (a: Registration, b: Registration): boolean {
  if (a.scope !== b.scope) return false
  if (a.prefixes === null || b.prefixes === null) return a.prefixes === b.prefixes
  return a.prefixes.some(({ path }) => b.prefixes!.some(other => other.path === path))
}

/** Whether two registrations trust the same teams, in the same order and with the same keys. */
export function haveSameTeams (a: Registration, b: Registration): boolean {
  return a.teams.length === b.teams.length && a.teams.every(({ keySet }, i) => keySet === b.teams[i]?.keySet)
}

/** Whether an instance is this scope or inside it: Fastify's scopes inherit from one another. */
export function isWithin (scope: FastifyInstance, outer: FastifyInstance): boolean {
  return scope === outer || Object.prototype.isPrototypeOf.call(outer, scope)
}

export function innermostFirst (a: Registration, b: Registration): number {
  if (a.scope === b.scope) return 0
  return isWithin(a.scope, b.scope) ? -1 : 1
}
