// NestJS on Fastify: the documented setup, and what Nest's guards, middleware, exception filters and gateways see.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import 'reflect-metadata'
import { Catch, Controller, Get, HttpException, Module, Req, UseGuards } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, RouteConfig } from '@nestjs/platform-fastify'
import { ConnectedSocket, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets'
import cfAccess from 'fastify-cf-access'
import { createAccessTeam } from 'fastify-cf-access/testing'
import { io as connect } from 'socket.io-client'
import { access, alice, AUDIENCE, bearing, bob, team, tokenOf } from '../fixtures/neighbours.js'
import { importSnippet } from '../fixtures/snippet.js'

/** @typedef {import('@nestjs/platform-fastify').NestFastifyApplication} NestApp */
/** @typedef {import('fastify').FastifyRequest} FastifyRequest */

const stranger = bearing(tokenOf('eve@example.com'))

/** Nest's guard, which runs after all hooks. */
class OnlyAlice {
  /** @param {import('@nestjs/common').ExecutionContext} context */
  canActivate (context) {
    /** @type {FastifyRequest} */
    const { cfAccess } = context.switchToHttp().getRequest()
    return cfAccess?.email === 'alice@acme.com'
  }
}

class AdminController {
  /** @param {FastifyRequest} request */
  hello (request) {
    return request.cfAccess?.email
  }

  open () {
    return 'open'
  }

  acme () {
    return 'for acme'
  }

  onlyAlice () {
    return 'for Alice'
  }
}

decorate(AdminController, 'hello', Get())
Req()(AdminController.prototype, 'hello', 0)
decorate(AdminController, 'open', Get('open'), RouteConfig({ cfAccess: false }))
decorate(AdminController, 'acme', Get('acme'), RouteConfig({ cfAccess: { include: { emailDomain: 'acme.com' } } }))
decorate(AdminController, 'onlyAlice', Get('alice'), UseGuards(OnlyAlice))
Controller('admin')(AdminController)

/** The paths that Nest's middleware has seen. @type {string[]} */
const seen = []

class AppModule {
  /** @param {import('@nestjs/common').MiddlewareConsumer} consumer */
  configure (consumer) {
    consumer.apply((/** @type {any} */ request, /** @type {any} */ response, /** @type {() => void} */ next) => {
      seen.push(request.originalUrl ?? request.url)
      if (request.headers['x-answer'] === 'middleware') response.end(`by the middleware, ${request.cfAccess}`)
      else next()
    }).forRoutes('*path')
  }
}
Module({ controllers: [AdminController] })(AppModule)

/** Nest wraps an error with a status below 500 in an exception of its own. */
class CodeFilter {
  /**
   * @param {any} exception
   * @param {import('@nestjs/common').ArgumentsHost} host
   */
  catch (exception, host) {
    const { code, statusCode } = exception instanceof HttpException ? /** @type {any} */ (exception.cause) : exception
    host.switchToHttp().getResponse().code(statusCode).send(code)
  }
}
Catch()(CodeFilter)

/**
 * @param {Function} target
 * @param {string} name
 * @param {MethodDecorator[]} decorators
 */
function decorate (target, name, ...decorators) {
  const descriptor = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(target.prototype, name))
  for (const decorator of decorators) decorator(target.prototype, name, descriptor)
}

/**
 * @param {import('node:test').TestContext} t
 * @param {object} [options]
 * @param {boolean} [options.isFirst] whether the plugin is registered before `NestFactory.create()`
 * @param {(app: NestApp) => unknown} [options.prepare]
 * @param {string} [options.prefix]
 * @param {string} [options.teamDomain]
 */
async function start (t, { isFirst = true, prepare, prefix = '/admin', teamDomain = team.domain } = {}) {
  /** @type {{ level: number, msg: string }[]} */
  const lines = []
  const stream = { write: (/** @type {string} */ line) => { lines.push(JSON.parse(line)) } }
  const adapter = new FastifyAdapter({ logger: { level: 'info', stream } })
  const options = { teamDomain, audience: AUDIENCE, prefix }
  if (isFirst) await adapter.getInstance().register(cfAccess, options)
  /** @type {NestApp} */
  const app = await NestFactory.create(AppModule, adapter, { logger: false })
  t.after(() => app.close())
  if (!isFirst) await adapter.getInstance().register(cfAccess, options)
  await prepare?.(app)
  await app.init()
  await adapter.getInstance().ready()
  const warnings = lines.filter(({ level }) => level === 40).map(({ msg }) => msg)
  return { warnings, ask: async (/** @type {string} */ url, headers = {}) => await app.inject({ url, headers }) }
}

test('the snippet guards what it says', async t => {
  process.env['CF_ACCESS_AUD'] = AUDIENCE
  const { app } = await importSnippet('nest', {
    "'acme'": `'${team.domain}'`,
    'await app.listen(3000)': "await app.listen(0, '127.0.0.1')\nexport { app }",
    'logger: true': 'logger: false',
    'Application>(AppModule, adapter)': 'Application>(AppModule, adapter, { logger: false })'
  })
  t.after(() => app.close())
  const origin = await app.getUrl()
  /** @type {[string, Record<string, string>, number, string?][]} */
  const cases = [
    ['/admin', {}, 401],
    ['/admin/none', {}, 401],
    ['/admin/health', {}, 200, 'ok'],
    ['/admin', alice, 200, 'hello alice@acme.com'],
    ['/admin', { cookie: `CF_Authorization=${tokenOf('bob@acme.com')}` }, 200, 'hello bob@acme.com'],
    ['/admin/keys', {}, 401],
    ['/admin/keys', alice, 200, 'secret'],
    ['/admin/keys', stranger, 403],
    ['/none', {}, 404]
  ]
  for (const [path, headers, status, body] of cases) {
    const response = await fetch(origin + path, { headers })
    const answer = await response.text()
    assert.equal(response.status, status, `${path}: ${answer}`)
    if (body !== undefined) assert.equal(answer, body)
  }
})

test('Nest\'s guards see the identity', async t => {
  const { ask, warnings } = await start(t)
  assert.deepEqual(warnings, [])
  assert.equal((await ask('/admin/alice')).statusCode, 401)
  assert.equal((await ask('/admin/alice', alice)).body, 'for Alice')
  assert.equal((await ask('/admin/alice', bob)).statusCode, 403)
})

test('Nest\'s middleware runs after the guard where the plugin was registered before NestFactory.create()', async t => {
  const asMiddleware = { 'x-answer': 'middleware' }
  for (const isFirst of [true, false]) {
    const { ask, warnings } = await start(t, { isFirst })
    seen.length = 0
    assert.equal((await ask('/admin')).statusCode, 401)
    assert.deepEqual(seen, isFirst ? [] : ['/admin'])
    // Middleware answers where no route is, and for other spellings of a path.
    for (const path of ['/admin', '/admin/none', '/ADMIN/none', '//admin/none', '/%61dmin']) {
      assert.equal((await ask(path, asMiddleware)).statusCode, isFirst ? 401 : 200, path)
    }
    assert.equal((await ask('/admin', { ...asMiddleware, ...alice })).body, 'by the middleware, undefined',
      'Node\'s request has no identity')
    assert.equal((await ask('/admin', alice)).body, 'alice@acme.com')
    if (isFirst) assert.deepEqual(warnings, [])
    else assert.match(warnings.join(), /^Middleware .*with NestJS: on the adapter, before NestFactory\.create/)
  }
})

test('the prefix contains Nest\'s global prefix, and a warning says when it does not', async t => {
  const prepare = (/** @type {NestApp} */ app) => app.setGlobalPrefix('api')
  const right = await start(t, { prefix: '/api/admin', prepare })
  assert.deepEqual(right.warnings, [])
  assert.equal((await right.ask('/api/admin')).statusCode, 401)
  assert.equal((await right.ask('/api/admin', alice)).body, 'alice@acme.com')
  const wrong = await start(t, { prefix: '/admin', prepare })
  assert.match(wrong.warnings.join(), /^Cloudflare Access guards \/admin, but no route is there/)
})

test('exception filters get our errors', async t => {
  const filtered = await start(t, { prepare: app => app.useGlobalFilters(new CodeFilter()) })
  assert.equal((await filtered.ask('/admin')).body, 'FST_CF_ACCESS_TOKEN_MISSING')
  assert.equal((await filtered.ask('/admin/acme', stranger)).body, 'FST_CF_ACCESS_FORBIDDEN')
  const { ask } = await start(t)
  const rejected = await ask('/admin')
  assert.deepEqual(rejected.json(), { statusCode: 401, message: 'A Cloudflare Access token is required' })
  assert.equal(rejected.headers['www-authenticate'], 'Cloudflare-Access')
  assert.equal(rejected.headers['cache-control'], 'no-store')
})

test('unavailable keys are 503 to the client, with and without a filter', async t => {
  const down = await createAccessTeam()
  t.after(() => down.close())
  down.outage('error')
  const headers = bearing(down.userToken({ email: 'alice@acme.com', audience: AUDIENCE }))
  const { ask } = await start(t, { teamDomain: down.domain })
  const rejected = await ask('/admin', headers)
  assert.deepEqual(rejected.json(), { statusCode: 503, message: 'Cloudflare Access signing keys are unavailable' })
  assert.ok(Number(rejected.headers['retry-after']) >= 1)
  const filtered = await start(t, { teamDomain: down.domain, prepare: app => app.useGlobalFilters(new CodeFilter()) })
  assert.equal((await filtered.ask('/admin', headers)).body, 'FST_CF_ACCESS_KEYS_UNAVAILABLE')
})

test('a WebSocket gateway is in front of the guard, unless its allowRequest authenticates', async t => {
  for (const isGuarded of [false, true]) {
    const adapter = new FastifyAdapter()
    const fastify = adapter.getInstance()
    await fastify.register(cfAccess, access)

    class Gateway {
      /** @param {import('socket.io').Socket} socket */
      async whoAmI (socket) {
        const { email } = await fastify.cfAccess.authenticate(socket.request).catch(() => ({ email: 'a stranger' }))
        return email
      }
    }
    decorate(Gateway, 'whoAmI', SubscribeMessage('who am I'))
    ConnectedSocket()(Gateway.prototype, 'whoAmI', 0)
    /** @type {import('socket.io').ServerOptions['allowRequest']} */
    const allowRequest = (request, callback) => {
      fastify.cfAccess.authenticate(request).then(() => callback(null, true), error => callback(error.code, false))
    }
    WebSocketGateway(isGuarded ? { allowRequest } : {})(Gateway)

    class GatewayModule {}
    Module({ controllers: [AdminController], providers: [Gateway] })(GatewayModule)
    /** @type {NestApp} */
    const app = await NestFactory.create(GatewayModule, adapter, { logger: false })
    t.after(() => app.close())
    await app.listen(0, '127.0.0.1')
    const origin = await app.getUrl()
    assert.equal((await fetch(`${origin}/admin`)).status, 401)

    const answer = async (headers = {}) => {
      const socket = connect(origin, { extraHeaders: headers, reconnection: false })
      try {
        return await new Promise(resolve => {
          socket.on('connect_error', ({ message }) => resolve(message)).emit('who am I', resolve)
        })
      } finally {
        socket.close()
      }
    }
    assert.equal(await answer(), isGuarded ? 'xhr poll error' : 'a stranger')
    assert.equal(await answer(alice), 'alice@acme.com')
  }
})
