/** What a route asks for: `config.cfAccess`. */
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CfAccessPolicy, type CompiledPolicy } from '../policy/policy.js'
import { describe } from '../util/option-errors.js'

/**
 * `false`: this route is not guarded. `true`: it is guarded, also with `global: false`. A policy: it is guarded, and
 * the policy must allow the request in addition to what the registration demands.
 *
 * It is read by the registrations that the route is under. A route under no registration stays open, whatever its
 * config says: where you cannot be sure, use `guard()`, which then rejects every request.
 */
export type CfAccessRouteConfig = boolean | CfAccessPolicy

export interface RouteConfig {
  readonly optsOut: boolean
  readonly asks: boolean
  readonly policy: CompiledPolicy | null
}

const SILENT: RouteConfig = { optsOut: false, asks: false, policy: null }

/** The compiled value, and the value it was compiled from. Fastify copies it with the rest of the config. */
const COMPILED = Symbol('fastify-cf-access.route-config')

interface CompiledConfig {
  readonly cfAccess?: unknown
  readonly [COMPILED]?: { readonly source: unknown, readonly config: RouteConfig }
}

/**
 * Compiles a route's config once, when the route is declared, so that a policy changed later has no effect.
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
