// Middleware of @fastify/middie and @fastify/express: what runs in front of the guard, and what behind it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as send } from 'node:http'
import { test } from 'node:test'
import { text } from 'node:stream/consumers'
import fastifyExpress from '@fastify/express'
import fastifyMiddie from '@fastify/middie'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { access, alice } from '../fixtures/neighbours.js'

/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

/** @type {Record<string, (app: FastifyInstance) => unknown>} */
const NEIGHBOURS = {
  '@fastify/middie': app => app.register(fastifyMiddie),
  '@fastify/express': app => app.register(fastifyExpress)
}

// Spellings that middleware at /admin can take for its own path.
const TARGETS =
  ['/admin', '/admin/', '/ADMIN', '/%61dmin', '//admin', '/x/../admin', '/admin/none', '/admin?x', '/admin;x']

/** @param {import('node:test').TestContext} t */
function createApp (t) {
  /** @type {string[]} */
  const warnings = []
  const stream = { write: (/** @type {string} */ line) => { warnings.push(JSON.parse(line).msg) } }
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream } })
  t.after(() => app.close())
  return { app, warnings }
}

test('middleware and routes of Express get the identity by a hook in front of them', async t => {
  const { app } = createApp(t)
  await app.register(cfAccess, { ...access, prefix: '/admin' })
  app.addHook('onRequest', async request => {
    Object.assign(request.raw, { cfAccess: request.cfAccess })
  })
  await app.register(fastifyExpress)
  app.use('/admin', (/** @type {any} */ request, /** @type {any} */ response) => response.end(request.cfAccess.email))
  const get = await listen(app)
  assert.equal((await get('/admin')).status, 401)
  assert.deepEqual(await get('/admin', alice), { status: 200, body: 'alice@acme.com' })
})

/**
 * Middleware that answers itself when it is asked to.
 *
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 * @param {() => void} next
 */
function answerOrPass (request, response, next) {
  if (request.headers['x-answer'] === 'middleware') response.end('by the middleware')
  else next()
}

/**
 * Starts the app. Sends targets as they are, which `fetch` does not.
 *
 * @param {FastifyInstance} app
 */
async function listen (app) {
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  return async (/** @type {string} */ path, headers = {}) => {
    const request = send({ host: '127.0.0.1', port, path, headers }).end()
    const [response] = await once(request, 'response')
    return { status: response.statusCode, body: await text(response) }
  }
}

const asMiddleware = { 'x-answer': 'middleware' }

for (const [name, register] of Object.entries(NEIGHBOURS)) {
  for (const isFirst of [true, false]) {
    test(`${name}, registered ${isFirst ? 'before' : 'after'}: its middleware runs ${isFirst ? 'in front of' : 'behind'} the guard`, async t => {
      const { app, warnings } = createApp(t)
      if (isFirst) await register(app)
      await app.register(cfAccess, { ...access, prefix: '/admin' })
      if (!isFirst) await register(app)
      app.use('/admin', answerOrPass)
      app.get('/admin', async request => request.cfAccess?.email)
      app.get('/', async () => 'open')
      const ask = await listen(app)

      assert.equal((await ask('/')).body, 'open')
      assert.equal((await ask('/admin')).status, 401)
      assert.equal((await ask('/admin', alice)).body, 'alice@acme.com')
      assert.equal((await ask('/admin', { ...asMiddleware, ...alice })).body, 'by the middleware')
      const answers = await Promise.all(TARGETS.map(async target => (await ask(target, asMiddleware)).body))
      const byMiddleware = TARGETS.filter((_target, i) => answers[i] === 'by the middleware')
      if (isFirst) {
        assert.ok(byMiddleware.includes('/admin') && byMiddleware.includes('/admin/none'), 'without a token')
        assert.match(warnings.join(), /^Middleware of @fastify\/middie or @fastify\/express that was added before/)
      } else {
        assert.deepEqual(byMiddleware, [])
        assert.deepEqual(warnings, [])
      }
    })
  }

  test(`${name} at the root runs the middleware of a scope in front of the guard of this scope`, async t => {
    const { app, warnings } = createApp(t)
    await register(app)
    await app.register(async scope => {
      await scope.register(cfAccess, access)
      scope.use(answerOrPass)
      scope.get('/', async request => request.cfAccess?.email)
    }, { prefix: '/admin' })
    const ask = await listen(app)
    assert.equal((await ask('/admin')).status, 401)
    assert.equal((await ask('/admin', alice)).body, 'alice@acme.com')
    assert.equal((await ask('/admin', asMiddleware)).body, 'by the middleware')
    assert.match(warnings.join(), /^Middleware /)
  })
}

test('@fastify/express: the routes of Express under the prefix are guarded', async t => {
  const { app } = createApp(t)
  await app.register(cfAccess, { ...access, prefix: '/admin' })
  await app.register(fastifyExpress)
  app.use(answerOrPass) // Express runs where there is any middleware.
  app.express.get('/admin/:page', (/** @type {any} */ request, /** @type {any} */ response) => {
    response.send(`page ${request.params.page}`)
  })
  const ask = await listen(app)
  // Express matches paths in any case, and decodes them.
  for (const target of ['/admin/users', '/ADMIN/users', '/%61dmin/users', '/admin/users/']) {
    assert.equal((await ask(target)).status, 401, target)
    assert.equal((await ask(target, alice)).body, 'page users', target)
  }
})
