import fastifySwagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, guard, swaggerTransform, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const handler = async (): Promise<string> => 'in'

interface Operation {
  readonly security?: unknown
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}

interface Document {
  readonly components?: { readonly securitySchemes?: object }
  readonly securityDefinitions?: object
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

async function createDocumented (
  t: Test, swagger: FastifyDynamicSwaggerOptions = { openapi: {} }
): Promise<FastifyInstance> {
  const app = createApp(t)
  await app.register(fastifySwagger, { ...swagger, transform: swaggerTransform(app) })
  return app
}

async function documentOf (app: FastifyInstance): Promise<Document> {
  await app.ready()
  return app.swagger() as unknown as Document
}

const operationOf = ({ paths }: Document, path: string, method = 'get'): Operation => paths[path]![method]!

const SECURITY = [{ cfAccess: [] }]

function isDocumentedAs (t: Test, document: Document, guarded: Readonly<Record<string, boolean>>): void {
  for (const [path, expected] of Object.entries(guarded)) {
    const { security, responses } = operationOf(document, path)
    t.strictSame(security, expected ? SECURITY : undefined, path)
    t.strictSame(Object.keys(responses), expected ? ['200', '401', '403', '503'] : ['200'], path)
  }
}

t.test('guarded routes carry the security requirement and their rejections, others do not', async t => {
  const app = await createDocumented(t)
  app.get('/admin/early', handler)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.get('/', handler)
  app.get('/administrator', handler)
  app.get('/admin', handler)
  app.get('/admin/users/:id', handler)
  app.get('/admin/health', { config: { cfAccess: false } }, handler)
  app.get('/asks', { config: { cfAccess: true } }, handler)
  app.get('/hook', { preHandler: [async () => {}, guard()] }, handler)
  app.get('/other-hook', { onRequest: async () => {}, preHandler: [async () => {}] }, handler)
  app.register(async scope => {
    scope.get('/early', handler)
    scope.register(cfAccess, options)
    scope.get('/late', handler)
    scope.register(async inner => inner.get('/inner', handler))
    scope.get('/open', { config: { cfAccess: false } }, handler)
  }, { prefix: '/scope' })
  isDocumentedAs(t, await documentOf(app), {
    '/': false,
    '/administrator': false,
    '/admin/early': true,
    '/admin': true,
    '/admin/users/{id}': true,
    '/admin/health': false,
    '/asks': true,
    '/hook': true,
    '/other-hook': false,
    '/scope/early': true,
    '/scope/late': true,
    '/scope/inner': true,
    '/scope/open': false
  })
})

t.test('with global: false only routes that ask are documented as guarded', async t => {
  const app = await createDocumented(t)
  app.register(cfAccess, { ...options, global: false })
  app.get('/', handler)
  app.get('/policy', { config: { cfAccess: { include: { email: true } } } }, handler)
  app.get('/hook', { onRequest: guard() }, handler)
  isDocumentedAs(t, await documentOf(app), { '/': false, '/policy': true, '/hook': true })
})

t.test('the document says what the application does', async t => {
  const app = await createDocumented(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  for (const path of ['/', '/admin', '/admin/x', '/adm']) app.get(path, handler)
  const document = await documentOf(app)
  for (const path of Object.keys(document.paths)) {
    const { statusCode } = await app.inject(path)
    t.equal(statusCode === 401, operationOf(document, path).security !== undefined, path)
  }
})

t.test('the scheme is declared once, beside the application\'s own', async t => {
  const openapi = { components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'x-key' } } } } as const
  const app = await createDocumented(t, { openapi })
  app.register(cfAccess, options)
  app.get('/a', handler)
  app.get('/b', handler)
  t.match((await documentOf(app)).components, {
    securitySchemes: { key: { name: 'x-key' }, cfAccess: { type: 'apiKey', in: 'header', name: 'Cf-Access-Jwt-Assertion' } }
  })
  t.strictSame(Object.keys(openapi.components.securitySchemes), ['key'], 'the options stay as they were')
})

t.test('nothing is declared where nothing is guarded', async t => {
  const app = await createDocumented(t)
  app.get('/', handler)
  t.equal((await documentOf(app)).components?.securitySchemes, undefined)
})

t.test('an optional route takes the token or goes without', async t => {
  const securitySchemes = { key: { type: 'apiKey', in: 'header', name: 'x-key' } } as const
  const app = await createDocumented(t, { openapi: { components: { securitySchemes } } })
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.get('/admin/hello', { config: { cfAccess: 'optional' } }, handler)
  app.get('/hello', { config: { cfAccess: { optional: true } }, schema: { security: [{ key: [] }] } }, handler)
  app.get('/widened', { config: { cfAccess: { trustedOrigins: 'any' } } }, handler)
  const document = await documentOf(app)
  t.match(document.components, { securitySchemes: { cfAccess: { type: 'apiKey' } } })
  t.strictSame(operationOf(document, '/admin/hello').security, [{}, { cfAccess: [] }])
  t.strictSame(Object.keys(operationOf(document, '/admin/hello').responses), ['200'])
  t.strictSame(operationOf(document, '/hello').security, [{ key: [] }, { key: [], cfAccess: [] }])
  t.strictSame(operationOf(document, '/widened').security, SECURITY)
})

t.test('a version 2 document gets securityDefinitions', async t => {
  const app = await createDocumented(t, { swagger: {} })
  app.register(cfAccess, options)
  app.get('/', handler)
  const document = await documentOf(app)
  t.match(document.securityDefinitions, { cfAccess: { type: 'apiKey' } })
  t.equal(document.components, undefined)
  isDocumentedAs(t, document, { '/': true })
})

t.test('what a route requires in addition is documented in addition', async t => {
  const securitySchemes =
    { key: { type: 'apiKey', in: 'header', name: 'x-key' }, basic: { type: 'http', scheme: 'basic' } } as const
  const app = await createDocumented(t, { openapi: { components: { securitySchemes }, security: [{ basic: [] }] } })
  app.register(cfAccess, options)
  app.get('/either', { schema: { security: [{ key: [] }, { basic: [] }] } }, handler)
  app.get('/general', handler)
  app.get('/none', { schema: { security: [] }, config: { cfAccess: false } }, handler)
  const document = await documentOf(app)
  t.strictSame(operationOf(document, '/either').security, [{ key: [], cfAccess: [] }, { basic: [], cfAccess: [] }])
  t.strictSame(operationOf(document, '/general').security, [{ basic: [], cfAccess: [] }])
  t.strictSame(operationOf(document, '/none').security, [])
})

t.test('a route\'s own responses win, and a rejection is answered as it is without a document', async t => {
  const schema =
    { response: { 200: { type: 'string', description: 'Hello' }, 401: { type: 'object', description: 'Mine', properties: { code: { type: 'string' } } } } }
  const app = await createDocumented(t)
  app.register(cfAccess, { ...options, policy: { include: { serviceToken: true } } })
  app.get('/own', { schema }, handler)
  app.get('/', handler)
  const bare = createApp(t)
  bare.register(cfAccess, { ...options, policy: { include: { serviceToken: true } } })
  bare.get('/own', { schema }, handler)
  bare.get('/', handler)

  const { responses } = operationOf(await documentOf(app), '/own')
  t.match(responses, {
    200: { description: 'Hello' },
    401: { description: 'Mine' },
    403: { description: String },
    503: { description: String }
  })
  for (const url of ['/', '/own']) {
    for (const [headers, status] of [[{}, 401], [bearing(alice), 403]] as const) {
      const [documented, undocumented] = await Promise.all([app, bare].map(app => app.inject({ url, headers })))
      t.equal(documented!.statusCode, status)
      t.equal(documented!.body, undocumented!.body)
    }
  }
})

t.test('a route is left out by swagger\'s own setting, and all are without the transform', async t => {
  const app = await createDocumented(t)
  app.register(cfAccess, options)
  app.get('/out', { config: { swaggerTransform: false } }, handler)
  app.get('/in', handler)
  isDocumentedAs(t, await documentOf(app), { '/out': false, '/in': true })

  const plain = createApp(t)
  await plain.register(fastifySwagger, { openapi: {} })
  plain.register(cfAccess, options)
  plain.get('/', handler)
  isDocumentedAs(t, await documentOf(plain), { '/': false })
})

t.test('another transform runs first', async t => {
  const app = createApp(t)
  await app.register(fastifySwagger, {
    openapi: {},
    transform: swaggerTransform(app,
      ({ schema, url }) => ({ schema: { ...schema, summary: 'transformed' }, url: `/v1${url}` }))
  })
  app.register(cfAccess, options)
  app.get('/guarded', handler)
  app.get('/open', { config: { cfAccess: false } }, handler)
  const document = await documentOf(app)
  isDocumentedAs(t, document, { '/v1/guarded': true, '/v1/open': false })
  for (const path of ['/v1/guarded', '/v1/open']) t.match(operationOf(document, path), { summary: 'transformed' })
})

t.test('the HEAD of a route is documented as its GET', async t => {
  const app = await createDocumented(t, { openapi: {}, exposeHeadRoutes: true })
  app.register(cfAccess, options)
  app.get('/', { schema: { operationId: 'root' } }, handler)
  const document = await documentOf(app)
  for (const method of ['get', 'head']) t.strictSame(operationOf(document, '/', method).security, SECURITY, method)
})
