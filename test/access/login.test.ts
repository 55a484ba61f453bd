import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import {
  cfAccess, channels, guard, type CfAccessLogin, type CfAccessOptions, type CfAccessRejection
} from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)

const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8'

const expired = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })

async function start (t: Test, options: Partial<CfAccessOptions> = {}): Promise<FastifyInstance> {
  const app = createApp(t)
  await app.register(cfAccess, {
    teamDomain: team.domain,
    audience: [AUD, OTHER_AUD],
    prefix: '/admin',
    login: 'redirect',
    ...options
  })
  app.all('/admin/*', async () => 'in')
  return app
}

async function navigate (
  app: FastifyInstance, { headers = {}, ...options }: InjectOptions = {}
): Promise<LightMyRequestResponse> {
  return await app.inject({
    url: '/admin/x?y=1&z=%20',
    ...options,
    headers: { host: 'app.acme.com', accept: CHROME, ...headers }
  })
}

t.test('your app\'s own @fastify/cookie writes the cookie of the login', async t => {
  const app = createApp(t)
  await app.register(fastifyCookie)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, login: 'redirect' })
  const response = await navigate(app)
  t.equal(response.statusCode, 302)
  const [cookie] = String(response.headers['set-cookie']).split(';')
  t.match(cookie, /^cf-access-login=/)
  t.equal((await navigate(app, { headers: { cookie } })).statusCode, 401)
})

t.test('a browser without a session is sent to log in, and back to where it was going', async t => {
  const response = await navigate(await start(t))
  t.equal(response.statusCode, 302)
  const location = new URL(String(response.headers.location))
  t.equal(location.origin + location.pathname, `${team.domain}/cdn-cgi/access/login/app.acme.com`)
  t.strictSame(Object.fromEntries(location.searchParams), { kid: AUD, redirect_url: '/admin/x?y=1&z=%20' })
  t.equal(response.headers['cache-control'], 'no-store')
  t.notOk('www-authenticate' in response.headers)
  t.match(response.cookies,
    [{ name: 'cf-access-login', value: AUD, path: '/', maxAge: 60, httpOnly: true, sameSite: 'Lax' }])
})

t.test('behind a proxy that rewrites the host, the way back is the public one, and so is the tag', async t => {
  const headers = { host: 'origin.internal:3000', 'x-forwarded-host': 'app.acme.com', accept: CHROME }
  for (const trustProxy of [true, false]) {
    const app = createApp(t, { trustProxy })
    const audience = { 'app.acme.com': OTHER_AUD, 'origin.internal': AUD }
    await app.register(cfAccess, { teamDomain: team.domain, audience, login: 'redirect' })
    const { headers: { location } } = await app.inject({ url: '/x', headers })
    const [host, tag] = trustProxy ? ['app.acme.com', OTHER_AUD] : ['origin.internal', AUD]
    t.equal(location, `${team.domain}/cdn-cgi/access/login/${host}?kid=${tag}&redirect_url=%2Fx`)
  }
})

t.test('a browser whose token has expired is sent to log in', async t => {
  const app = await start(t)
  t.equal((await navigate(app, { headers: bearing(expired) })).statusCode, 302)
  t.equal((await navigate(app, { headers: { cookie: `CF_Authorization=${expired}` } })).statusCode, 302)
})

t.test('the second try within a minute is rejected', async t => {
  const app = await start(t)
  const [{ name, value }] = (await navigate(app)).cookies as [{ name: string, value: string }]
  const again = await navigate(app, { headers: { cookie: `${name}=${value}` } })
  t.equal(again.statusCode, 401)
  t.equal(again.headers['www-authenticate'], 'Cloudflare-Access')
  t.equal((await navigate(app, { headers: { cookie: `${name}=of-another-application` } })).statusCode, 302)
})

t.test('a guarded page is served to a browser with a session', async t => {
  const token = team.userToken({ email: 'a@acme.com', audience: AUD })
  t.equal((await navigate(await start(t), { headers: bearing(token) })).statusCode, 200)
})

t.test('a token that is wrong rather than old is rejected, since a login would not mend it', async t => {
  const app = await start(t)
  const strangers = await startTeam(t)
  const wrong = {
    audience: team.userToken({ email: 'a@acme.com', audience: 'c'.repeat(64) }),
    issuer: team.userToken({
      email: 'a@acme.com',
      audience: AUD,
      claims: { iss: 'https://evil.cloudflareaccess.com' }
    }),
    key: strangers.userToken({ email: 'a@acme.com', audience: AUD, claims: { iss: team.domain } }),
    signature: `${team.userToken({ email: 'a@acme.com', audience: AUD }).slice(0, -8)}AAAAAAAA`,
    form: 'x'
  }
  for (const [name, token] of Object.entries(wrong)) {
    t.equal((await navigate(app, { headers: bearing(token) })).statusCode, 401, name)
  }
})

t.test('a request that is not a browser navigation is rejected', async t => {
  const app = await start(t)
  const others: Record<string, InjectOptions> = {
    'a form': { method: 'POST' },
    HEAD: { method: 'HEAD' },
    'a program': { headers: { accept: '*/*' } },
    'a program that takes anything': { headers: { accept: 'application/json, text/html' } },
    'nothing said': { headers: { accept: '' } },
    'a look-alike': { headers: { accept: 'text/htmlx' } },
    'a script': { headers: { 'x-requested-with': 'XMLHttpRequest' } },
    'a fetch': { headers: { 'sec-fetch-mode': 'cors' } },
    'a WebSocket': { headers: { upgrade: 'websocket' } },
    'an odd host': { headers: { host: 'evil.example/..' } }
  }
  for (const [name, options] of Object.entries(others)) t.equal((await navigate(app, options)).statusCode, 401, name)
})

t.test('the way back is a path of the same origin', async t => {
  const app = await start(t, { prefix: '/' })
  const port = await listen(app)
  for (const target of ['//evil.example/x', '/\\evil.example', 'http://evil.example/x']) {
    const { status, head } = await sendRaw(port, target, { headers: { accept: CHROME } })
    t.equal(status, 302)
    const location = new URL(/^location: (.*)$/mi.exec(head)![1]!)
    t.equal(location.searchParams.get('redirect_url'), '/', target)
  }
})

t.test('without the option, and by a guard() of a route, there is no redirect', async t => {
  const plain = createApp(t)
  await plain.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  plain.get('/admin/x', async () => 'in')
  t.equal((await navigate(plain)).statusCode, 401)

  const guarded = createApp(t)
  await guarded.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false, login: 'redirect' })
  guarded.get('/admin/x', { preHandler: guard() }, async () => 'in')
  guarded.get('/admin/asking', { config: { cfAccess: true } }, async () => 'in')
  t.equal((await navigate(guarded)).statusCode, 401)
  t.equal((await navigate(guarded, { url: '/admin/asking' })).statusCode, 302)
})

t.test('X-21 a redirect to the login page is an event of its own, and not a rejection', async t => {
  const logins: CfAccessLogin[] = []
  const rejections: CfAccessRejection[] = []
  const onLogin = (message: CfAccessLogin): void => { logins.push(message) }
  const onRejection = (message: CfAccessRejection): void => { rejections.push(message) }
  channels.login.subscribe(onLogin)
  channels.rejection.subscribe(onRejection)
  t.teardown(() => { channels.login.unsubscribe(onLogin); channels.rejection.unsubscribe(onRejection) })
  const lines: string[] = []
  const app = createApp(t, {
    logger: { level: 'info', stream: { write: (line: string) => lines.push(JSON.parse(line).msg) } },
    disableRequestLogging: true
  })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, login: 'redirect' })
  app.get('/admin/x', async () => 'in')
  await app.ready()
  lines.length = 0
  t.equal((await navigate(app)).statusCode, 302)
  t.equal((await navigate(app, { url: '/none', headers: bearing(expired) })).statusCode, 302)
  t.strictSame(logins,
    [{ code: 'FST_CF_ACCESS_TOKEN_MISSING', route: '/admin/x' }, { code: 'FST_CF_ACCESS_TOKEN_EXPIRED', route: null }])
  t.strictSame(rejections, [])
  t.strictSame(lines, Array(2).fill('redirected to the Cloudflare Access login page'))
  t.equal((await navigate(app, { headers: { accept: '*/*' } })).statusCode, 401)
  t.strictSame([logins.length, rejections.length], [2, 1])
})

t.test('without keys there is no redirect', async t => {
  const app = await start(t, { keys: { timeout: '1s' } })
  team.outage('error', 'certs')
  t.teardown(() => team.outage(null))
  t.equal((await navigate(app,
    { headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD })) })).statusCode, 503)
})

t.test('logoutUrl() is the team\'s, or the application\'s own', async t => {
  const { cfAccess: access } = await start(t)
  t.equal(access.logoutUrl(), `${team.domain}/cdn-cgi/access/logout`)
  t.equal(access.logoutUrl('https://app.acme.com/bye?x=1'),
    `${team.domain}/cdn-cgi/access/logout?returnTo=https%3A%2F%2Fapp.acme.com%2Fbye%3Fx%3D1`)
  t.equal(access.logoutUrl(undefined, 'application'), '/cdn-cgi/access/logout')
  t.equal(access.logoutUrl('https://app.acme.com', 'application'),
    '/cdn-cgi/access/logout?returnTo=https%3A%2F%2Fapp.acme.com')
  for (const wrong of ['/bye', '//evil.example', 'javascript:alert(1)', 'https://', '']) {
    t.throws(() => access.logoutUrl(wrong),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /it takes an absolute http or https URL/ }, wrong)
  }
})
