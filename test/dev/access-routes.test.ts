import Fastify from 'fastify'
import { decodeJwt } from 'jose'
import t from 'tap'
import type { AccessEdge } from '../../lib/dev/index.js'
import { cfAccess } from '../../lib/index.js'
import { stopClock } from '../fixtures/clock.js'
import { ask, askEcho, API, BROWSER, cookieIn, post, serve, serveEcho, signIn, startEdge } from '../fixtures/edge.js'

const ALICE = {
  email: 'alice@acme.com',
  name: 'Alice',
  groups: ['admins'],
  claims: { custom: { department: 'finance' } },
  country: 'FR'
}
const MEAN = {
  email: '"><script>alert(1)</script>@acme.com',
  name: '<b>Mean</b>',
  groups: [{ name: '</pre>' }, { email: 'g@acme.com' }, { id: 'g1' }, {}]
}

stopClock(t)
const to = await serveEcho(t)
const edge = await startEdge(t, { to, users: [ALICE, MEAN, { email: 'plain@acme.com' }], session: '5m' })
const { audience } = edge.applications[0]!

t.test('a browser signs in and comes back to where it was going', async t => {
  const asked = await ask(`${edge.domain}/a/b?c=1&d=%2F`, { headers: BROWSER })
  t.equal(asked.status, 302)
  t.equal(asked.headers['cache-control'], 'no-store')
  const login = new URL(asked.headers.location!, edge.domain)
  t.equal(login.origin + login.pathname, `${edge.domain}/cdn-cgi/access/login/127.0.0.1`)
  t.strictSame(Object.fromEntries(login.searchParams), { kid: audience, redirect_url: '/a/b?c=1&d=%2F' })

  const page = await ask(login.href, { headers: BROWSER })
  t.equal(page.status, 200)
  t.match(page.body, 'value="alice@acme.com"')

  const done = await post(edge, { email: 'alice@acme.com', kid: audience, redirect_url: '/a/b?c=1&d=%2F' })
  t.equal(done.status, 303)
  t.equal(done.headers.location, '/a/b?c=1&d=%2F')
  t.match(cookieIn(done.headers), /^CF_Authorization=[\w.-]+; Max-Age=300; Path=\/; HttpOnly; SameSite=Lax$/)

  const cookie = cookieIn(done.headers).split(';')[0]!
  const received = await askEcho(edge.domain + done.headers.location!, { headers: { ...BROWSER, cookie } })
  t.equal(received.url, '/a/b?c=1&d=%2F')
  t.equal(received.headers['cf-access-authenticated-user-email'], 'alice@acme.com')
  t.equal(`CF_Authorization=${received.headers['cf-access-jwt-assertion']}`, cookie)
})

t.test('the plugin takes its token, and learns the user\'s groups and claims', async t => {
  const { origin, server } = await serve(t, () => {})
  const own = await startEdge(t, { to: origin, users: [ALICE] })
  const app = Fastify({ serverFactory: handler => server.removeAllListeners('request').on('request', handler) })
  t.teardown(() => app.close())
  await app.register(cfAccess, {
    teamDomain: own.domain,
    audience: own.applications[0]!.audience,
    policy: { include: { group: 'admins' } }
  })
  app.get('/', async ({ cfAccess }) => ({ ...cfAccess!.claims, ...await cfAccess!.details() }))
  await app.ready()
  const { status, body } = await ask(own.domain, { headers: await signIn(own, 'ALICE@acme.com') })
  t.equal(status, 200)
  t.match(JSON.parse(body), {
    name: 'Alice',
    groups: [{ name: 'admins' }],
    country: 'FR',
    custom: { department: 'finance' }
  })
  t.equal((await ask(own.domain, { headers: await signIn(own, 'other@acme.com') })).status, 403)
  t.equal((await ask(origin)).status, 401, 'and nothing else')
})

t.test('its issuer is rejected in production', async t => {
  t.intercept(process, 'env', { value: { ...process.env, NODE_ENV: 'production' } })
  await t.rejects(async () => { await Fastify().register(cfAccess, { teamDomain: edge.domain, audience }) },
    { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
})

t.test('requests that are not browser navigations get 401', async t => {
  const questions = {
    'a client that wants JSON': { headers: API },
    'a client that does not say': {},
    'a script\'s request': { headers: { ...BROWSER, 'x-requested-with': 'XMLHttpRequest' } },
    'a fetch': { headers: { ...BROWSER, 'sec-fetch-mode': 'cors' } },
    'a form': { method: 'POST', headers: BROWSER }
  }
  for (const [name, question] of Object.entries(questions)) {
    const { status, headers, body } = await ask(edge.domain, question)
    t.equal(status, 401, name)
    t.equal(headers['www-authenticate'], 'Cloudflare-Access')
    t.equal(headers['cache-control'], 'no-store')
    t.match(body, 'FST_CF_ACCESS_EDGE_LOGIN_REQUIRED')
  }
})

t.test('a cookie that is not a session of this emulator is ignored', async t => {
  const other = await startEdge(t, { to })
  const { cookie } = await signIn(edge, 'alice@acme.com')
  const [header, payload, signature] = cookie.split('.')
  const forged =
    Buffer.from(JSON.stringify({ ...decodeJwt(cookie.split('=')[1]!), email: 'root@acme.com' })).toString('base64url')
  for (const value of ['CF_Authorization=', 'CF_Authorization=x', `${header}.${forged}.${signature}`,
    `${header}.${payload}.`, (await signIn(other, 'alice@acme.com')).cookie]) {
    t.equal((await ask(edge.domain, { headers: { cookie: value } })).status, 401, value.slice(0, 30))
  }
  t.equal((await ask(edge.domain, { headers: { cookie } })).status, 200)
})

t.test('a session ends when it was to end', async t => {
  const headers = await signIn(edge, 'alice@acme.com')
  const { exp, iat } = decodeJwt(headers.cookie.split('=')[1]!)
  t.equal(exp! - iat!, 300)
  t.equal((await ask(edge.domain, { headers })).status, 200)
  t.intercept(Date, 'now', { value: () => exp! * 1000 })
  t.equal((await ask(edge.domain, { headers })).status, 401)
  t.equal((await ask(edge.domain, { headers: { ...headers, ...BROWSER } })).status, 302)
})

t.test('an address that is not configured can be typed', async t => {
  const headers = await signIn(edge, '  carol@elsewhere.example ')
  t.equal((await askEcho(edge.domain, { headers })).headers['cf-access-authenticated-user-email'],
    'carol@elsewhere.example')
  const { headers: received } = await askEcho(edge.domain, { headers: await signIn(edge, '王@elsewhere.example') })
  t.equal(String(Buffer.from(String(received['cf-access-authenticated-user-email']), 'latin1')), '王@elsewhere.example')
})

t.test('an invalid e-mail address is shown again as it was typed', async t => {
  for (const email of ['', 'carol', '<i>@', 'a@b@c']) {
    const { status, headers, body } = await post(edge, { email, redirect_url: '/x' })
    t.equal(status, 400, email)
    t.notOk(headers['set-cookie'])
    t.match(body, `“${email.replace('<i>', '&lt;i&gt;')}” is not an e-mail address`)
    t.match(body, 'name="redirect_url" value="/x"')
  }
  t.equal((await post(edge, {})).status, 400)
})

t.test('a login leads nowhere but here', async t => {
  for (const target of ['https://evil.example/', '//evil.example', '/\\evil.example', '/\t/evil.example', '/\n',
    'javascript:alert(1)', 'x', '']) {
    const { status, headers } = await post(edge, { email: 'alice@acme.com', redirect_url: target })
    t.equal(status, 303, target)
    t.equal(headers.location, '/', target)
  }
  t.equal((await post(edge, { email: 'alice@acme.com', redirect_url: '/x//y?z=https://a' })).headers.location,
    '/x//y?z=https://a')
})

t.test('a form sent from another site is rejected', async t => {
  const email = 'alice@acme.com'
  const senders = [{ origin: 'https://evil.example' }, { origin: 'null' }, { origin: 'http://localhost:1' },
    { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }]
  for (const headers of senders) {
    const { status, headers: { 'set-cookie': cookie }, body } = await post(edge, { email }, headers)
    t.equal(status, 403, JSON.stringify(headers))
    t.match(body, 'FST_CF_ACCESS_EDGE_FORM')
    t.notOk(cookie)
  }
  t.equal((await post(edge, { email }, { 'sec-fetch-site': 'same-origin' })).status, 303)
})

async function openLogin (
  path = '/cdn-cgi/access/login', headers = {}
): Promise<{ headers: Record<string, unknown>, body: string }> {
  return ask(edge.domain + path, { headers: { ...BROWSER, ...headers } })
}

t.test('the login page runs nothing, loads nothing from elsewhere, and is shown in no frame', async t => {
  const { headers, body } = await openLogin()
  t.equal(headers['content-security-policy'],
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
  t.match(headers, {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store'
  })
  t.notMatch(body, /<script|<style|\sstyle=|\son\w+=|javascript:/i)
  const addresses = [...body.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, address]) => address)
  t.strictSame([...new Set(addresses)], ['/cdn-cgi/access/emulator.css', '/cdn-cgi/access/login'])
  const style = await ask(`${edge.domain}/cdn-cgi/access/emulator.css`)
  t.equal(style.headers['content-type'], 'text/css; charset=utf-8')
  t.match(style.body, 'prefers-color-scheme: dark')
  t.notMatch(style.body, /url\(|@import/)
})

t.test('it says that it is not Cloudflare', async t => {
  t.match((await openLogin()).body, '<strong>Not Cloudflare.</strong>')
})

t.test('it shows who one can be, and the claims of the token each would get', async t => {
  const { body } = await openLogin(`/cdn-cgi/access/login/127.0.0.1?kid=${audience}&redirect_url=/x`)
  const [alice, mean] = [...body.matchAll(/<pre><code>(.*?)<\/code>/gs)].map(
    ([, text]) => JSON.parse(text!.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>')))
  t.match(alice, {
    aud: [audience],
    email: 'alice@acme.com',
    iss: edge.domain,
    type: 'app',
    country: 'FR',
    custom: { department: 'finance' }
  })
  t.equal(alice.exp - alice.iat, 300)
  t.equal(mean.email, MEAN.email)
  t.match(body, '<span>admins</span>')
  t.notMatch(body, /plain@acme\.com.*class="groups"/s)
  t.match(body, '<code>/x</code>')
})

t.test('everything on the page is escaped', async t => {
  const { body } = await openLogin(`/cdn-cgi/access/login?redirect_url=${encodeURIComponent('/"><script>')}`)
  t.notMatch(body, /<script|<b>|<span><\/pre>/)
  t.match(body, 'value="/&quot;&gt;&lt;script&gt;"')
})

t.test('everything on it has a name and can be reached without a mouse', async t => {
  const { body } = await openLogin()
  t.match(body, '<html lang="en">')
  for (const landmark of ['<header>', '<main>', '<h1>', '<title>']) t.match(body, landmark)
  t.match(body, '<label for="email">')
  t.match(body, '<input id="email" name="email" type="email" required')
  t.notMatch(body, /tabindex|<div[^>]*onclick/)
})

t.test('the login page names the signed-in user', async t => {
  const { body } = await openLogin(undefined, await signIn(edge, 'alice@acme.com'))
  t.match(body, 'You are signed in as <strong>alice@acme.com</strong>')
})

async function whoIs (edge: AccessEdge, headers: Record<string, string>): Promise<[number, Record<string, unknown>]> {
  const { status, body } = await ask(`${edge.domain}/cdn-cgi/access/get-identity`, { headers })
  return [status, JSON.parse(body)]
}

t.test('get-identity answers for a session', async t => {
  t.match(await whoIs(edge, await signIn(edge, 'alice@acme.com')),
    [200, { email: 'alice@acme.com', name: 'Alice', groups: ['admins'], geo: { country: 'FR' } }])
  t.match(await whoIs(edge, await signIn(edge, 'carol@acme.com')),
    [200, { email: 'carol@acme.com', name: 'carol', groups: [] }])
  t.strictSame(await whoIs(edge, {}), [400, { err: 'no app token set' }])
  t.strictSame(await whoIs(edge, { cookie: 'CF_Authorization=x' }), [400, { err: 'unable to find app token' }])
})

t.test('logging out ends the session, not the cookie alone', async t => {
  const headers = await signIn(edge, 'alice@acme.com')
  const other = await signIn(edge, 'alice@acme.com')
  t.equal((await ask(edge.domain, { headers })).status, 200)
  const { status, headers: answered, body } = await ask(`${edge.domain}/cdn-cgi/access/logout`,
    { headers: { ...BROWSER, ...headers } })
  t.equal(status, 200)
  t.match(cookieIn(answered), /^CF_Authorization=; Max-Age=0; Path=\//)
  t.match(answered['content-security-policy'], "default-src 'none'")
  t.match(body, '/cdn-cgi/access/login/127.0.0.1?kid=')
  t.equal((await ask(edge.domain, { headers })).status, 401)
  t.strictSame(await whoIs(edge, headers), [400, { err: 'unable to find app token' }])
  t.equal((await ask(edge.domain, { headers: other })).status, 200, 'and no other session')
})

t.test('logging out leads on to an address of this origin, and to no other', async t => {
  const logOut =
    async (returnTo: string) => ask(`${edge.domain}/cdn-cgi/access/logout?${new URLSearchParams({ returnTo })}`)
  for (const [returnTo, location] of [[`${edge.domain}/bye?a=1`, '/bye?a=1'], ['/bye', '/bye'],
    [edge.domain, '/']] as const) {
    const { status, headers } = await logOut(returnTo)
    t.strictSame([status, headers.location], [302, location], returnTo)
  }
  for (const returnTo of ['https://evil.example/', '//evil.example', '/\\evil.example', 'http://127.0.0.1:1/',
    'javascript:alert(1)', 'http://[']) {
    const { status, headers, body } = await logOut(returnTo)
    t.strictSame([status, headers.location], [200, undefined], returnTo)
    t.match(body, 'it was not followed')
  }
})
