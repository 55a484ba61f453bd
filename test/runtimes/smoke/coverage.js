// Which requests a guard sees.
import assert from 'node:assert/strict'
import cfAccess, { guard } from 'fastify-cf-access'
import { ALICE, ask, askRaw, AUD, bearing, check, CLIENT_ID, navigate, serve, startTeam } from './harness.js'

const team = await startTeam()
const access = { teamDomain: team.domain, audience: AUD }
const token = team.userToken({ email: ALICE, audience: AUD })

const prefixed = await serve(async app => {
  app.get('/early/admin', async () => 'early')
  app.get('/files/*', async () => 'file')
  await app.register(cfAccess, { ...access, prefix: '/admin' })
  app.get('/', async () => 'public')
  app.get('/administrator', async () => 'another path')
  app.get('/admin', async ({ cfAccess }) => `hello ${cfAccess?.email}`)
  app.get('/admin/health', { config: { cfAccess: false } }, async () => 'ok')
  app.post('/admin/orders', async ({ body }) => body)
})

await check('a prefix: an open route needs no token', async () => {
  assert.equal((await ask(prefixed.url)).body, 'public')
  assert.equal((await ask(`${prefixed.url}/administrator`)).status, 200)
})

await check('a prefix: without a token 401, with its headers', async () => {
  const { status, code, headers } = await ask(`${prefixed.url}/admin`)
  assert.deepEqual([status, code], [401, 'FST_CF_ACCESS_TOKEN_MISSING'])
  assert.equal(headers.get('www-authenticate'), 'Cloudflare-Access')
  assert.equal(headers.get('cache-control'), 'no-store')
})

await check('a prefix: a token in the header is admitted', async () => {
  const { status, body } = await ask(`${prefixed.url}/admin`, { token })
  assert.deepEqual([status, body], [200, `hello ${ALICE}`])
})

await check('a prefix: a token in the cookie is admitted', async () => {
  const cookie = `theme=dark; CF_Authorization=${token}`
  assert.equal((await ask(`${prefixed.url}/admin`, { headers: { cookie } })).body, `hello ${ALICE}`)
})

await check('a prefix: a path without a route is guarded, and 404 only with a token', async () => {
  assert.equal((await ask(`${prefixed.url}/admin/nothing`)).status, 401)
  assert.equal((await ask(`${prefixed.url}/admin/nothing`, { token })).status, 404)
})

await check('a prefix: a malformed body of an unauthenticated request is not parsed', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' }
  assert.equal((await ask(`${prefixed.url}/admin/orders`, init)).status, 401)
  assert.equal((await ask(`${prefixed.url}/admin/orders`, { ...init, token })).status, 400)
})

await check('a prefix: a body reaches an admitted handler', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"item":"desk"}', token }
  assert.equal((await ask(`${prefixed.url}/admin/orders`, init)).body, '{"item":"desk"}')
})

await check('an opt-out opens its own path only', async () => {
  assert.equal((await ask(`${prefixed.url}/admin/health`)).body, 'ok')
  assert.equal((await ask(`${prefixed.url}/admin/health/x`)).status, 401)
})

for (const target of ['/%61dmin', '/files/../admin', '/files/..%2fadmin', '/files/%2e%2e/admin', '/files/..%5cadmin',
  'http://localhost/admin', '/admin/health/../orders']) {
  await check(`a raw target that can mean the prefix is guarded: ${target}`, async () => {
    // Some servers reject a target in absolute form themselves, with 400.
    assert.match(String(await askRaw(prefixed.url, target)), /^40[01]$/)
  })
}

await check('a raw target with dot segments is admitted with a token', async () => {
  assert.equal(await askRaw(prefixed.url, '/files/..%2fadmin', [`Cf-Access-Jwt-Assertion: ${token}`]), 200)
  assert.equal(await askRaw(prefixed.url, '/files/a.txt'), 200)
})

const scoped = await serve(async app => {
  app.get('/', async () => 'public')
  await app.register(async scope => {
    await scope.register(cfAccess, access)
    scope.setNotFoundHandler((_request, reply) => reply.code(404).send({ message: 'Not found' }))
    scope.get('/', async ({ cfAccess }) => `hello ${cfAccess?.email}`)
    scope.get('/robots', { config: { cfAccess: { include: { serviceToken: true } } } }, async () => 'robots')
  }, { prefix: '/admin' })
})

await check('a scope: its routes are guarded, and others are not', async () => {
  assert.equal((await ask(scoped.url)).status, 200)
  assert.equal((await ask(`${scoped.url}/admin`)).status, 401)
  assert.equal((await ask(`${scoped.url}/admin`, { token })).body, `hello ${ALICE}`)
})

await check('a scope: its not-found handler is guarded', async () => {
  assert.equal((await ask(`${scoped.url}/admin/nothing`)).status, 401)
  assert.equal((await ask(`${scoped.url}/admin/nothing`, { token })).body, '{"message":"Not found"}')
})

await check('a scope: a route asks for more', async () => {
  assert.equal((await ask(`${scoped.url}/admin/robots`, { token })).status, 403)
  const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
  assert.equal((await ask(`${scoped.url}/admin/robots`, { token: robot })).body, 'robots')
})

const single = await serve(async app => {
  app.get('/early', { onRequest: guard() }, async ({ cfAccess }) => `hello ${cfAccess?.email}`)
  await app.register(cfAccess, { ...access, global: false })
  app.get('/', async () => 'public')
  app.get('/root', { onRequest: guard({ include: { email: 'root@acme.com' } }) }, async () => 'root')
  app.get('/asks', { config: { cfAccess: true } }, async () => 'asks')
  app.get('/optional', { config: { cfAccess: 'optional' } }, async ({ cfAccess }) => cfAccess?.email ?? 'stranger')
})

await check('a route: guard() admits with a token only, also before the plugin is loaded', async () => {
  assert.equal((await ask(single.url)).status, 200)
  assert.equal((await ask(`${single.url}/early`)).status, 401)
  assert.equal((await ask(`${single.url}/early`, { token })).body, `hello ${ALICE}`)
})

await check('a route: guard(policy) denies with 403', async () => {
  const { status, code } = await ask(`${single.url}/root`, { token })
  assert.deepEqual([status, code], [403, 'FST_CF_ACCESS_FORBIDDEN'])
})

await check('a route: config.cfAccess guards it', async () => {
  assert.equal((await ask(`${single.url}/asks`)).status, 401)
  assert.equal((await ask(`${single.url}/asks`, { token })).status, 200)
})

await check('a route: with an optional identity it is open', async () => {
  assert.equal((await ask(`${single.url}/optional`)).body, 'stranger')
  assert.equal((await ask(`${single.url}/optional`, { token })).body, ALICE)
})

await check('guard() without a registration answers 500', async () => {
  const { url } = await serve(app => { app.get('/', { onRequest: guard() }, async () => 'in') })
  const { status, code } = await ask(url, { token })
  assert.deepEqual([status, code], [500, 'FST_CF_ACCESS_NOT_REGISTERED'])
})

await check('requests of inject() are guarded', async () => {
  assert.equal((await prefixed.app.inject('/admin')).statusCode, 401)
  assert.equal((await prefixed.app.inject({ url: '/admin', headers: bearing(token) })).body, `hello ${ALICE}`)
})

await check('a POST of another origin gets 403, one of the same origin is admitted', async () => {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}', token }
  const evil = await ask(`${prefixed.url}/admin/orders`, { ...init, headers: { ...init.headers, origin: 'https://evil.example' } })
  assert.deepEqual([evil.status, evil.code], [403, 'FST_CF_ACCESS_CROSS_ORIGIN'])
  const own = await ask(`${prefixed.url}/admin/orders`, { ...init, headers: { ...init.headers, origin: prefixed.url } })
  assert.equal(own.status, 200)
})

await check('a browser without a token is redirected to the login page, once', async () => {
  const { url } = await serve(async app => {
    await app.register(cfAccess, { ...access, login: 'redirect' })
    app.get('/page', async () => 'page')
  })
  const { statusCode, headers } = await navigate(`${url}/page?a=1`)
  assert.equal(statusCode, 302)
  const location = new URL(headers.location ?? '')
  assert.equal(location.origin + location.pathname, `${team.domain}/cdn-cgi/access/login/127.0.0.1`)
  assert.deepEqual(Object.fromEntries(location.searchParams), { kid: AUD, redirect_url: '/page?a=1' })
  const [cookie = ''] = headers['set-cookie'] ?? []
  assert.equal((await navigate(`${url}/page`, { cookie: cookie.split(';')[0] ?? '' })).statusCode, 401)
  assert.equal((await ask(`${url}/page`)).status, 401)
})

await check('logoutUrl() leads to the team', () => {
  assert.equal(prefixed.app.cfAccess.logoutUrl(), `${team.domain}/cdn-cgi/access/logout`)
})
