import fastifyCors from '@fastify/cors'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, channels, guard, type CfAccessOptions, type CfAccessRejection } from '../lib/index.js'
import { expectRejected } from './fixtures/expect.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from './fixtures/index.js'
import { startEndpoint } from './fixtures/key-endpoint.js'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const optional = { config: { cfAccess: 'optional' } } as const
const tokenFor = (email: string, audience: string | string[] = AUD): string => team.userToken({ email, audience })
const good = tokenFor('a@acme.com')

/** Tokens that are rejected elsewhere. */
const BAD: Readonly<Record<string, string>> = {
  garbage: 'garbage',
  expired: team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' }),
  'another AUD tag': tokenFor('a@acme.com', OTHER_AUD),
  'a broken signature': `${good.slice(0, -8)}AAAAAAAA`
}

async function start (
  t: Test, own: Partial<CfAccessOptions> = {}, server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = createApp(t, server)
  await app.register(cfAccess, { ...options, ...own })
  return app
}

/** Answers with who the caller is. */
function greet (app: FastifyInstance, url: string, cfAccess: unknown): void {
  app.get(url, { config: { cfAccess: cfAccess as 'optional' } }, async request =>
    request.cfAccess?.kind === 'user' ? request.cfAccess.email : String(request.cfAccess))
}

async function bodyOf (app: FastifyInstance, url: string, token?: string): Promise<string> {
  const { statusCode, body } = await app.inject({ url, headers: token === undefined ? {} : bearing(token) })
  return statusCode === 200 ? body : `${statusCode} ${body}`
}

t.test('an optional route has the identity of a good token, and null else', async t => {
  const app = await start(t, { login: 'redirect' })
  greet(app, '/', 'optional')
  greet(app, '/options', { optional: true })
  greet(app, '/:parameter', 'optional')
  greet(app, '/wild/*', 'optional')
  for (const url of ['/', '/options', '/x', '/wild/x/y']) {
    t.equal(await bodyOf(app, url, good), 'a@acme.com', url)
    t.equal(await bodyOf(app, url), 'null', `${url} without a token`)
    for (const [name, token] of Object.entries(BAD)) t.equal(await bodyOf(app, url, token), 'null', `${url} ${name}`)
  }
  const page = await app.inject({ url: '/', headers: { accept: 'text/html' } })
  t.match(page, { statusCode: 200, body: 'null' }, 'no login')
})

t.test('a bad token is logged at debug, and is no rejection', async t => {
  const lines: Array<Record<string, unknown>> = []
  const rejections: CfAccessRejection[] = []
  const note = (rejection: CfAccessRejection): void => { rejections.push(rejection) }
  channels.rejection.subscribe(note)
  t.teardown(() => channels.rejection.unsubscribe(note))
  const logger = { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const app = await start(t, {}, { logger })
  greet(app, '/', 'optional')
  await bodyOf(app, '/', BAD['expired'])
  await bodyOf(app, '/')
  const reasons = lines.filter(({ msg }) => msg === 'no Cloudflare Access identity')
  t.match(reasons, [{ level: 20, code: 'FST_CF_ACCESS_TOKEN_EXPIRED', reason: 'expired' }])
  t.equal(reasons.length, 1, 'and none for a request without a token')
  t.equal(lines.filter(({ level }) => Number(level) > 30).length, 0)
  t.strictSame(rejections, [])
})

t.test('an optional route works while the keys are unavailable', async t => {
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const app = await start(t, { teamDomain: endpoint.domain })
  greet(app, '/', 'optional')
  app.get('/guarded', async () => 'in')
  t.equal(await bodyOf(app, '/', endpoint.token()), 'null')
  await expectRejected(t, app, { url: '/guarded', headers: bearing(endpoint.token()) }, 503, 'KEYS_UNAVAILABLE')
})

t.test('policies decide who has an identity', async t => {
  const app = await start(t, { policy: { exclude: { email: 'mallory@acme.com' } } })
  greet(app, '/any', 'optional')
  greet(app, '/root', { optional: { include: { email: 'root@acme.com' } } })
  greet(app, '/function', { optional: async (identity: { email?: string }) => identity.email === 'root@acme.com' })
  greet(app, '/groups', { optional: { include: { group: 'admins' } } })
  greet(app, '/broken', { optional: () => { throw new Error('a mistake') } })
  t.equal(await bodyOf(app, '/any', tokenFor('mallory@acme.com')), 'null', 'the registration denies')
  for (const url of ['/root', '/function']) {
    t.equal(await bodyOf(app, url, tokenFor('root@acme.com')), 'root@acme.com', url)
    t.equal(await bodyOf(app, url, tokenFor('b@acme.com')), 'null', url)
    t.equal(await bodyOf(app, url, tokenFor('mallory@acme.com')), 'null', url)
  }
  const admin = team.userToken({ email: 'c@acme.com', audience: AUD, identity: { groups: ['admins'] } })
  t.equal(await bodyOf(app, '/groups', admin), 'c@acme.com')
  t.equal(await bodyOf(app, '/groups', tokenFor('d@acme.com')), 'null')
  team.outage('error', 'get-identity')
  t.teardown(() => team.outage(null))
  t.equal(await bodyOf(app, '/groups', tokenFor('e@acme.com')), 'null', 'get-identity is unavailable')
  t.match(await bodyOf(app, '/broken', good), /^500 .*POLICY_FAILED/, 'a mistake of the application is not hidden')
})

t.test('an optional route is open for its own pattern only', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, prefix: '/admin' })
  app.register(cfAccess, { ...options, audience: OTHER_AUD, prefix: '/b' })
  greet(app, '/admin/hello', 'optional')
  greet(app, '/admin/hello/:name', 'optional')
  greet(app, '/files/*', false)
  const port = await listen(app)
  const statusOf = async (target: string, token?: string): Promise<number> =>
    (await sendRaw(port, target, { headers: token === undefined ? {} : bearing(token) })).status
  for (const target of ['/admin/hello', '/admin/hello/x', '/admin/hello/x%20y']) {
    t.equal(await statusOf(target), 200, target)
  }
  for (const target of ['/admin/hello/..%2fx', '/admin/hello/x%2fy', '/admin/hello/%20', '/admin/hello/..%2f..%2fb']) {
    t.equal(await statusOf(target), 401, target)
  }
  t.equal(await statusOf('/admin/hello/x%2fy', good), 200, 'a path that the route does not match is guarded')
  t.equal(await statusOf('/admin/hello/..%2fx', good), 401, 'an ambiguous one must be admitted by all')
  t.equal(await statusOf('/admin/hello/..%2fx', tokenFor('a@acme.com', [AUD, OTHER_AUD])), 200)
  t.equal(await statusOf('/admin/other'), 401)
})

t.test('a route outside every prefix has the identity of the nearest registration', async t => {
  for (const own of [{ prefix: '/admin' }, { global: false }]) {
    const app = await start(t, own)
    greet(app, '/', 'optional')
    greet(app, '/:section', 'optional')
    t.equal(await bodyOf(app, '/', good), 'a@acme.com')
    t.equal(await bodyOf(app, '/'), 'null')
    t.equal(await bodyOf(app, '/x', good), 'a@acme.com')
    t.match(await bodyOf(app, '/admin'), 'prefix' in own ? /^401/ : 'null', 'it opens no path of a prefix')
    t.equal(await bodyOf(app, '/admin', good), 'a@acme.com')
  }
})

t.test('several registrations must all admit the same identity', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  greet(app, '/outer', 'optional')
  await app.register(async inner => {
    await inner.register(cfAccess, { ...options, audience: OTHER_AUD, global: false })
    greet(inner, '/inner', 'optional')
    greet(inner, '/twice', { optional: { include: { emailDomain: 'acme.com' } } })
    inner.get('/guarded', { ...optional, onRequest: guard() }, async request => String(request.cfAccess?.kind))
  })
  t.equal(await bodyOf(app, '/outer', good), 'a@acme.com')
  for (const url of ['/inner', '/twice']) {
    t.equal(await bodyOf(app, url, tokenFor('a@acme.com', [AUD, OTHER_AUD])), 'a@acme.com', `${url}: both`)
    t.equal(await bodyOf(app, url, good), 'null', `${url}: the outer alone`)
    t.equal(await bodyOf(app, url, tokenFor('a@acme.com', OTHER_AUD)), 'null', `${url}: the inner alone`)
    const cookie = `CF_Authorization=${good}; CF_Authorization=${tokenFor('b@acme.com', OTHER_AUD)}`
    t.equal((await app.inject({ url, headers: { cookie } })).body, 'null', `${url}: two users`)
    const of = (clientId: string, audience: string): string => team.serviceToken({ clientId, audience })
    const services = `CF_Authorization=${of('a.access', AUD)}; CF_Authorization=${of('b.access', OTHER_AUD)}`
    t.equal((await app.inject({ url, headers: { cookie: services } })).body, 'null', `${url}: two services`)
  }
  await expectRejected(t, app, { url: '/guarded' }, 401, 'TOKEN_MISSING', 'a guard() beside it is not optional')
})

t.test('users of two teams are two users, also with one subject', async t => {
  const other = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, options)
  await app.register(async inner => {
    await inner.register(cfAccess, { teamDomain: other.domain, audience: AUD, global: false })
    greet(inner, '/', 'optional')
  })
  const cookie = [team, other]
    .map(its => its.userToken({ email: 'a@acme.com', audience: AUD, claims: { sub: 'one' } }))
    .map(token => `CF_Authorization=${token}`).join('; ')
  t.equal((await app.inject({ url: '/', headers: { cookie } })).body, 'null')
})

t.test('X-25 a request of another origin has no identity', async t => {
  const app = await start(t)
  app.post('/', optional, async request => request.cfAccess?.kind ?? 'none')
  const headers = { ...bearing(good), host: 'app.example.com', origin: 'https://evil.example' }
  t.equal((await app.inject({ method: 'POST', url: '/', headers })).body, 'none')
  const own = { ...headers, origin: 'https://app.example.com' }
  t.equal((await app.inject({ method: 'POST', url: '/', headers: own })).body, 'user')
})

t.test('no shared cache keeps an answer that depends on the caller', async t => {
  const app = createApp(t)
  await app.register(fastifyCors, { origin: ['https://a.example', 'https://b.example'] })
  await app.register(cfAccess, options)
  greet(app, '/', 'optional')
  app.get('/own', optional, async (_request, reply) => {
    reply.headers({ 'cache-control': 'no-store', vary: '*' })
    return 'in'
  })
  for (const token of [good, BAD['garbage']!]) {
    const { headers } = await app.inject({ url: '/', headers: bearing(token) })
    t.match(headers, { vary: 'Origin, Cookie, Cf-Access-Jwt-Assertion', 'cache-control': 'private' })
  }
  t.match((await app.inject('/own')).headers, { vary: '*', 'cache-control': 'no-store' }, 'a handler\'s own')
  const plain = await start(t)
  greet(plain, '/', 'optional')
  plain.addHook('onRequest', async (_request, reply) => { reply.header('x-later', '1') })
  const { headers } = await plain.inject('/')
  t.equal(headers.vary, 'Cookie, Cf-Access-Jwt-Assertion')
  t.equal(headers['cache-control'], 'private')
  const early = createApp(t)
  early.addHook('onRequest', async (_request, reply) => { reply.header('cache-control', 'max-age=5') })
  await early.register(cfAccess, options)
  greet(early, '/', 'optional')
  t.match((await early.inject('/')).headers, { 'cache-control': 'max-age=5' })
})

t.test('an optional configuration that cannot be right', async t => {
  for (const [cfAccess, message] of [
    ['Optional', /is 'Optional'; it takes true, false, 'optional', a policy or \{ policy, optional, trustedOrigins \}/],
    [undefined, /config\.cfAccess is undefined; it takes true, false, 'optional'/],
    [{ optional: false }, /optional is false; it takes a policy/],
    [{ optional: true, policy: { include: { email: true } } }, /has both "policy" and "optional"; write optional: policy/],
    [{ trustedOrigins: ['*'] }, /"config\.cfAccess\.trustedOrigins" has '\*'/],
    [{ trustedOrigins: [], include: { email: true } }, /"include" is not known; the known ones are policy, optional, trustedOrigins/],
    [{ trustedOrigin: [] }, /"trustedOrigin" is not known/],
    [{ policy: undefined }, /policy is undefined/]
  ] as const) {
    const app = await start(t)
    t.throws(() => greet(app, '/', cfAccess), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message }, String(message))
  }
})

t.test('a policy with trusted origins', async t => {
  const app = await start(t, { global: false })
  const policy = { include: { email: 'root@acme.com' } }
  app.post('/', { config: { cfAccess: { policy, trustedOrigins: 'any' } } }, async () => 'in')
  const statusOf = async (token: string): Promise<number> => {
    const headers = { ...bearing(token), origin: 'https://idp.example' }
    return (await app.inject({ method: 'POST', url: '/', headers })).statusCode
  }
  t.equal(await statusOf(tokenFor('root@acme.com')), 200)
  t.equal(await statusOf(good), 403)
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 401, 'an object guards the route')
})
