/** What a route itself asks for: `config.cfAccess`. */
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from '../policy/policy.js'
import { describe } from '../util/option-readers.js'

/**
 * `false`: this route is not guarded. `true`: it is, also under `global: false`. A policy: it is, and
 * this must allow the request as well as what the registration asks for.
 *
 * It is read by the registrations the route is under. A route that is under none stays open, whatever
 * it says here: use `guard()`, which then rejects every request, where you cannot be sure.
 */
export type CfAccessRouteConfig = boolean | CfAccessPolicy

export interface RouteConfig {
  readonly optsOut: boolean
  readonly asks: boolean
  readonly policy: CompiledPolicy | null
}

const SILENT: RouteConfig = { optsOut: false, asks: false, policy: null }

/** What was read when the route was declared, and of which value. Fastify copies it with the rest of the config. */
const COMPILED = Symbol('fastify-cf-access.route-config')

interface CompiledConfig {
  readonly cfAccess?: unknown
  readonly [COMPILED]?: { readonly source: unknown, readonly config: RouteConfig }
}

/**
 * Reads a route's config once, when it is declared, so that a policy changed later changes nothing.
 * @returns the config to declare the route with
 * @throws {OptionsInvalidError} as {@link readRouteConfig}
 */
export function compileRouteConfig (config: object): object {
  const { cfAccess, [COMPILED]: compiled } = config as CompiledConfig
  if (!Object.hasOwn(config, 'cfAccess') || (compiled !== undefined && compiled.source === cfAccess)) return config
  return { ...config, [COMPILED]: { source: cfAccess, config: readRouteConfig(config) } }
}

/**
 * @param config a route's `config`
 * @throws {OptionsInvalidError} for a `cfAccess` that is not a boolean or a policy: only `false` itself opens a route
 */
export function readRouteConfig (config: object): RouteConfig {
  if (!Object.hasOwn(config, 'cfAccess')) return SILENT
  const { cfAccess, [COMPILED]: compiled } = config as CompiledConfig
  if (compiled !== undefined && compiled.source === cfAccess) return compiled.config
  if (typeof cfAccess === 'boolean') return { optsOut: !cfAccess, asks: cfAccess, policy: null }
  if (cfAccess === undefined) {
    throw new OptionsInvalidError(`config.cfAccess is ${describe(cfAccess)}; it takes true, false or a policy.`)
  }
  return { optsOut: false, asks: true, policy: compilePolicy(cfAccess, 'config.cfAccess') }
}
