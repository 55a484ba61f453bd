/** Which registrations a request has to satisfy. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { NotRegisteredError } from './errors.js'
import type { KeySet } from './key-set.js'
import type { Login } from './login.js'
import type { Decide } from './policy.js'
import { isLiteral, prefixOf, type Prefix } from './prefix.js'
import { readings } from './readings.js'
import { readRouteConfig, type RouteConfig } from './route-config.js'
import type { Team } from './team.js'
import type { ReadTokens } from './token.js'
import type { Verifier } from './verifier.js'

/** One use of the plugin: where it guards, and whom it lets in. */
export interface Registration {
  readonly scope: FastifyInstance
  /** `null`: the whole scope. */
  readonly prefixes: readonly Prefix[] | null
  /** Whether it guards unasked. */
  readonly global: boolean
  readonly preflight: boolean
  readonly policy: Decide | null
  readonly readTokens: ReadTokens
  readonly verifier: Verifier
  readonly keySet: KeySet
  readonly team: Team
  /** Sends browsers to log in; `null`: refuses them like everybody else. */
  readonly login: Login | null
}

/** What a request has to satisfy: every one of these registrations, and the route's own policy with each. */
export interface Requirement {
  readonly registrations: readonly Registration[]
  readonly policy: Decide | null
}

/** A route as its registrations see it: all that does not hang on the single request. */
interface Route {
  /** Who may have a say, the innermost scope's first. */
  readonly candidates: readonly Registration[]
  /** The requirement of a route that any target reaches in one meaning; `null` where targets have to be read. */
  readonly settled: Requirement | null
  /** Who guards when a target is read as nobody's. */
  readonly otherwise: readonly Registration[]
  readonly optOut: OptOut | null
  readonly policy: Decide | null
}

/** A route's `config.cfAccess: false` holds for paths below its pattern's literal head, and for those who guard the pattern. */
interface OptOut {
  readonly head: Prefix
  readonly from: readonly Registration[]
}

const NOBODY: readonly Registration[] = []

/** The registrations of one Fastify server. */
export class Coverage {
  readonly #registrations: Registration[] = []
  // By the route's own config object: another method, host or version may share the route's text.
  readonly #routes = new WeakMap<object, Route>()
  readonly #askingRoutes = new WeakMap<object, Route>()

  /** @returns whether it was added: not beside another of the same scope for the same path, since neither could decide alone. */
  add (registration: Registration): boolean {
    if (this.#registrations.some(other => collide(registration, other))) return false
    this.#registrations.push(registration)
    return true
  }

  /**
   * What guards this request unasked, or because its route's `config.cfAccess` asks.
   * @throws {OptionsInvalidError} when that is no valid setting, on a route declared before the registration
   * @throws {NotRegisteredError} when the route asks and no single registration answers
   */
  requirementOf (request: FastifyRequest): Requirement {
    return requirementOf(this.#route(request, this.#routes, false), request)
  }

  /**
   * What answers for a route that asks by a `guard()` of its own.
   * @throws {NotRegisteredError} when no single registration does
   */
  answerTo (request: FastifyRequest): Requirement {
    return requirementOf(this.#route(request, this.#askingRoutes, true), request)
  }

  /** Whether a route is guarded, as far as its pattern tells: some path of a wildcard's may be, or not be, all the same. */
  guardsRoute (scope: FastifyInstance, pattern: string, config: object): boolean {
    const { asks, optsOut } = readRouteConfig(config)
    return asks || (!optsOut && study(this.#visibleFrom(scope), pattern, readRouteConfig({}), false).otherwise.length > 0)
  }

  /**
   * The one registration nearest to a scope.
   * @throws {NotRegisteredError} when there is none, or more than one
   */
  nearest (scope: FastifyInstance): Registration {
    return nearestOf(this.#visibleFrom(scope))
  }

  /**
   * One of the registrations nearest to a scope, for what all those of one team have in common.
   * @throws {NotRegisteredError} when there is none, or they are of several teams
   */
  nearestOfOneTeam (scope: FastifyInstance): Registration {
    const visible = this.#visibleFrom(scope)
    const nearest = visible.filter(other => other.scope === visible[0]?.scope)
    const isOneTeam = nearest.every(other => other.keySet === nearest[0]?.keySet)
    return nearestOf(isOneTeam ? nearest.slice(0, 1) : nearest)
  }

  #route (request: FastifyRequest, known: WeakMap<object, Route>, asks: boolean): Route {
    const { config, method, url } = request.routeOptions
    // A 404 handler has no method, and may share its config object with another scope's.
    const isRoute = method !== undefined
    const key = isRoute ? config : request.server
    let route = known.get(key)
    if (route === undefined) {
      route = study(this.#visibleFrom(request.server), isRoute ? url : undefined, readRouteConfig(config), asks)
      known.set(key, route)
    }
    return route
  }

  /** Fastify's scopes inherit from one another, those made before a registration too. */
  #visibleFrom (scope: FastifyInstance): Registration[] {
    return this.#registrations.filter(other => isWithin(scope, other.scope)).sort(innermostFirst)
  }
}

const coverages = new WeakMap<object, Coverage>()

/** The coverage of the server an instance belongs to: scopes share that object, but no decorator. */
export function coverageOf (instance: FastifyInstance): Coverage {
  let coverage = coverages.get(instance.server)
  if (coverage === undefined) {
    coverage = new Coverage()
    coverages.set(instance.server, coverage)
  }
  return coverage
}

/** @param pattern the route's text, or `undefined` for a 404 handler */
function study (visible: Registration[], pattern: string | undefined, config: RouteConfig, asks: boolean): Route {
  const asking = asks || config.asks
  const optsOut = config.optsOut && !asks
  const candidates = asking ? visible : visible.filter(({ global }) => global)
  const { policy } = config

  if (isWholeScope(candidates)) {
    const registrations = optsOut ? NOBODY : candidates.slice(0, 1)
    return { candidates: registrations, settled: { registrations, policy }, otherwise: registrations, optOut: null, policy }
  }
  const byPattern = pattern === undefined ? NOBODY : decidersOf(pattern, candidates)
  const otherwise = byPattern.length === 0 && asking ? [nearestOf(visible)] : byPattern
  const optOut = optsOut && pattern !== undefined ? { head: prefixOf(literalHead(pattern)), from: byPattern } : null
  const settled = pattern !== undefined && isLiteral(pattern) ? { registrations: optOut === null ? otherwise : NOBODY, policy } : null
  return { candidates, settled, otherwise, optOut, policy }
}

function requirementOf (route: Route, request: FastifyRequest): Requirement {
  const { settled } = route
  if (settled !== null && (settled.registrations.length > 0 || !mayMeanAnother(route, request.url))) return settled
  return { registrations: read(route, request), policy: route.policy }
}

/** A router may cut a target at these and still hand it on whole. */
function mayMeanAnother ({ candidates }: Route, target: string): boolean {
  return candidates.length > 0 && (target.includes(';') || target.includes('#'))
}

/** Where a target can be read as several paths, the decider of each one has to let the request in. */
function read (route: Route, request: FastifyRequest): readonly Registration[] {
  const found = new Set<Registration>()
  for (const target of new Set([request.url, request.originalUrl])) {
    const paths = readings(target)
    if (paths === null) return route.candidates
    for (const path of paths) {
      const decider = deciderOf(path, route.candidates)
      if (decider !== undefined && !isExcused(path, decider, route.optOut)) found.add(decider)
    }
  }
  return found.size > 0 || route.optOut !== null ? [...found] : route.otherwise
}

function isExcused (path: string, decider: Registration, optOut: OptOut | null): boolean {
  return optOut !== null && optOut.head.covers(path) && optOut.from.includes(decider)
}

/** Who decides on a route's pattern, read as its requests are. */
function decidersOf (pattern: string, candidates: readonly Registration[]): readonly Registration[] {
  const paths = readings(pattern)
  if (paths === null) return candidates
  const deciders = [...paths].map(path => deciderOf(path, candidates)).filter(decider => decider !== undefined)
  return [...new Set(deciders)]
}

/** The innermost scope decides, in it the longest prefix, as the more specific Access application does. */
function deciderOf (path: string, candidates: readonly Registration[]): Registration | undefined {
  let decider: Registration | undefined
  let longest = -1
  for (const candidate of candidates) {
    if (decider !== undefined && decider.scope !== candidate.scope) break
    const length = coveringLength(path, candidate)
    if (length > longest) {
      decider = candidate
      longest = length
    }
  }
  return decider
}

/** How many segments of the path a registration claims, and one more for a prefix than for none; -1 where it claims nothing. */
function coveringLength (path: string, { prefixes }: Registration): number {
  if (prefixes === null) return 0
  return Math.max(-1, ...prefixes.filter(prefix => prefix.covers(path)).map(prefix => prefix.depth + 1))
}

/** Whether the innermost scope is guarded as a whole, so that no path of it is another's. */
function isWholeScope ([first, second]: readonly Registration[]): boolean {
  return first !== undefined && first.prefixes === null && second?.scope !== first.scope
}

function nearestOf ([first, second]: readonly Registration[]): Registration {
  if (first === undefined) throw new NotRegisteredError('fastify-cf-access is not registered where this guard runs')
  if (second?.scope === first.scope) throw new NotRegisteredError('Several registrations of fastify-cf-access are equally near, and none has this path under its prefix')
  return first
}

function collide (a: Registration, b: Registration): boolean {
  if (a.scope !== b.scope) return false
  if (a.prefixes === null || b.prefixes === null) return a.prefixes === b.prefixes
  return a.prefixes.some(({ path }) => b.prefixes!.some(other => other.path === path))
}

function isWithin (scope: FastifyInstance, outer: FastifyInstance): boolean {
  return scope === outer || Object.prototype.isPrototypeOf.call(outer, scope)
}

function innermostFirst (a: Registration, b: Registration): number {
  if (a.scope === b.scope) return 0
  return isWithin(a.scope, b.scope) ? -1 : 1
}

/** The part of a pattern in front of its first parameter or wildcard, in whole segments. */
function literalHead (pattern: string): string {
  const segments = pattern.split('/')
  const first = segments.findIndex(segment => !isLiteral(segment))
  return segments.slice(0, first === -1 ? undefined : first).join('/')
}
