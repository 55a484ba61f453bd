import { once } from 'node:events'
import fastifyAuth from '@fastify/auth'
import fastifyBasicAuth from '@fastify/basic-auth'
import fastifyBearerAuth from '@fastify/bearer-auth'
import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import fastifyUnderPressure from '@fastify/under-pressure'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, guard, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const robot = team.serviceToken({ clientId: 'e367826f93b8d71185e03fe518aff3b4.access', audience: AUD })
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }

const whoAmI = async (request: FastifyRequest): Promise<string> => request.cfAccess?.kind ?? 'anonymous'

/** The same with the neighbour registered in front of us and behind us. */
function eitherWay (
  name: string, neighbour: (app: FastifyInstance) => unknown,
  body: (t: Test, app: FastifyInstance, isFirst: boolean) => Promise<void>
): void {
  for (const isFirst of [true, false]) {
    t.test(`${name}, registered ${isFirst ? 'before' : 'after'}`, async t => {
      const app = createApp(t)
      if (isFirst) await neighbour(app)
      await app.register(cfAccess, options)
      if (!isFirst) await neighbour(app)
      await body(t, app, isFirst)
    })
  }
}

t.test('with @fastify/auth the guard stands beside bearer and basic auth, in either relation', async t => {
  const app = createApp(t)
  await app.register(fastifyAuth)
  await app.register(fastifyBearerAuth, { addHook: false, keys: new Set(['a-key']), verifyErrorLogLevel: 'silent' })
  await app.register(fastifyBasicAuth, {
    authenticate: false,
    validate: async (username, password) => { if (username !== 'root' || password !== 'secret') throw new Error('no') }
  })
  await app.register(cfAccess, { ...options, global: false })
  const bearer = app.verifyBearerAuth!
  app.get('/or/bearer', { onRequest: app.auth([guard(), bearer]) }, whoAmI)
  app.get('/or/basic', { onRequest: app.auth([app.basicAuth, guard()]) }, whoAmI)
  app.get('/and/bearer', { onRequest: app.auth([guard(), bearer], { relation: 'and' }) }, whoAmI)
  app.get('/and/basic',
    { onRequest: app.auth([app.basicAuth, guard({ include: { email: true } })], { relation: 'and' }) }, whoAmI)

  const byKey = { authorization: 'Bearer a-key' }
  const byPassword = { authorization: `Basic ${Buffer.from('root:secret').toString('base64')}` }
  const cases: ReadonlyArray<readonly [string, Record<string, string>, number, string?]> = [
    ['/or/bearer', {}, 401],
    ['/or/bearer', bearing(alice), 200, 'user'],
    ['/or/bearer', byKey, 200, 'anonymous'],
    ['/or/bearer', { ...bearing('no.good.token'), ...byKey }, 200, 'anonymous'],
    ['/or/bearer', { authorization: 'Bearer another' }, 401],
    ['/or/basic', {}, 401],
    ['/or/basic', bearing(robot), 200, 'service'],
    ['/or/basic', byPassword, 200, 'anonymous'],
    ['/and/bearer', bearing(alice), 401],
    ['/and/bearer', byKey, 401],
    ['/and/bearer', { ...bearing(alice), ...byKey }, 200, 'user'],
    ['/and/basic', { ...bearing(alice), ...byPassword }, 200, 'user'],
    ['/and/basic', { ...bearing(robot), ...byPassword }, 403],
    ['/and/basic', byPassword, 401]
  ]
  for (const [url, headers, status, body] of cases) {
    const response = await app.inject({ url, headers })
    t.equal(response.statusCode, status, `${url} ${Object.keys(headers).join(' ')}`)
    if (body !== undefined) t.equal(response.body, body)
  }
})

const preflight: InjectOptions = {
  method: 'OPTIONS',
  url: '/',
  headers: { origin: 'https://app.acme.com', 'access-control-request-method': 'GET' }
}

eitherWay('@fastify/cors', app => app.register(fastifyCors, { origin: 'https://app.acme.com' }),
  async (t, app, isFirst) => {
    app.get('/', whoAmI)
    const rejected = await app.inject({ url: '/', headers: { origin: 'https://app.acme.com' } })
    t.equal(rejected.statusCode, 401)
    t.equal(rejected.headers['access-control-allow-origin'], isFirst ? 'https://app.acme.com' : undefined,
      'a page can read a rejection when cors comes first')
    t.equal((await app.inject(preflight)).statusCode, isFirst ? 204 : 401)
    const admitted = await app.inject({ url: '/', headers: { origin: 'https://app.acme.com', ...bearing(alice) } })
    t.equal(admitted.body, 'user')
    t.equal(admitted.headers['access-control-allow-origin'], 'https://app.acme.com')
  })

t.test('@fastify/cors, registered after, answers preflights where preflight: true lets them through', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { ...options, preflight: true })
  await app.register(fastifyCors, { origin: 'https://app.acme.com' })
  app.get('/', whoAmI)
  t.equal((await app.inject(preflight)).statusCode, 204)
  t.equal((await app.inject('/')).statusCode, 401)
})

eitherWay('@fastify/helmet', app => app.register(fastifyHelmet), async (t, app, isFirst) => {
  app.get('/', whoAmI)
  const rejected = await app.inject('/')
  t.equal(rejected.statusCode, 401)
  t.equal(rejected.headers['x-frame-options'], isFirst ? 'SAMEORIGIN' : undefined,
    'a rejection has helmet\'s headers when helmet comes first')
  t.equal(rejected.headers['cache-control'], 'no-store')
  const admitted = await app.inject({ url: '/', headers: bearing(alice) })
  t.equal(admitted.body, 'user')
  t.equal(admitted.headers['x-frame-options'], 'SAMEORIGIN')
})

eitherWay('@fastify/under-pressure', app => app.register(fastifyUnderPressure, {
  exposeStatusRoute: { url: '/status', routeOpts: { config: { cfAccess: false } } },
  healthCheck: async () => false,
  pressureHandler: async ({ headers }, reply) => {
    if (headers['x-calm'] !== undefined) return
    reply.code(503)
    throw new Error('busy')
  }
}), async (t, app, isFirst) => {
  app.get('/', whoAmI)
  const calm = { 'x-calm': 'yes' }
  t.equal((await app.inject({ url: '/', headers: calm })).statusCode, 401)
  t.equal((await app.inject({ url: '/', headers: { ...calm, ...bearing(alice) } })).body, 'user')
  t.equal((await app.inject('/')).statusCode, isFirst ? 503 : 401, 'the first one answers')
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 503)
  t.equal((await app.inject({ url: '/status', headers: calm })).statusCode, 503, 'its status route may opt out')
})

eitherWay('@fastify/cookie', app => app.register(fastifyCookie, { secret: 'a secret' }), async (t, app) => {
  app.get('/', async request => ({ kind: request.cfAccess?.kind, cookies: Object.keys(request.cookies) }))
  const { headers } = await app.inject('/')
  t.equal(headers['set-cookie'], undefined)
  const response = await app.inject({ url: '/', headers: { cookie: `theme=dark; CF_Authorization=${alice}` } })
  t.strictSame(response.json(), { kind: 'user', cookies: ['theme', 'CF_Authorization'] })
})

eitherWay('@fastify/websocket', app => app.register(fastifyWebsocket), async (t, app) => {
  app.get('/', { websocket: true }, (socket, request) => { socket.send(request.cfAccess!.kind) })
  await app.ready()
  await t.rejects(app.injectWS('/'), { message: /401/ })
  let message: Promise<unknown[]>
  const socket = await app.injectWS('/', { headers: bearing(alice) },
    { onInit: socket => { message = once(socket, 'message') } })
  t.equal(String((await message!)[0]), 'user')
  socket.terminate()
})

const files = t.testdir({ 'index.html': 'home', 'plan.txt': 'secret' })

eitherWay('@fastify/static', app => app.register(fastifyStatic, { root: files, prefix: '/files/' }), async (t, app) => {
  for (const url of ['/files/plan.txt', '/files/', '/files/none.txt']) {
    t.equal((await app.inject(url)).statusCode, 401, url)
  }
  t.equal((await app.inject({ url: '/files/plan.txt', headers: bearing(alice) })).body, 'secret')
})
