/** A route's own word: `config.cfAccess`. */
import { OptionsInvalidError } from './errors.js'
import { describe } from './option-errors.js'
import { compilePolicy, type CfAccessPolicy, type Decide } from './policy.js'

/**
 * `false`: this route is not guarded. `true`: it is, also under `global: false`. A policy: it is, and
 * asks for this beside what the registration asks for.
 */
export type CfAccessRouteConfig = boolean | CfAccessPolicy

export interface RouteConfig {
  readonly optsOut: boolean
  readonly asks: boolean
  readonly policy: Decide | null
}

/**
 * @param config a route's `config`
 * @throws {OptionsInvalidError} for a `cfAccess` that is neither: only `false` itself opens a route.
 */
export function readRouteConfig (config: object): RouteConfig {
  if (!Object.hasOwn(config, 'cfAccess')) return { optsOut: false, asks: false, policy: null }
  const { cfAccess } = config as { cfAccess: unknown }
  if (typeof cfAccess === 'boolean') return { optsOut: !cfAccess, asks: cfAccess, policy: null }
  if (cfAccess === undefined) throw new OptionsInvalidError(`config.cfAccess is ${describe(cfAccess)}; it takes true, false or a policy.`)
  return { optsOut: false, asks: true, policy: compilePolicy(cfAccess, 'config.cfAccess') }
}
