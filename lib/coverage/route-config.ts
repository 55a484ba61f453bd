/** What a route asks for: `config.cfAccess`. */
import { OptionsInvalidError } from '../errors.js'
import { compilePolicy, type CompiledPolicy } from '../policy/policy.js'
import type { CfAccessPolicy } from '../policy/route-policy.js'
import type { AtLeastOne } from '../policy/selectors.js'
import { isObject } from '../util/is-object.js'
import { describe } from '../util/option-errors.js'
import { optional, readOptions, withDefault } from '../util/option-readers.js'
import { readTrustedOrigins, type TrustedOrigins } from './cross-origin.js'

/** What a route can ask for beside a policy. An object with any of these members guards the route. */
export type CfAccessRouteOptions = AtLeastOne<{
  /** Must allow the request, in addition to what the registration demands. */
  readonly policy: CfAccessPolicy
  /**
   * The route is open, and `request.cfAccess` is `null` unless a valid token came, and this policy allows its identity.
   * `true`: any identity that the registration admits. Not together with `policy`.
   */
  readonly optional: true | CfAccessPolicy
  /** Origins whose pages can send requests to this route, in addition to those of the registration; `'any'` for all. */
  readonly trustedOrigins: readonly string[] | 'any'
}>

/**
 * `false`: this route is not guarded. `true`: it is guarded, also with `global: false`. A policy: it is guarded, and
 * the policy must allow the request in addition to what the registration demands. `'optional'`: it is open, and
 * `request.cfAccess` is `null` unless a valid token came.
 *
 * It is read by the registrations that the route is under. A route under no registration stays open, whatever its
 * config says: where you cannot be sure, use `guard()`, which then rejects every request.
 */
export type CfAccessRouteConfig = boolean | 'optional' | CfAccessPolicy | CfAccessRouteOptions

export interface RouteConfig {
  /** Whether a request without a token reaches the handler. */
  readonly isOpen: boolean
  /** Whether the registration nearest to the route counts, where none guards it anyway. */
  readonly asks: boolean
  readonly policy: CompiledPolicy | null
  readonly trustedOrigins: TrustedOrigins
}

const SILENT: RouteConfig = { isOpen: false, asks: false, policy: null, trustedOrigins: [] }
const OPTED_OUT: RouteConfig = { ...SILENT, isOpen: true }
const GUARDED: RouteConfig = { ...SILENT, asks: true }
const OPTIONAL: RouteConfig = { ...SILENT, isOpen: true, asks: true }

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
 * @throws {OptionsInvalidError} for an invalid `cfAccess`: only `false` and `'optional'` themselves open a route
 */
export function readRouteConfig (config: object): RouteConfig {
  if (!Object.hasOwn(config, 'cfAccess')) return SILENT
  const { cfAccess, [COMPILED]: compiled } = config as CompiledConfig
  if (compiled !== undefined && compiled.source === cfAccess) return compiled.config
  if (typeof cfAccess === 'boolean') return cfAccess ? GUARDED : OPTED_OUT
  if (cfAccess === 'optional') return OPTIONAL
  if (hasRouteOptions(cfAccess)) return readRouteOptions(cfAccess)
  if (typeof cfAccess === 'function' || isObject(cfAccess)) {
    return { ...GUARDED, policy: compilePolicy(cfAccess, 'config.cfAccess') }
  }
  throw new OptionsInvalidError(`config.cfAccess is ${describe(cfAccess)}; it takes true, false, 'optional', a policy ` +
    'or { policy, optional, trustedOrigins }.')
}

const OPTION_READERS = {
  policy: optional(compilePolicy),
  optional: optional((value, path) => value === true ? null : compilePolicy(value, path)),
  trustedOrigins: withDefault(readTrustedOrigins, [])
}

function hasRouteOptions (value: unknown): value is object {
  return isObject(value) && Object.keys(OPTION_READERS).some(name => Object.hasOwn(value, name))
}

function readRouteOptions (options: object): RouteConfig {
  const { policy, optional, trustedOrigins } = readOptions(options, OPTION_READERS, 'config.cfAccess')
  const isOptional = Object.hasOwn(options, 'optional')
  if (isOptional && policy !== null) {
    throw new OptionsInvalidError('config.cfAccess has both "policy" and "optional"; write optional: policy.')
  }
  return { ...isOptional ? OPTIONAL : GUARDED, policy: policy ?? optional, trustedOrigins }
}
