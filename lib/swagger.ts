/** Tells @fastify/swagger which routes are guarded, by its own means: a `transform`. */
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import { registryOf } from './coverage/registry.js'
import { isGuard } from './guard.js'

/** What @fastify/swagger hands a transform of a route, beside the document it writes. */
export interface SwaggerRoute {
  /** The route's schema. */
  readonly schema: FastifySchema
  /** Its pattern. */
  readonly url: string
  /** All its options. */
  readonly route: RouteOptions
}

/** What a transform makes of it. */
export interface SwaggerResult {
  /** The schema to document. */
  schema: FastifySchema
  /** The pattern to document. */
  url: string
}

type Security = ReadonlyArray<Readonly<Record<string, readonly string[]>>>
type SecuredSchema = FastifySchema & { security?: Security }

/** The parts that are read and written of an OpenAPI document, version 2 or 3. */
interface Document {
  security?: Security
  components?: { securitySchemes?: object }
  securityDefinitions?: object
}

const NAME = 'cfAccess'

const SCHEME = {
  [NAME]: {
    type: 'apiKey',
    in: 'header',
    name: 'Cf-Access-Jwt-Assertion',
    description: 'The token Cloudflare Access adds to each request once its sender has logged in.'
  }
}

// Without a schema: the application's error handler decides what a rejection looks like.
const REFUSALS = {
  401: { type: 'null', description: 'No good Cloudflare Access token' },
  403: { type: 'null', description: 'Not allowed by the access policy' },
  503: { type: 'null', description: 'Cloudflare Access cannot be asked now; Retry-After says when to come back' }
}

const DEFAULT_RESPONSE = { 200: { type: 'null', description: 'Default Response' } }

// On the route itself, for @fastify/swagger copies some.
const SCOPE = Symbol('fastify-cf-access.scope')
type ScopedRoute = RouteOptions & { [SCOPE]?: FastifyInstance }

/**
 * Makes a `transform` for @fastify/swagger that gives guarded routes the security requirement `cfAccess`
 * and their responses 401, 403 and 503, in the document alone: no answer changes. A route is guarded by
 * its pattern or by a `guard()` among its own hooks; one inside of @fastify/auth cannot be seen.
 * Leave a route out by @fastify/swagger's own `config: { swaggerTransform: false }`.
 *
 * @param app the instance @fastify/swagger is registered on; call this before its routes are declared
 * @param transform another transform, which runs first
 * @see @fastify/swagger docs: Transform
 */
export function swaggerTransform<Route extends SwaggerRoute> (
  app: Pick<FastifyInstance, 'addHook'>, transform: (route: Route) => SwaggerResult = ({ schema, url }) => ({ schema, url })
): (route: Route) => SwaggerResult {
  app.addHook('onRoute', function (route: ScopedRoute) { route[SCOPE] = this })
  return given => {
    const { schema = given.schema, url } = transform(given)
    return { schema: isGuarded(given.route) ? describe(schema, documentOf(given)) : schema, url }
  }
}

function isGuarded (route: ScopedRoute): boolean {
  const { [SCOPE]: scope, url, config = {}, onRequest, preValidation, preHandler } = route
  return [onRequest, preValidation, preHandler].flat().some(isGuard) ||
    (scope !== undefined && registryOf(scope).guardsRoute(scope, url, config))
}

function describe (schema: SecuredSchema = {}, document: Document): SecuredSchema {
  declareScheme(document)
  const asked = [schema.security, document.security].find(security => security !== undefined && security.length > 0) ?? [{}]
  return {
    ...schema,
    security: asked.map(alternative => ({ ...alternative, [NAME]: [] })),
    response: { ...REFUSALS, ...(schema.response ?? DEFAULT_RESPONSE) }
  }
}

function declareScheme (document: Document): void {
  if ('swagger' in document) {
    document.securityDefinitions = { ...SCHEME, ...document.securityDefinitions }
  } else {
    document.components = { ...document.components, securitySchemes: { ...SCHEME, ...document.components?.securitySchemes } }
  }
}

function documentOf (given: object): Document {
  const { openapiObject, swaggerObject } = given as { openapiObject?: Document, swaggerObject: Document }
  return openapiObject ?? swaggerObject
}
