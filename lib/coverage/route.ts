/** Compiles a route: which registrations guard it, and which must admit a request by the paths of its target. */
import type { FastifyRequest } from 'fastify'
import { NotRegisteredError } from '../errors.js'
import type { CompiledPolicy } from '../policy/policy.js'
import { matchDepth, type Registration } from '../registration.js'
import { possiblePaths } from './possible-paths.js'
import { isLiteral, patternMatcher } from './prefix.js'
import type { RouteConfig } from './route-config.js'

/** What a request must satisfy: every one of these registrations, each together with the route's own policy. */
export interface Requirement {
  readonly registrations: readonly Registration[]
  readonly policy: CompiledPolicy | null
}

/** What is the same for all requests of a route. */
export interface Route {
  /** The requirement of every request whose target has no `;` and no `#`; `null` where each target is interpreted. */
  readonly fixed: Requirement | null
  readonly selections: readonly Selection[]
  readonly policy: CompiledPolicy | null
}

/** How to find the registrations that must admit a request. */
interface Selection {
  /** Registrations that a possible path can belong to, the innermost scope's first. */
  readonly candidates: readonly Registration[]
  /** Registrations that guard the route's pattern. They decide when no possible path belongs to a candidate. */
  readonly fallback: readonly Registration[]
  /** Where the route opts out. It can opt out only of what guards its pattern. `null`: it does not opt out. */
  readonly optsOut: ((path: string) => boolean) | null
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
  const unasked = selectionOf(visible.filter(({ global }) => global), pattern, config.optsOut)
  // A route that asks for more never gets less: the registrations that guard it anyway stay.
  return toRoute(config.asks ? [unasked, askingSelectionOf(visible, pattern)] : [unasked], pattern, config.policy)
}

/**
 * The route as one of its own `guard()` hooks sees it.
 * @throws {NotRegisteredError} when no single registration is the nearest
 */
export function compileGuardedRoute (visible: readonly Registration[], pattern: string | undefined): Route {
  return toRoute([askingSelectionOf(visible, pattern)], pattern, null)
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
export function interpret ({ selections, policy }: Route, request: FastifyRequest): Requirement {
  const targets = request.url === request.originalUrl ? [request.url] : [request.url, request.originalUrl]
  const paths = targets.map(possiblePaths)
  return { registrations: unique(selections.flatMap(selection => select(selection, paths))), policy }
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

function toRoute (selections: readonly Selection[], pattern: string | undefined, policy: CompiledPolicy | null): Route {
  const isOnePath = pattern !== undefined && isLiteral(pattern)
  const isFixed = isOnePath || selections.every(coversWholeScope)
  const registrations = unique(selections.flatMap(({ optsOut, fallback }) => optsOut === null ? fallback : NONE))
  return { fixed: isFixed ? { registrations, policy } : null, selections, policy }
}

/** Whether all paths belong to one registration, and the route does not opt out of it. */
function coversWholeScope ({ candidates: [first, second], optsOut }: Selection): boolean {
  return first === undefined || (first.prefixes === null && second === undefined && optsOut === null)
}

function selectionOf (
  registrations: readonly Registration[], pattern: string | undefined, optsOut: boolean
): Selection {
  const candidates = withinReach(registrations)
  // A literal colon is written twice in a pattern.
  const paths = possiblePaths((pattern ?? '/').replaceAll('::', ':'))
  const fallback = paths === null ? candidates : ownersOf(paths, candidates)
  return { candidates, fallback, optsOut: optsOut && pattern !== undefined ? patternMatcher(pattern) : null }
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
 * candidate, whatever the route opts out of.
 */
function select (
  { candidates, fallback, optsOut }: Selection, targets: ReadonlyArray<ReadonlySet<string> | null>
): readonly Registration[] {
  const found = targets.flatMap(paths => {
    if (paths === null) return candidates
    return [...paths].flatMap(path => {
      const owner = registrationFor(path, candidates)
      const isOpen = owner === undefined || (optsOut !== null && optsOut(path) && fallback.includes(owner))
      return isOpen ? NONE : owner
    })
  })
  return found.length > 0 || optsOut !== null ? found : fallback
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
