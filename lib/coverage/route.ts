/** Compiles a route: which registrations guard it, and which must admit a request by the paths of its target. */
import type { FastifyRequest } from 'fastify'
import type { Checks } from '../admission.js'
import { NotRegisteredError } from '../errors.js'
import { matchDepth, type Registration } from '../registration.js'
import { possiblePaths } from './possible-paths.js'
import { isLiteral, patternMatcher } from './prefix.js'
import type { RouteConfig } from './route-config.js'

/** What a request must satisfy: every one of these registrations, each together with what the route asks for. */
export interface Requirement extends Checks {
  readonly registrations: readonly Registration[]
  /** Whether the request reaches the handler in any case; without an identity, unless all of them admit it. */
  readonly isOptional: boolean
}

/** What is the same for all requests of a route. */
export interface Route {
  /** The requirement of every request whose target has no `;` and no `#`; `null` where each target is interpreted. */
  readonly fixed: Requirement | null
  readonly selections: readonly Selection[]
  /** Registrations that guard the one path of a literal pattern, whatever else its targets can stand for. */
  readonly always: readonly Registration[]
  /** Registrations that an open route takes an identity from, if there is one. */
  readonly optional: readonly Registration[]
  readonly checks: Checks
}

/** How to find the registrations that must admit a request. */
interface Selection {
  /** Registrations that a possible path can belong to, the innermost scope's first. */
  readonly candidates: readonly Registration[]
  /** Registrations that guard the route's pattern. They decide when no possible path belongs to a candidate. */
  readonly fallback: readonly Registration[]
  /** Where the route is open. It can open only what guards its pattern. `null`: it is not open. */
  readonly opens: ((path: string) => boolean) | null
}

const NONE: readonly Registration[] = []

/**
 * @param visible the registrations whose scope the route is in, the innermost scope's first
 * @param pattern the route's text, or `undefined` for a 404 handler
 * @throws {NotRegisteredError} when the route asks for a guard and no single registration is the nearest
 */
export function compileRoute (
  visible: readonly Registration[], pattern: string | undefined, config: RouteConfig
): Route {
  const unasked = selectionOf(visible.filter(({ global }) => global), pattern, config.isOpen)
  if (!config.asks) return toRoute([unasked], pattern, config)
  const asked = askingSelectionOf(visible, pattern)
  // A route that asks for more never gets less: the registrations that guard it anyway stay.
  return config.isOpen
    ? toRoute([unasked], pattern, config, unique([...unasked.fallback, ...asked.fallback]))
    : toRoute([unasked, asked], pattern, config)
}

/**
 * The route as one of its own `guard()` hooks sees it.
 * @throws {NotRegisteredError} when no single registration is the nearest
 */
export function compileGuardedRoute (
  visible: readonly Registration[], pattern: string | undefined, { trustedOrigins }: RouteConfig
): Route {
  return toRoute([askingSelectionOf(visible, pattern)], pattern, { policy: null, trustedOrigins })
}

/** The registrations that guard a route's pattern. */
export function registrationsOfPattern (visible: readonly Registration[], pattern: string): readonly Registration[] {
  return selectionOf(visible.filter(({ global }) => global), pattern, false).fallback
}

/** What a request for the route must satisfy, if its target does not have to be interpreted; else `null`. */
export function fixedRequirementOf ({ fixed }: Route, request: FastifyRequest): Requirement | null {
  return fixed === null || hasMark(request.url) ? null : fixed
}

/** What a request for the route must satisfy, by the possible paths of its target. */
export function interpret ({ selections, always, optional, checks }: Route, request: FastifyRequest): Requirement {
  const targets = request.url === request.originalUrl ? [request.url] : [request.url, request.originalUrl]
  const paths = targets.map(possiblePaths)
  const found = selections.flatMap(selection => select(selection, paths))
  return toRequirement(unique([...always, ...found]), optional, checks)
}

/** Where a registration must admit the request, those that were optional must admit it too, as the same identity. */
function toRequirement (
  required: readonly Registration[], optional: readonly Registration[], { policy, trustedOrigins }: Checks
): Requirement {
  return {
    registrations: optional.length === 0 ? required : unique([...required, ...optional]),
    isOptional: required.length === 0,
    policy,
    trustedOrigins
  }
}

/**
 * The one registration nearest to a scope.
 * @param visible the innermost scope's first
 * @throws {NotRegisteredError} when there is none, or more than one
 */
export function nearestOf ([first, second]: readonly Registration[]): Registration {
  if (first === undefined) throw new NotRegisteredError('fastify-cf-access is not registered where this guard runs')
  if (second?.scope === first.scope) {
    throw new NotRegisteredError('Several registrations of fastify-cf-access are equally near, ' +
      'and none has this path under its prefix')
  }
  return first
}

function toRoute (
  selections: readonly Selection[], pattern: string | undefined, checks: Checks,
  optional: readonly Registration[] = NONE
): Route {
  const isOnePath = pattern !== undefined && isLiteral(pattern)
  const isFixed = isOnePath || selections.every(coversWholeScope)
  const required = unique(selections.flatMap(fallbackOf))
  return {
    fixed: isFixed ? toRequirement(required, optional, checks) : null,
    selections,
    always: isOnePath ? required : NONE,
    optional,
    checks
  }
}

function fallbackOf ({ opens, fallback }: Selection): readonly Registration[] {
  return opens === null ? fallback : NONE
}

/** Whether all paths belong to one registration, and the route is not open. */
function coversWholeScope ({ candidates: [first, second], opens }: Selection): boolean {
  return first === undefined || (first.prefixes === null && second === undefined && opens === null)
}

function selectionOf (
  registrations: readonly Registration[], pattern: string | undefined, isOpen: boolean
): Selection {
  const candidates = withinReach(registrations)
  // A literal colon is written twice in a pattern.
  const paths = possiblePaths((pattern ?? '/').replaceAll('::', ':'))
  const fallback = paths === null ? candidates : ownersOf(paths, candidates)
  return { candidates, fallback, opens: isOpen && pattern !== undefined ? patternMatcher(pattern) : null }
}

function askingSelectionOf (visible: readonly Registration[], pattern: string | undefined): Selection {
  const selection = selectionOf(visible, pattern, false)
  return selection.fallback.length > 0 ? selection : { ...selection, fallback: [nearestOf(visible)] }
}

/** In a scope that is guarded as a whole, registrations of outer scopes do not count. */
function withinReach (registrations: readonly Registration[]): readonly Registration[] {
  const whole = registrations.find(({ prefixes }) => prefixes === null)
  if (whole === undefined) return registrations
  const last = registrations.findLastIndex(({ scope }) => scope === whole.scope)
  return registrations.slice(0, last + 1)
}

/** The router cuts a target at these characters, but passes it on whole. */
function hasMark (target: string): boolean {
  return target.includes(';') || target.includes('#')
}

/**
 * The registration of each possible path must admit the request. An ambiguous target (`null`) must be admitted by every
 * candidate, also of an open route.
 */
function select (
  { candidates, fallback, opens }: Selection, targets: ReadonlyArray<ReadonlySet<string> | null>
): readonly Registration[] {
  const found = targets.flatMap(paths => {
    if (paths === null) return candidates
    return [...paths].flatMap(path => {
      const owner = registrationFor(path, candidates)
      const isOpen = owner === undefined || (opens !== null && opens(path) && fallback.includes(owner))
      return isOpen ? NONE : owner
    })
  })
  return found.length > 0 || opens !== null ? found : fallback
}

function ownersOf (paths: ReadonlySet<string>, candidates: readonly Registration[]): readonly Registration[] {
  return unique([...paths].map(path => registrationFor(path, candidates)).filter(owner => owner !== undefined))
}

/** The innermost scope decides, in it the longest prefix, as the more specific Access application does. */
function registrationFor (path: string, candidates: readonly Registration[]): Registration | undefined {
  let owner: Registration | undefined
  let deepest = -1
  for (const candidate of candidates) {
    if (owner !== undefined && owner.scope !== candidate.scope) break
    const depth = matchDepth(path, candidate)
    if (depth > deepest) {
      owner = candidate
      deepest = depth
    }
  }
  return owner
}

function unique (registrations: readonly Registration[]): readonly Registration[] {
  return registrations.length > 1 ? [...new Set(registrations)] : registrations
}
