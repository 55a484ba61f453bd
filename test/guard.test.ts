import fastifyAuth from '@fastify/auth'
import fastifyCookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyRequest, type InjectOptions } from 'fastify'
import t from 'tap'
import byDefault, { cfAccess, guard, type CfAccessIdentity, type CfAccessOptions } from '../lib/index.js'
import type { AccessTeam } from '../lib/testing/index.js'
import { expectGuarded } from './fixtures/expect.js'
import { AUD, bearing, CERTS_PATH, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await startTeam(t)
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })

const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }

const whoAmI = async (request: FastifyRequest): Promise<unknown> => ({ kind: request.cfAccess?.kind ?? null })

async function statusOf (
  app: FastifyInstance, url: string, token?: string, method: InjectOptions['method'] = 'GET'
): Promise<number> {
  return (await app.inject({ url, method, headers: token === undefined ? {} : bearing(token) })).statusCode
}

t.test('the plugin is the default and a named export', async t => {
  t.equal(byDefault, cfAccess)
})

t.test('a prefix guards what is at it and below it, and nothing else', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  for (const path of ['/', '/administrator', '/admin', '/admin/x']) app.get(path, whoAmI)
  await expectGuarded(t, app, alice, '/admin')
  await expectGuarded(t, app, alice, '/admin/x')
  t.equal(await statusOf(app, '/'), 200)
  t.equal(await statusOf(app, '/administrator'), 200)
})

t.test('a path under the prefix that does not exist is guarded as well', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  t.equal(await statusOf(app, '/admin/unknown'), 401)
  t.equal(await statusOf(app, '/admin/unknown', alice), 404)
  t.equal(await statusOf(app, '/unknown'), 404)
})

t.test('a prefix is relative to the scope it is registered in', async t => {
  const app = createApp(t)
  app.register(async scope => {
    scope.register(cfAccess, { ...options, prefix: '/admin' })
    for (const path of ['/open', '/admin/x']) scope.get(path, whoAmI)
  }, { prefix: '/v1' })
  await expectGuarded(t, app, alice, '/v1/admin/x')
  t.equal(await statusOf(app, '/v1/open'), 200)
})

t.test('a scope is guarded as a whole, with the scopes inside, and the ones beside it are not', async t => {
  const app = createApp(t)
  app.get('/', whoAmI)
  app.register(async admin => {
    admin.register(cfAccess, options)
    admin.get('/', whoAmI)
    admin.register(async inner => inner.get('/inner', whoAmI))
  }, { prefix: '/admin' })
  app.register(async other => other.get('/other', whoAmI))
  await expectGuarded(t, app, alice, '/admin')
  await expectGuarded(t, app, alice, '/admin/inner')
  t.equal(await statusOf(app, '/'), 200)
  t.equal(await statusOf(app, '/other'), 200)
})

t.test('in a scope without prefix option unknown paths are Fastify\'s own, unless the scope answers them itself', async t => {
  for (const own of [false, true]) {
    const app = createApp(t)
    app.register(async admin => {
      admin.register(cfAccess, options)
      if (own) admin.setNotFoundHandler((_request, reply) => { reply.code(404).send() })
    }, { prefix: '/admin' })
    t.equal(await statusOf(app, '/admin/unknown'), own ? 401 : 404)
    t.equal(await statusOf(app, '/admin/unknown', alice), 404)
  }
})

t.test('a route opts out with false', async t => {
  const app = createApp(t)
  app.register(async admin => {
    admin.register(cfAccess, options)
    admin.get('/health', { config: { cfAccess: false } }, whoAmI)
    admin.post('/health', whoAmI)
  })
  t.same((await app.inject('/health')).json(), { kind: null })
  await expectGuarded(t, app, alice, '/health', 'POST')
})

t.test('a route\'s policy applies in addition to the registration\'s', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, policy: { exclude: { email: 'bob@acme.com' } } })
  app.get('/keys', { config: { cfAccess: { include: { emailDomain: 'acme.com' } } } }, whoAmI)
  const token = (email: string): string => team.userToken({ email, audience: AUD })
  t.equal(await statusOf(app, '/keys', token('alice@acme.com')), 200)
  t.equal(await statusOf(app, '/keys', token('alice@elsewhere.com')), 403)
  t.equal(await statusOf(app, '/keys', token('bob@acme.com')), 403)
  t.equal(await statusOf(app, '/keys', robot), 403)
})

t.test('with global: false only routes that ask are guarded, in any hook', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, global: false })
  app.get('/', whoAmI)
  app.get('/a', { onRequest: guard() }, whoAmI)
  app.get('/b', { preValidation: guard() }, whoAmI)
  app.get('/c', { preHandler: guard() }, whoAmI)
  app.get('/d', { preHandler: [guard({ include: { email: true } }), guard({ require: { emailDomain: 'acme.com' } })] },
    whoAmI)
  app.get('/e', { config: { cfAccess: true } }, whoAmI)
  app.get('/f', { config: { cfAccess: { include: { email: true } } } }, whoAmI)
  t.equal(await statusOf(app, '/'), 200)
  for (const path of ['/a', '/b', '/c', '/d', '/e', '/f']) await expectGuarded(t, app, alice, path)
  t.equal(await statusOf(app, '/d', robot), 403)
  t.equal(await statusOf(app, '/f', robot), 403)
})

t.test('R-19 the guard finds its registration in every order of registration', async t => {
  const declare = (scope: FastifyInstance): void => { scope.get('/', { preHandler: guard() }, whoAmI) }
  const ways: Record<string, (app: FastifyInstance) => void | Promise<void>> = {
    'awaited before': async app => { await app.register(cfAccess, { ...options, global: false }); declare(app) },
    'not awaited': app => { app.register(cfAccess, { ...options, global: false }); declare(app) },
    after: app => { declare(app); app.register(cfAccess, { ...options, global: false }) },
    'around a child scope': app => { app.register(async scope => declare(scope)); app.register(cfAccess, { ...options, global: false }) },
    'in its own scope': app => { app.register(async scope => { declare(scope); scope.register(cfAccess, { ...options, global: false }) }) }
  }
  for (const [way, build] of Object.entries(ways)) {
    const app = createApp(t)
    await build(app)
    t.equal(await statusOf(app, '/'), 401, way)
    t.equal(await statusOf(app, '/', alice), 200, way)
  }
})

t.test('fastify.cfAccess.guard is the same function', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  t.equal(app.cfAccess.guard, guard)
})

t.test('a guard without any registration rejects every request', async t => {
  const app = createApp(t)
  app.get('/', { preHandler: guard() }, whoAmI)
  app.register(async scope => { scope.register(cfAccess, options) }, { prefix: '/elsewhere' })
  const response = await app.inject({ url: '/', headers: bearing(alice) })
  t.equal(response.statusCode, 500)
  t.equal(response.json().code, 'FST_CF_ACCESS_NOT_REGISTERED')
})

t.test('guard() accepts no argument or a valid policy', async t => {
  for (const policy of [undefined, null, {}, false, { includes: { email: true } }]) {
    t.throws(() => guard(policy as never), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /\bguard\(policy\)/ })
  }
})

t.test('an invalid config.cfAccess stops the start, or rejects on a route declared earlier', async t => {
  for (const wrong of [0, null, '', 'false', undefined, {}, { include: {} }]) {
    const late = createApp(t)
    await late.register(cfAccess, options)
    t.throws(() => late.get('/', { config: { cfAccess: wrong as never } }, whoAmI),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
    const early = createApp(t)
    early.get('/', { config: { cfAccess: wrong as never } }, whoAmI)
    await early.register(cfAccess, options)
    t.equal(await statusOf(early, '/', alice), 500)
  }
})

t.test('R-19 routes and scopes declared before the plugin are guarded', async t => {
  const app = createApp(t)
  app.get('/admin/early', whoAmI)
  app.register(async child => { child.get('/admin/child', whoAmI) })
  await app.after()
  app.register(cfAccess, { ...options, prefix: '/admin' })
  await expectGuarded(t, app, alice, '/admin/early')
  await expectGuarded(t, app, alice, '/admin/child')
})

t.test('two applications on one server keep their tokens apart', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/admin/billing' })
  for (const path of ['/admin/x', '/admin/billing/x']) app.get(path, whoAmI)
  const biller = team.userToken({ email: 'bob@acme.com', audience: OTHER_AUD })
  for (let times = 0; times < 2; times++) {
    t.equal(await statusOf(app, '/admin/x', alice), 200)
    t.equal(await statusOf(app, '/admin/x', biller), 401)
    t.equal(await statusOf(app, '/admin/billing/x', alice), 401)
    t.equal(await statusOf(app, '/admin/billing/x', biller), 200)
  }
})

t.test('the same path twice in one scope stops the start', async t => {
  const pairs: CfAccessOptions[][] = [[options, options], [{ ...options, prefix: '/a' }, { ...options, prefix: '/A/' }]]
  for (const [first, second] of pairs) {
    const app = Fastify()
    app.register(cfAccess, first!)
    app.register(cfAccess, second!)
    await t.rejects(async () => await app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
    await app.close()
  }
})

t.test('with several registrations equally near, a guard outside of all their prefixes rejects', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/a' })
  app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/b' })
  app.get('/c', { preHandler: guard() }, whoAmI)
  app.get('/a/c', { preHandler: guard() }, whoAmI)
  t.equal(await statusOf(app, '/c', alice), 500)
  await expectGuarded(t, app, alice, '/a/c')
})

t.test('the guard works inside @fastify/auth, alone and in relations', async t => {
  const app = createApp(t)
  await app.register(fastifyAuth)
  app.register(cfAccess, { ...options, global: false })
  const never = async (): Promise<void> => { throw new Error('no') }
  const users = guard({ include: { email: true } })
  app.get('/or', { preHandler: app.auth([never, users]) }, whoAmI)
  app.get('/and', { preHandler: app.auth([guard(), users], { relation: 'and' }) }, whoAmI)
  for (const path of ['/or', '/and']) await expectGuarded(t, app, alice, path)
  t.equal(await statusOf(app, '/and', robot), 403)
})

t.test('HEAD is guarded as GET is', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.get('/admin', whoAmI)
  await expectGuarded(t, app, alice, '/admin', 'HEAD')
})

t.test('the cookie plugin may come before, after or not at all, and the application\'s own parsing stays as it is', async t => {
  const cookie = `CF_Authorization=${alice}`
  const ways: Record<string, (app: FastifyInstance) => void> = {
    before: app => { app.register(fastifyCookie); app.register(cfAccess, options) },
    after: app => { app.register(cfAccess, options); app.register(fastifyCookie) },
    never: app => { app.register(cfAccess, options) }
  }
  for (const [way, build] of Object.entries(ways)) {
    const app = createApp(t)
    build(app)
    app.get('/', async request => Object.keys(request.cookies ?? {}))
    const response = await app.inject({ url: '/', headers: { cookie } })
    t.equal(response.statusCode, 200, way)
    t.same(response.json(), way === 'never' ? [] : ['CF_Authorization'], way)
  }
})

t.test('each kind of identity says who it is', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  app.get('/', async request => request.cfAccess)
  const ask = async (token: string): Promise<Record<string, unknown>> =>
    (await app.inject({ url: '/', headers: bearing(token) })).json()
  t.match(await ask(alice), {
    kind: 'user',
    email: 'alice@acme.com',
    subject: /^[0-9a-f-]{36}$/,
    country: 'DE',
    claims: { type: 'app', email: 'alice@acme.com' }
  })
  t.match(await ask(robot), { kind: 'service', clientId: CLIENT_ID, claims: { sub: '' } })
  t.match(await ask(team.certificateToken({ commonName: 'pump 7', audience: AUD })), {
    kind: 'certificate',
    commonName: 'pump 7'
  })
  const nowhere = await ask(team.userToken({ email: 'a@acme.com', audience: AUD, claims: { country: undefined } }))
  t.notOk('country' in nowhere)
})

t.test('times are milliseconds since the epoch', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  const identity = await app.cfAccess.verify(alice)
  t.equal(identity.issuedAt, identity.claims.iat * 1000)
  t.equal(identity.expiresAt, identity.claims.exp * 1000)
})

t.test('C-26 what a handler does to an identity changes nothing for the next request', async t => {
  const token = team.userToken({
    email: 'carol@acme.com',
    audience: AUD,
    claims: { custom: { roles: ['reader'], deep: { er: {} } } }
  })
  const app = createApp(t)
  app.register(cfAccess, options)
  const attempts: Array<(identity: any) => void> = [
    identity => { identity.email = 'root@acme.com' },
    identity => { identity.extra = true },
    identity => { identity.claims.email = 'root@acme.com' },
    identity => { identity.claims.custom.roles.push('admin') },
    identity => { identity.claims.custom.deep.er.x = 1 },
    identity => { Object.setPrototypeOf(identity, {}) }
  ]
  app.get('/', async request => {
    for (const attempt of attempts) t.throws(() => attempt(request.cfAccess), TypeError)
    return request.cfAccess
  })
  const ask = async (): Promise<string> => (await app.inject({ url: '/', headers: bearing(token) })).body
  const first = await ask()
  t.match(first, 'carol@acme.com')
  t.equal(await ask(), first)
})

t.test('requests of one token share its identity, which is not another registration\'s', async t => {
  const app = createApp(t)
  const seen: Array<CfAccessIdentity | null> = []
  app.register(cfAccess, { ...options, audience: [AUD, OTHER_AUD] })
  app.get('/', async request => { seen.push(request.cfAccess) })
  app.register(async scope => {
    scope.register(cfAccess, options)
    scope.get('/inner', async request => { seen.push(request.cfAccess) })
  })
  for (const path of ['/', '/', '/inner']) t.equal(await statusOf(app, path, alice), 200)
  t.equal(seen[0], seen[1])
  t.not(seen[0], seen[2])
})

t.test('verify() answers for tokens that come another way', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { ...options, policy: { include: { serviceToken: true } } })
  t.match(await app.cfAccess.verify(alice), { kind: 'user' }, 'and asks no policy')
  t.equal(await app.cfAccess.verify(alice), await app.cfAccess.verify(alice))
  await t.rejects(app.cfAccess.verify(`${alice}x`), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  await t.rejects(app.cfAccess.verify(team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })),
    { code: 'FST_CF_ACCESS_TOKEN_EXPIRED' })
})

t.test('fastify.cfAccess speaks for the registration nearest to the instance it is read from', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  app.register(async scope => {
    await scope.register(cfAccess, { ...options, audience: OTHER_AUD })
    await t.rejects(scope.cfAccess.verify(alice), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  })
  await app.ready()
  t.match(await app.cfAccess.verify(alice), { kind: 'user' })
  t.match(app.cfAccess.status()[0]!, { state: 'fresh' })
})

t.test('among several registrations that are equally near, fastify.cfAccess speaks for what they share', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { ...options, prefix: '/a' })
  await app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/b' })
  t.equal(app.cfAccess.guard, guard)
  t.match(app.cfAccess.status()[0]!, { state: /fresh|unavailable/ })
  await t.rejects(app.cfAccess.verify(alice), { code: 'FST_CF_ACCESS_NOT_REGISTERED' })
  await app.register(cfAccess, { ...options, teamDomain: 'http://127.0.0.1:1', prefix: '/c' })
  t.throws(() => app.cfAccess.status()[0]!, { code: 'FST_CF_ACCESS_NOT_REGISTERED' })
})

t.test('several guards on one request verify its token once', async t => {
  const own: AccessTeam = await startTeam(t)
  const token = own.userToken({ email: 'a@acme.com', audience: AUD })
  const app = createApp(t)
  const seen: unknown[] = []
  app.register(cfAccess, { teamDomain: own.domain, audience: AUD, cache: false })
  app.get('/', {
    onRequest: [guard(), async request => { seen.push(request.cfAccess) }, guard()],
    preHandler: [guard(), async request => { seen.push(request.cfAccess) }]
  }, whoAmI)
  t.equal(await statusOf(app, '/', token), 200)
  t.ok(seen[0])
  t.equal(seen[0], seen[1], 'without a cache a second verification would make a second identity')
  t.same(own.requests.map(({ path }) => path), [CERTS_PATH])
})

t.test('D-22 with the key at hand a guard is synchronous, for a new token and with a policy', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, global: false, policy: () => true })
  const guarded = guard(() => true)
  const isSynchronous: boolean[] = []
  app.get('/', {
    onRequest: (request, reply, done) => {
      let isDone = false
      guarded(request, reply, error => {
        isDone = true
        done(error)
      })
      isSynchronous.push(isDone)
    }
  }, whoAmI)
  for (let requests = 1; requests <= 2; requests++) {
    const token = team.userToken({ email: 'alice@acme.com', audience: AUD, claims: { jti: requests } })
    t.equal(await statusOf(app, '/', token), 200)
  }
  t.equal(isSynchronous.at(-1), true, 'the second token, whose key was fetched for the first')
})

t.test('guard without its parentheses says what to write, and admits no request', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  app.get('/', { onRequest: guard as never }, async () => 'in')
  const token = team.userToken({ email: 'a@acme.com', audience: AUD })
  const { statusCode, body } = await app.inject({ url: '/', headers: bearing(token) })
  t.equal(statusCode, 500)
  t.match(body, /write guard\(\), not guard/)
})
