import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import fastifyCors from '@fastify/cors'
import fastifyWebsocket from '@fastify/websocket'
import Fastify, {
  type FastifyInstance, type FastifyReply, type FastifyRequest,
  type FastifyServerOptions
} from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, guard, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const token = team.userToken({ email: 'a@acme.com', audience: AUD })
const otherToken = team.userToken({ email: 'b@acme.com', audience: OTHER_AUD })

const page =
  async (request: FastifyRequest): Promise<string> => `${request.method} ${request.routeOptions.url ?? 'nowhere'}`

interface Guarded {
  readonly app: FastifyInstance
  readonly port: number
}

/** A listening application, with whatever `build` registers and declares. */
async function start (
  t: Test, build: (app: FastifyInstance) => void | Promise<void>, server: FastifyServerOptions = {}
): Promise<Guarded> {
  const app = createApp(t, server)
  await build(app)
  return { app, port: await listen(app) }
}

async function statusOf (
  { port }: Guarded, target: string, token?: string, method = 'GET', headers = {}
): Promise<number> {
  return (await sendRaw(port, target,
    { method, headers: { ...(token === undefined ? {} : bearing(token)), ...headers } })).status
}

t.test('R-12 HEAD is guarded, also for a route that Fastify adds', async t => {
  for (const exposeHeadRoutes of [true, false]) {
    const guarded = await start(t, app => {
      app.register(cfAccess, { ...options, prefix: '/admin' })
      app.get('/admin/x', page)
      app.head('/admin/own', page)
      app.get('/*', page)
    }, { exposeHeadRoutes })
    for (const target of ['/admin/x', '/admin/own', '/%61dmin/x']) {
      t.equal(await statusOf(guarded, target, undefined, 'HEAD'), 401)
      t.not(await statusOf(guarded, target, token, 'HEAD'), 401)
    }
  }
})

t.test('R-15 no method opens a guarded path', async t => {
  const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE', 'FOO', 'get',
    'CONNECT']
  const guarded = await start(t, app => {
    app.addHttpMethod('PROPFIND')
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.all('/*', async () => 'secret')
  })
  for (const method of methods) {
    const { body } = await sendRaw(guarded.port, '/admin/x', {
      method,
      headers: { 'X-HTTP-Method-Override': 'OPTIONS' }
    })
    t.notMatch(body, /secret/, method)
  }
  t.equal((await sendRaw(guarded.port, '/admin/x', { method: 'PROPFIND', headers: bearing(token) })).body, 'secret')
})

t.test('R-16 HTTP/2 is guarded the same way', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.get('/*', async () => 'in')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => client.close())
  const statusOf = async (headers: Record<string, string>): Promise<number> => {
    const stream = client.request(headers)
    const [response] = await once(stream, 'response')
    stream.resume()
    return response[':status']
  }
  for (const path of ['/admin', '//admin', '/%61dmin/x', '/x/..%2fadmin', '/ADMIN']) {
    t.equal(await statusOf({ ':path': path }), 401, path)
    t.equal(await statusOf({ ':path': path, ...bearing(token) }), 200, path)
  }
  t.equal(await statusOf({ ':path': '/open' }), 200)
  for (const method of ['constructor', '__proto__']) {
    t.equal(await statusOf({ ':path': '/admin/x', ':method': method }), 404, `${method} reaches no route`)
  }
})

t.test('R-17 a WebSocket is guarded at its upgrade', async t => {
  const guarded = await start(t, async app => {
    await app.register(fastifyWebsocket)
    app.register(cfAccess, { ...options, prefix: '/admin' })
    for (const path of ['/admin/ws', '/*']) app.get(path, { websocket: true }, socket => { socket.close() })
    app.get('/admin/page', page)
  })
  const upgrade = async (path: string, headers: Record<string, string> = {}): Promise<number | undefined> => {
    const webSocket = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
    }
    const request = httpRequest({ port: guarded.port, path, headers: { ...webSocket, ...headers } })
    request.end()
    const [response, socket = request.socket] =
      await Promise.race([once(request, 'response'), once(request, 'upgrade')])
    socket.destroy()
    return response.statusCode
  }
  for (const target of ['/admin/ws', '/%61dmin/ws', '//admin/ws', '/ADMIN/ws', '/x/..%2fadmin/ws']) {
    t.equal(await upgrade(target), 401, target)
    t.equal(await upgrade(target, bearing(token)), 101, target)
  }
  t.equal(await upgrade('/open'), 101)
  t.equal(await upgrade('/admin/page', { upgrade: 'h2c' }), 401)
})

t.test('R-18 from outside, what does not exist under the prefix looks like what does', async t => {
  for (const ownHandler of [false, true]) {
    const guarded = await start(t, app => {
      app.register(cfAccess, { ...options, prefix: '/admin' })
      app.get('/admin/known', page)
      if (ownHandler) app.setNotFoundHandler((_request, reply) => { reply.code(404).send('not here') })
    })
    const answerTo = async (target: string, method = 'GET'): Promise<unknown> => {
      const { head, body } = await sendRaw(guarded.port, target, { method })
      return [head.replace(/^date: .*$/mi, ''), body]
    }
    const known = await answerTo('/admin/known')
    for (const target of ['/admin', '/admin/', '/admin/unknown', '//admin/unknown', '/ADMIN/unknown',
      '/%61dmin/unknown', '/admin%2funknown', '/x/..%2fadmin/unknown', '/admin;x', '/./admin/y']) {
      t.strictSame(await answerTo(target), known, target)
      t.equal(await statusOf(guarded, target, token), 404, target)
    }
    t.strictSame(await answerTo('/admin/known', 'POST'), known)
    t.equal(await statusOf(guarded, '/unknown'), 404)
  }
})

t.test('R-20 scopes with prefixes of their own, with parameters, and the same as the guard\'s', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.register(async scope => { scope.get('/x', page); scope.get('/', page) }, { prefix: '/admin' })
    app.register(async scope => {
      scope.register(cfAccess, { ...options, prefix: '/admin' })
      scope.get('/admin/x', page)
      scope.get('/open', page)
    }, { prefix: '/tenants/:tenant' })
  })
  for (const target of ['/admin', '/admin/', '/admin/x', '/tenants/1/admin/x', '/tenants/a%2fb/admin/x',
    '/tenants/1/Admin/x']) {
    t.equal(await statusOf(guarded, target), target.includes('Admin/') ? 404 : 401, target)
  }
  t.equal(await statusOf(guarded, '/tenants/1/open'), 200)
  t.equal(await statusOf(guarded, '/tenants/1/admin/x', token), 200)
})

t.test('R-20 R-21 a list of prefixes, one that ends in a slash, and the root', async t => {
  const guarded = await start(t, async app => {
    await app.register(cfAccess, { ...options, prefixes: ['/a', '/b/'] })
    for (const path of ['/a', '/b', '/b/x', '/c', '/ab']) app.get(path, page)
  })
  for (const [target, status] of [['/a', 401], ['/b', 401], ['/b/', 401], ['/b/x', 401], ['/c', 200],
    ['/ab', 200]] as const) {
    t.equal(await statusOf(guarded, target), status, target)
  }
  const everything = await start(t, async app => {
    await app.register(cfAccess, { ...options, prefix: '/' })
    app.get('/c', page)
  })
  for (const target of ['/', '/c', '/unknown']) t.equal(await statusOf(everything, target), 401, target)
  const both = await start(t, async app => {
    await app.register(cfAccess, { ...options, prefix: '/' })
    await app.register(cfAccess, { ...options, audience: OTHER_AUD })
    app.get('/c', page)
  })
  t.equal(await statusOf(both, '/c', token), 200, 'a prefix is nearer than the whole scope')
  t.equal(await statusOf(both, '/c', otherToken), 401)
})

t.test('R-22 a route that is declared in another way is guarded where a request under the prefix gets there', async t => {
  const declared: Array<[pattern: string, targets: string[]]> = [
    ['/Admin', ['/Admin']], ['//admin//x', ['//admin//x']], ['/admin::x', []], ['/adm:rest', ['/admin']], ['/:a?', ['/admin']], ['/adm*', ['/admin', '/admin/x']],
    ['*', ['/admin', '/admin/x']], ['/:a/:b', ['/admin/x']], ['/:a-:b', []], ['/admin/*', ['/admin/x']]
  ]
  for (const [pattern, targets] of declared) {
    const guarded = await start(t, app => {
      app.register(cfAccess, { ...options, prefix: '/admin' })
      app.all(pattern, page)
    })
    for (const target of targets) {
      t.equal(await statusOf(guarded, target), 401, `${pattern} by ${target}`)
      t.equal(await statusOf(guarded, target, token), 200, `${pattern} by ${target}`)
    }
  }
})

t.test('R-23 an opt-out applies to its own route only, whichever route is requested first', async t => {
  const build = (app: FastifyInstance): void => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    const open = { config: { cfAccess: false } }
    app.get('/admin/x', open, page)
    app.post('/admin/x', page)
    for (const [host, config] of [['a.example', open], ['b.example', {}]] as const) {
      app.get('/admin/host', { ...config, constraints: { host } }, page)
    }
    for (const [version, config] of [['1.0.0', open], ['2.0.0', {}]] as const) {
      app.get('/admin/version', { ...config, constraints: { version } }, page)
    }
  }
  const cases: Array<[target: string, method: string, headers: object, status: number]> = [
    ['/admin/x', 'GET', {}, 200], ['/admin/x', 'HEAD', {}, 200], ['/admin/x', 'POST', {}, 401],
    ['/admin/host', 'GET', { host: 'a.example' }, 200], ['/admin/host', 'GET', { host: 'b.example' }, 401],
    ['/admin/version', 'GET', { 'accept-version': '1.x' }, 200], ['/admin/version', 'GET', { 'accept-version': '2.x' }, 401], ['/admin/version', 'GET', {}, 401]
  ]
  for (const order of [cases, cases.toReversed()]) {
    const app = createApp(t)
    build(app)
    for (let times = 0; times < 2; times++) {
      for (const [url, method, headers, status] of order) {
        t.equal((await app.inject({ url, method: method as 'GET', headers: { ...headers } })).statusCode, status,
          `${method} ${url} ${JSON.stringify(headers)}`)
      }
    }
  }
})

t.test('R-24 a path that can belong to two prefixes must satisfy both', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/a' })
    app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/b' })
    app.get('/*', page)
  })
  for (const target of ['/b/..%2fa/secret', '/b/../a/secret', '/b/%2e%2e/a/x', '/a/..%2fb/x', '/b/..;/a/x']) {
    for (const bearer of [token, otherToken, undefined]) t.equal(await statusOf(guarded, target, bearer), 401, target)
  }
  t.equal(await statusOf(guarded, '/a/x', token), 200)
  t.equal(await statusOf(guarded, '/b/x', otherToken), 200)
})

t.test('R-25 of two nested prefixes the longer decides, unless a path may be in the shorter alone', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/admin/b' })
    app.get('/*', page)
  })
  t.equal(await statusOf(guarded, '/admin/b/x', otherToken), 200)
  t.equal(await statusOf(guarded, '/admin/b/x', token), 401)
  t.equal(await statusOf(guarded, '/admin/x', token), 200)
  t.equal(await statusOf(guarded, '/admin/x', otherToken), 401)
  for (const target of ['/admin/b/..%2fx', '/admin/b/../x', '/admin/b%2f..%2fc']) {
    t.equal(await statusOf(guarded, target, otherToken), 401, target)
  }
  t.equal(await statusOf(guarded, '/admin/./b/x', otherToken), 401, 'a plain reader sees a file of /admin here')
})

t.test('the innermost scope decides alone', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, options)
    app.register(async scope => {
      scope.register(cfAccess, { ...options, audience: OTHER_AUD })
      scope.get('/inner', page)
    })
    app.register(async scope => {
      scope.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/part' })
      for (const path of ['/part/x', '/rest']) scope.get(path, page)
    })
    app.get('/outer', page)
  })
  for (const target of ['/inner', '/part/x']) {
    t.strictSame([await statusOf(guarded, target, token), await statusOf(guarded, target, otherToken)], [401, 200],
      target)
  }
  for (const target of ['/outer', '/rest']) {
    t.strictSame([await statusOf(guarded, target, token), await statusOf(guarded, target, otherToken)], [200, 401],
      target)
  }
})

t.test('the innermost scope decides, whichever was registered first', async t => {
  const guarded = await start(t, async app => {
    await app.register(async scope => {
      await scope.register(cfAccess, { ...options, audience: OTHER_AUD })
      await scope.register(async within => { within.get('/inner', page) })
    })
    await app.register(cfAccess, options)
  })
  t.strictSame([await statusOf(guarded, '/inner', token), await statusOf(guarded, '/inner', otherToken)], [401, 200])
})

t.test('R-26 an opt-out of a wildcard opens nothing that another registration guards', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.get('/*', { config: { cfAccess: false } }, page)
    app.get('/:section/page', { config: { cfAccess: false } }, page)
    app.get('/admin/assets/*', { config: { cfAccess: false } }, page)
  })
  for (const target of ['/admin/x', '/admin/page', '/%61dmin/page', '/admin/assets/../x', '/admin/assets/..%2fx',
    '/admin/assets%2f..%2fx']) {
    t.equal(await statusOf(guarded, target), 401, target)
    t.equal(await statusOf(guarded, target, token), 200, target)
  }
  for (const target of ['/x', '/public/page', '/admin/assets/logo.svg', '/admin/assets/a%20b']) {
    t.equal(await statusOf(guarded, target), 200, target)
  }
})

t.test('R-27 a rewritten target is judged by what was matched, and on a wildcard by both', async t => {
  const rewritten: Record<string, string> = {
    '/v1/admin/x': '/admin/x',
    '/admin/open': '/public',
    '/in': '/files/admin',
    '/admin/out': '/files/public'
  }
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    for (const path of ['/admin/x', '/public', '/*']) app.get(path, page)
  }, { rewriteUrl: ({ url = '' }) => rewritten[url] ?? url })
  t.equal(await statusOf(guarded, '/v1/admin/x'), 401)
  t.equal(await statusOf(guarded, '/admin/open'), 200, 'a plain route has one meaning')
  t.equal(await statusOf(guarded, '/admin/out'), 401)
  t.equal(await statusOf(guarded, '/admin/out', token), 200)
  t.equal(await statusOf(guarded, '/in'), 200)
})

const handlersByTenant = new Map<unknown, unknown>()
const byTenant = {
  name: 'tenant',
  storage: () => ({
    get: (key: unknown) => handlersByTenant.get(key) ?? null,
    set: (key: unknown, handler: unknown) => { handlersByTenant.set(key, handler) }
  }),
  deriveConstraint: (request: IncomingMessage, _context: unknown, done: (error: Error |
    null, tenant: unknown) => void) => {
    const tenant = request.headers['x-tenant']
    done(tenant === 'broken' ? new Error('no tenant') : null, tenant)
  }
}

t.test('R-28 a constraint of one\'s own that fails opens nothing', async t => {
  const guarded = await start(t, app => {
    app.addConstraintStrategy(byTenant as never)
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.route({ method: 'GET', url: '/admin/x', constraints: { tenant: 'good' }, handler: page })
  })
  t.equal(await statusOf(guarded, '/admin/x', undefined, 'GET', { 'x-tenant': 'good' }), 401)
  t.equal(await statusOf(guarded, '/admin/x', token, 'GET', { 'x-tenant': 'good' }), 200)
  t.not(await statusOf(guarded, '/admin/x', undefined, 'GET', { 'x-tenant': 'broken' }), 200)
})

t.test('R-29 callNotFound() does not verify twice, and opens nothing', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.setNotFoundHandler({ preHandler: guard() },
      (request, reply) => { reply.code(404).send(request.cfAccess?.kind ?? 'anonymous') })
    for (const path of ['/admin/gone', '/gone']) app.get(path, (_request, reply) => { reply.callNotFound() })
  })
  t.equal(await statusOf(guarded, '/admin/gone'), 401)
  t.equal((await sendRaw(guarded.port, '/admin/gone', { headers: bearing(token) })).body, 'user')
  t.equal(await statusOf(guarded, '/gone'), 401, 'by the handler\'s own guard')
  t.equal(await statusOf(guarded, '/gone', token), 404)
})

const PREFLIGHT = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PUT' }

t.test('R-35 a preflight is rejected without the option', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.options('/admin/x', page)
  })
  t.equal(await statusOf(guarded, '/admin/x', undefined, 'OPTIONS', PREFLIGHT), 401)
})

t.test('R-35 only a real preflight passes, and only to a route for OPTIONS alone', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin', preflight: true })
    app.options('/admin/x', async request => request.cfAccess)
    app.all('/admin/all', page)
    app.route({ method: ['OPTIONS', 'PUT'], url: '/admin/both', handler: page })
    app.put('/admin/x', page)
  })
  const { status, body } = await sendRaw(guarded.port, '/admin/x', { method: 'OPTIONS', headers: PREFLIGHT })
  t.strictSame([status, body], [200, 'null'], 'let through without an identity')
  t.equal(await statusOf(guarded, '/admin/x', undefined, 'OPTIONS', { Origin: PREFLIGHT.Origin }), 401)
  t.equal(await statusOf(guarded, '/admin/x', undefined, 'OPTIONS', { 'Access-Control-Request-Method': 'PUT' }), 401)
  t.equal(await statusOf(guarded, '/admin/x', undefined, 'PUT', PREFLIGHT), 401)
  for (const target of ['/admin/all', '/admin/both', '/admin/unknown']) {
    t.equal(await statusOf(guarded, target, undefined, 'OPTIONS', PREFLIGHT), 401, target)
  }
})

t.test('R-34 R-35 @fastify/cors answers preflights, before the plugin or after it', async t => {
  const before = await start(t, async app => {
    await app.register(fastifyCors, { origin: true })
    await app.register(cfAccess, { ...options, prefix: '/admin' })
    app.put('/admin/x', page)
  })
  const after = await start(t, async app => {
    await app.register(cfAccess, { ...options, prefix: '/admin', preflight: true })
    await app.register(fastifyCors, { origin: true })
    app.put('/admin/x', page)
  })
  for (const guarded of [before, after]) {
    t.equal(await statusOf(guarded, '/admin/x', undefined, 'OPTIONS', PREFLIGHT), 204)
    t.equal(await statusOf(guarded, '/admin/x', undefined, 'PUT', PREFLIGHT), 401)
  }
  const rejection = await sendRaw(before.port, '/admin/x', { method: 'PUT', headers: PREFLIGHT })
  t.match(rejection.head, /access-control-allow-origin: https:\/\/app\.example/i, 'a page can read the rejection')
})

t.test('R-11 R-37 targets that the router rejects itself are never admitted', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.get('/admin/:id', page)
    app.get('/*', page)
  }, { frameworkErrors: (_error, _request, reply) => { (reply as FastifyReply).code(400).send('the router\'s own') } })
  for (const target of ['/admin/%zz', '/admin/%', '/%c0%afadmin/x']) {
    const { status, body } = await sendRaw(guarded.port, target, { headers: bearing(token) })
    t.strictSame([status, body], [400, 'the router\'s own'], target)
  }
  t.not(await statusOf(guarded, `/admin/${'x'.repeat(101)}`), 200)
})

t.test('R-37 a 404 handler that calls itself something else is guarded', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.setNotFoundHandler({ config: { url: '/public' } } as { preHandler?: never },
      (_request, reply) => { reply.code(404).send() })
  })
  t.equal(await statusOf(guarded, '/admin/unknown'), 401)
  t.equal(await statusOf(guarded, '/unknown'), 404)
})

t.test('D-09 a target that does not come to an end is guarded', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.get('/*', page)
  })
  for (const target of [`/${'%25'.repeat(4600)}61dmin`, `/${'../'.repeat(4600)}`, `/${';'.repeat(14_000)}`,
    `/${'%EF%B7%BA'.repeat(1500)}`, `/a${'%2e%20'.repeat(2000)}x`,
    '/%2525252525252561dmin', `/${'a;/'.repeat(600)}`, `/${'a%20/'.repeat(20)}`, '/%EF%BC%8Fadmin/x',
    '/x%EF%BC%8F../admin', `/${'a'.repeat(1023)};`]) {
    t.equal(await statusOf(guarded, target), 401, target.slice(0, 20))
    t.not(await statusOf(guarded, target, token), 401, target.slice(0, 20))
  }
  for (const target of [`/${'a'.repeat(1022)};`, `/${'a'.repeat(8000)}`, '/%25ff/x']) {
    t.equal(await statusOf(guarded, target), 200, target.slice(0, 20))
  }
})

t.test('D-09 a route whose pattern does not come to an end is guarded', async t => {
  const long = `/${'a'.repeat(1100)};`
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.get(long, page)
  })
  t.equal(await statusOf(guarded, long), 401)
})

/** What a user of A and one of B get there. */
async function bothAt (guarded: Guarded, target: string): Promise<[a: number, b: number]> {
  return [await statusOf(guarded, target, token), await statusOf(guarded, target, otherToken)]
}

t.test('M-03 a prefix decides beside its whole scope, whichever is registered first', async t => {
  const registrations = [options, { ...options, audience: OTHER_AUD, prefix: '/admin' }]
  for (const order of [registrations, registrations.toReversed()]) {
    const guarded = await start(t, app => {
      for (const registration of order) app.register(cfAccess, { ...registration })
      for (const path of ['/admin', '/admin/*', '/rest', '/:other/*']) app.get(path, page)
    })
    for (const target of ['/admin', '/admin/x']) t.strictSame(await bothAt(guarded, target), [401, 200], target)
    t.equal(await statusOf(guarded, '/%61dmin/x', token), 401)
    for (const target of ['/rest', '/administrator/x']) t.strictSame(await bothAt(guarded, target), [200, 401], target)
  }
})

t.test('M-04 a route that opts out is still guarded by its own guard()', async t => {
  for (const prefix of [{}, { prefix: '/admin' }]) {
    const guarded = await start(t, app => {
      app.register(cfAccess, { ...options, ...prefix })
      for (const path of ['/admin/x', '/admin/:id/*']) {
        app.get(path, { config: { cfAccess: false }, preHandler: guard() }, page)
      }
    })
    for (const target of ['/admin/x', '/admin/1/x']) {
      t.equal(await statusOf(guarded, target), 401, target)
      t.strictSame(await bothAt(guarded, target), [200, 401], target)
    }
  }
})

t.test('M-05 a target rewritten into the prefix is guarded', async t => {
  const rewritten: Record<string, string> = { '/in': '/admin/x', '/in/parameter': '/admin/section', '/out': '/public' }
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    for (const path of ['/:a/section', '/*']) app.get(path, page)
  }, { rewriteUrl: ({ url = '' }) => rewritten[url] ?? url })
  for (const target of ['/in', '/in/parameter']) {
    t.equal(await statusOf(guarded, target), 401, target)
    t.strictSame(await bothAt(guarded, target), [200, 401], target)
  }
  t.equal(await statusOf(guarded, '/out'), 200)
})

t.test('M-06 below a scope with a parameter the prefix itself is guarded', async t => {
  const guarded = await start(t, app => {
    app.register(async scope => {
      scope.register(cfAccess, { ...options, prefix: '/admin' })
      for (const path of ['/admin', '/admin/x', '/:other']) scope.get(path, page)
    }, { prefix: '/t/:id' })
  })
  for (const target of ['/t/1/admin', '/t/1/admin/x', '/t/1/%61dmin', '/t/a%2fb/admin']) {
    t.equal(await statusOf(guarded, target), 401, target)
    t.strictSame(await bothAt(guarded, target), [200, 401], target)
  }
  for (const target of ['/t/1/administrator', '/t/1/x']) t.equal(await statusOf(guarded, target), 200, target)
})

t.test('M-07 the innermost scope decides, even when an outer prefix is longer', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/in/deep' })
    app.register(async scope => {
      scope.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/in' })
      for (const path of ['/in/deep/x', '/in/:section/y']) scope.get(path, page)
    })
    app.get('/in/deep/z', page)
  })
  for (const target of ['/in/deep/x', '/in/deep/y']) t.strictSame(await bothAt(guarded, target), [401, 200], target)
  t.strictSame(await bothAt(guarded, '/in/deep/z'), [200, 401])
})

t.test('M-11 a literal route is guarded when the whole target reads as under the prefix', async t => {
  const guarded = await start(t, app => {
    app.register(cfAccess, { ...options, prefix: '/admin' })
    app.get('/open', async request => request.raw.url)
  })
  t.equal(await statusOf(guarded, '/open'), 200)
  t.equal(await statusOf(guarded, '/open?/../admin/x'), 200)
  t.equal(await statusOf(guarded, '/open#/../admin/x'), 401)
  t.strictSame(await bothAt(guarded, '/open#/../admin/x'), [200, 401])
})

t.test('M-17 two registrations that guard only on request need different paths', async t => {
  for (const prefixes of [[{}, {}], [{ prefix: '/a' }, { prefix: '/a' }]]) {
    const app = createApp(t)
    for (const prefix of prefixes) app.register(cfAccess, { ...options, ...prefix, global: false })
    await t.rejects(async () => app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
  }
})

t.test('M-17 request.cfAccess is null where nothing is guarded, also in a scope made before the registration', async t => {
  const guarded = await start(t, async app => {
    const early: FastifyInstance[] = []
    await app.register(async scope => { early.push(scope) })
    await app.register(cfAccess, { ...options, prefix: '/admin' })
    for (const [i, scope] of [app, ...early].entries()) {
      scope.get(`/open/${i}`, async ({ cfAccess }) => String(cfAccess))
    }
  })
  for (const target of ['/open/0', '/open/1']) t.equal((await sendRaw(guarded.port, target)).body, 'null', target)
})
