/** The registrations of one Fastify server. Finds what a request must satisfy, and keeps each compiled route. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { conflicts, haveSameTeams, innermostFirst, isWithin, type Registration } from '../registration.js'
import { readRouteConfig } from './route-config.js'
import {
  compileGuardedRoute, compileRoute, fixedRequirementOf, interpret, nearestOf, registrationsOfPattern,
  type Requirement, type Route
} from './route.js'

export type { Requirement } from './route.js'

export class RegistrationRegistry {
  readonly #registrations: Registration[] = []
  // By the route's own config object: routes for other methods, hosts or versions can have the same text.
  readonly #routes = new WeakMap<object, Route>()
  readonly #guardedRoutes = new WeakMap<object, Route>()
  /** By request, so that a target is interpreted once, however many registrations there are. */
  readonly #requirements = new WeakMap<FastifyRequest, Requirement>()

  /** @returns `false` when another registration guards the same path in the same scope */
  add (registration: Registration): boolean {
    if (this.#registrations.some(other => conflicts(registration, other))) return false
    this.#registrations.push(registration)
    return true
  }

  /**
   * What this request must satisfy, not counting a `guard()` of its route.
   * @throws {OptionsInvalidError} for an invalid `config.cfAccess` of a route declared before the registration
   * @throws {NotRegisteredError} when the route asks for a guard and no single registration is the nearest
   */
  requirementFor (request: FastifyRequest): Requirement {
    const { key, pattern } = routeOf(request)
    let route = this.#routes.get(key)
    if (route === undefined) {
      route = compileRoute(this.#visibleFrom(request.server), pattern, readRouteConfig(request.routeOptions.config))
      this.#routes.set(key, route)
    }
    return fixedRequirementOf(route, request) ?? this.#interpretOnce(route, request)
  }

  /**
   * What this request must satisfy at a `guard()` of its route.
   * @throws {NotRegisteredError} when no single registration is the nearest
   */
  guardRequirementFor (request: FastifyRequest): Requirement {
    const { key, pattern } = routeOf(request)
    let route = this.#guardedRoutes.get(key)
    if (route === undefined) {
      const config = readRouteConfig(request.routeOptions.config)
      route = compileGuardedRoute(this.#visibleFrom(request.server), pattern, config)
      this.#guardedRoutes.set(key, route)
    }
    return fixedRequirementOf(route, request) ?? interpret(route, request)
  }

  /** Whether a route's pattern is guarded. Some paths of a wildcard can be guarded and others not. */
  guardsRoute (scope: FastifyInstance, pattern: string, config: object): boolean | 'optional' {
    const { asks, isOpen } = readRouteConfig(config)
    if (isOpen) return asks && 'optional'
    return asks || registrationsOfPattern(this.#visibleFrom(scope), pattern).length > 0
  }

  /**
   * The one registration nearest to a scope.
   * @throws {NotRegisteredError} when there is none, or more than one
   */
  nearest (scope: FastifyInstance): Registration {
    return nearestOf(this.#visibleFrom(scope))
  }

  /**
   * One of the registrations nearest to a scope, for what registrations of the same teams have in common.
   * @throws {NotRegisteredError} when there is none, or when they differ in their teams
   */
  nearestOfSameTeams (scope: FastifyInstance): Registration {
    const visible = this.#visibleFrom(scope)
    const nearest = visible.filter(other => other.scope === visible[0]?.scope)
    return nearestOf(nearest.every(other => haveSameTeams(other, nearest[0]!)) ? nearest.slice(0, 1) : nearest)
  }

  #interpretOnce (route: Route, request: FastifyRequest): Requirement {
    let requirement = this.#requirements.get(request)
    if (requirement === undefined) {
      requirement = interpret(route, request)
      this.#requirements.set(request, requirement)
    }
    return requirement
  }

  /** The registrations that a scope can see, also those made after the scope. */
  #visibleFrom (scope: FastifyInstance): Registration[] {
    return this.#registrations.filter(other => isWithin(scope, other.scope)).sort(innermostFirst)
  }
}

/**
 * A 404 handler has no pattern: Fastify sets `prefixTrailingSlash` on every route, and on no 404 handler. Its config
 * object can be that of another scope.
 */
function routeOf ({ routeOptions, server }: FastifyRequest): { key: object, pattern: string | undefined } {
  const { config, url, prefixTrailingSlash } = routeOptions as typeof routeOptions & { prefixTrailingSlash?: string }
  return prefixTrailingSlash === undefined ? { key: server, pattern: undefined } : { key: config, pattern: url }
}
