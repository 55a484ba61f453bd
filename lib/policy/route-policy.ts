/** Policies of Fastify's routes: their functions get the Fastify request. */
import type { FastifyRequest } from 'fastify'
import {
  CfAccessCompiledPolicy, type CfAccessPolicyFor, type CfAccessPredicateFor, type CfAccessRules
} from './policy.js'

/** A policy as a function of the identity and the request. */
export type CfAccessPredicate = CfAccessPredicateFor<FastifyRequest>

/** The policy of a registration, a route or `guard()`: rules, a function, or a compiled policy. */
export type CfAccessPolicy = CfAccessPolicyFor<FastifyRequest>

/**
 * Compiles a policy once, for several routes and for handlers, resolvers and tools:
 * `await admins.allows(request.cfAccess)`.
 * @throws {OptionsInvalidError} for anything that is not a policy
 */
export function policy (rules: CfAccessRules): CfAccessCompiledPolicy
export function policy<Request = FastifyRequest> (
  predicate: CfAccessPredicateFor<Request>
): CfAccessCompiledPolicy<Request>
export function policy (given: CfAccessPolicyFor<never>): CfAccessCompiledPolicy<never> {
  return new CfAccessCompiledPolicy(given)
}
