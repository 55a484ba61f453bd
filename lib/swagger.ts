/** A `transform` for @fastify/swagger that documents which routes are guarded. */
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import { isGuard } from './guard.js'
import { serverStateOf } from './server-state.js'

/** What @fastify/swagger passes to a transform for each route. */
export interface SwaggerRoute {
  /** The route's schema. */
  readonly schema: FastifySchema
  /** Its pattern. */
  readonly url: string
  /** All its options. */
  readonly route: RouteOptions
}

/** What a transform returns. */
export interface SwaggerResult {
  /** The schema to document. */
  schema: FastifySchema
  /** The pattern to document. */
  url: string
}

type Security = ReadonlyArray<Readonly<Record<string, readonly string[]>>>
type SecuredSchema = FastifySchema & { security?: Security }

/** The parts of an OpenAPI document, version 2 or 3, that are read and written here. */
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
    description: 'The token that Cloudflare Access adds to each request of an authenticated user or service.'
  }
}

// Without a schema: your app's error handler decides what a rejection looks like.
const REJECTIONS = {
  401: { type: 'null', description: 'No valid Cloudflare Access token' },
  403: { type: 'null', description: 'Denied by a policy' },
  503: { type: 'null', description: 'Cloudflare Access is unavailable; see Retry-After' }
}

const DEFAULT_RESPONSE = { 200: { type: 'null', description: 'Default Response' } }

// On the route itself, since @fastify/swagger copies some route objects.
const SCOPE = Symbol('fastify-cf-access.scope')
type ScopedRoute = RouteOptions & { [SCOPE]?: FastifyInstance }

/**
 * Makes a `transform` for @fastify/swagger that gives guarded routes the security requirement `cfAccess`
 * and the responses 401, 403 and 503. Only the document changes. A route counts as guarded by its pattern or by a
 * `guard()` among its own hooks; one inside @fastify/auth cannot be seen.
 * To leave a route out, use @fastify/swagger's own `config: { swaggerTransform: false }`.
 *
 * @param app the instance @fastify/swagger is registered on; call this before its routes are declared
 * @param transform another transform, which runs first
 * @see @fastify/swagger docs: Transform
 */
export function swaggerTransform<Route extends SwaggerRoute> (
  app: { addHook: (name: 'onRoute', hook: (this: FastifyInstance, route: RouteOptions) => void) => unknown },
  transform: (route: Route) => SwaggerResult = ({ schema, url }) =>
    ({ schema, url })
): (route: Route) => SwaggerResult {
  app.addHook('onRoute', function (route: ScopedRoute) { route[SCOPE] = this })
  return given => {
    const { schema = given.schema, url } = transform(given)
    const guarded = isGuarded(given.route)
    if (guarded === false) return { schema, url }
    const document = documentOf(given)
    declareScheme(document)
    return { schema: guarded === true ? describeGuarded(schema, document) : describeOptional(schema, document), url }
  }
}

function isGuarded (route: ScopedRoute): boolean | 'optional' {
  const { [SCOPE]: scope, url, config = {}, onRequest, preValidation, preHandler } = route
  if ([onRequest, preValidation, preHandler].flat().some(isGuard)) return true
  return scope !== undefined && serverStateOf(scope).registry.guardsRoute(scope, url, config)
}

function describeGuarded (schema: SecuredSchema = {}, document: Document): SecuredSchema {
  return {
    ...schema,
    security: withToken(askedBy(schema, document)),
    response: { ...REJECTIONS, ...(schema.response ?? DEFAULT_RESPONSE) }
  }
}

/** With the token or without it. */
function describeOptional (schema: SecuredSchema = {}, document: Document): SecuredSchema {
  const asked = askedBy(schema, document)
  return { ...schema, security: [...asked, ...withToken(asked)] }
}

/** The security requirements of the route itself. */
function askedBy (schema: SecuredSchema, document: Document): Security {
  return [schema.security, document.security].find(security => security !== undefined && security.length > 0) ?? [{}]
}

function withToken (asked: Security): Security {
  return asked.map(alternative => ({ ...alternative, [NAME]: [] }))
}

function declareScheme (document: Document): void {
  if ('swagger' in document) {
    document.securityDefinitions = { ...SCHEME, ...document.securityDefinitions }
  } else {
    document.components =
      { ...document.components, securitySchemes: { ...SCHEME, ...document.components?.securitySchemes } }
  }
}

function documentOf (given: object): Document {
  const { openapiObject, swaggerObject } = given as { openapiObject?: Document, swaggerObject: Document }
  return openapiObject ?? swaggerObject
}
