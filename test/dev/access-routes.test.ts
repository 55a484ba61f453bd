import Fastify from 'fastify'
import { decodeJwt } from 'jose'
import t from 'tap'
import { cfAccess } from '../../lib/index.js'
import { stopClock } from '../fixtures/clock.js'
import {
  API, ask, askEcho, BROWSER, cookieIn, HANDSHAKE, logIn, pairIn, post, serve, serveEcho, signIn, startEdge, visit,
  type Question
} from '../fixtures/edge.js'

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
  const asked = await ask(`${edge.url}/a/b?c=1&d=%2F`, { headers: BROWSER })
  t.equal(asked.status, 302)
  t.equal(asked.headers['cache-control'], 'no-store')
  const login = new URL(asked.headers.location!)
  t.equal(login.origin + login.pathname, `${edge.domain}/cdn-cgi/access/login/127.0.0.1`)
  t.not(edge.domain, edge.url, 'another origin')
  const { meta, ...query } = Object.fromEntries(login.searchParams)
  t.strictSame(query, { kid: audience, redirect_url: '/a/b?c=1&d=%2F' })
  t.match(decodeJwt(meta!), { type: 'meta', aud: audience, hostname: '127.0.0.1', redirect_url: '/a/b?c=1&d=%2F' })

  const page = await ask(login.href, { headers: BROWSER })
  t.equal(page.status, 200)
  t.match(page.body, 'value="alice@acme.com"')
  t.match(page.body, `<code>${edge.url}/a/b?c=1&amp;d=%2F</code>`)

  const { team, application } =
    await logIn(edge, { email: 'alice@acme.com', kid: audience, redirect_url: '/a/b?c=1&d=%2F' })
  t.match(team.headers.location, `${edge.url}/cdn-cgi/access/authorized?code=`)
  t.match(application, { status: 303, headers: { location: '/a/b?c=1&d=%2F', 'cache-control': 'no-store' } })
  const attributes = /^CF_Authorization=[\w.-]+; Max-Age=300; Path=\/; HttpOnly; SameSite=Lax$/
  t.match(cookieIn(team.headers), attributes)
  t.match(cookieIn(application.headers), attributes)

  const cookie = pairIn(application.headers)
  const received = await askEcho(edge.url + application.headers.location!, { headers: { ...BROWSER, cookie } })
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
  const { status, body } = await ask(own.url, { headers: await signIn(own, 'ALICE@acme.com') })
  t.equal(status, 200)
  t.match(JSON.parse(body), {
    name: 'Alice',
    groups: [{ name: 'admins' }],
    country: 'FR',
    custom: { department: 'finance' }
  })
  t.equal((await ask(own.url, { headers: await signIn(own, 'other@acme.com') })).status, 403)
  t.equal((await ask(origin)).status, 401, 'and nothing else')
})

t.test('its issuer is rejected in production', async t => {
  t.intercept(process, 'env', { value: { ...process.env, NODE_ENV: 'production' } })
  await t.rejects(async () => { await Fastify().register(cfAccess, { teamDomain: edge.domain, audience }) },
    { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
})

t.test('every client without a session is redirected, as the edge does', async t => {
  const questions: Readonly<Record<string, Question>> = {
    'a browser': { headers: BROWSER },
    'a client that wants JSON': { headers: API },
    'a client that does not say, such as curl': {},
    'a fetch': { headers: { accept: '*/*', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' } },
    'a form': { method: 'POST', headers: BROWSER },
    'a WebSocket': { headers: HANDSHAKE }
  }
  for (const [name, question] of Object.entries(questions)) {
    const { status, headers } = await ask(`${edge.url}/x`, question)
    t.equal(status, 302, name)
    t.equal(new URL(headers.location!).origin, edge.domain, name)
    t.equal(headers['cache-control'], 'no-store')
    t.notOk(headers['access-control-allow-origin'], 'so a fetch cannot follow')
  }
})

t.test('a script\'s request that says so gets 401, and a CORS preflight 403', async t => {
  const script = await ask(edge.url, { headers: { ...API, 'x-requested-with': 'XMLHttpRequest' } })
  t.match(script, { status: 401, body: /FST_CF_ACCESS_EDGE_LOGIN_REQUIRED/, headers: { 'cache-control': 'no-store' } })
  const preflight = { origin: 'https://web.example', 'access-control-request-method': 'PUT' }
  t.equal((await ask(edge.url, { method: 'OPTIONS', headers: preflight })).status, 403)
  t.equal((await ask(edge.url, { method: 'OPTIONS', headers: { origin: preflight.origin } })).status, 302)
})

t.test('a lenient edge answers all but browsers with 401', async t => {
  const lenient = await startEdge(t, { to, lenient: true })
  for (const headers of [API, {}, HANDSHAKE]) t.equal((await ask(lenient.url, { headers })).status, 401)
  t.equal((await ask(lenient.url, { headers: BROWSER })).status, 302)
})

t.test('with Managed OAuth clients learn where to get a token', async t => {
  const { url } = await startEdge(t, { to, managedOauth: true })
  const { status, headers, body } = await ask(url, { headers: API })
  const metadata = `${url}/.well-known/cloudflare-access-protected-resource/`
  t.equal(status, 401)
  t.equal(headers['www-authenticate'], 'Bearer realm="OAuth", error="invalid_token", ' +
    `error_description="Missing or invalid access token", resource_metadata="${metadata}"`)
  t.strictSame(JSON.parse(body), {
    error: 'invalid_token', error_description: 'Missing or invalid access token', resource_metadata: metadata
  })
  t.equal((await ask(url, { headers: BROWSER })).status, 302)
})

t.test('cookies can be as Access\'s are by default', async t => {
  const none = await startEdge(t, { to, sameSite: 'none' })
  const { team, application } = await logIn(none, { email: 'a@acme.com' })
  for (const { headers } of [team, application]) t.match(cookieIn(headers), /; HttpOnly; Secure; SameSite=None$/)
})

t.test('the code that ends a login works once, for a minute, on its own hostname', async t => {
  const two = await startEdge(t, { to, applications: [{ path: '/' }, { hostname: 'app.localhost', path: '/' }] })
  const begin = async (hostname: string): Promise<string> =>
    (await post(two, { email: 'a@acme.com' }, {}, hostname)).headers.location!
  const used = await begin('app.localhost')
  t.match(await visit(used), { status: 303, headers: { 'set-cookie': [/^CF_Authorization=/] } })
  const elsewhere = new URL(await begin('app.localhost'))
  elsewhere.hostname = '127.0.0.1'
  const late = await begin('127.0.0.1')
  const unknown = `${two.url}/cdn-cgi/access/authorized`
  t.intercept(Date, 'now', { value: ((now: number) => () => now)(Date.now() + 60_001) })
  for (const address of [used, elsewhere.href, late, unknown, `${unknown}?code=`, `${unknown}?code=__proto__`]) {
    const { status, headers, body } = await visit(address)
    t.strictSame([status, headers['set-cookie']], [400, undefined], address)
    t.match(body, 'FST_CF_ACCESS_EDGE_CODE')
  }
})

t.test('the team\'s cookie is no session of an application, and the reverse', async t => {
  const { team, application } = await logIn(edge, { email: 'alice@acme.com' })
  t.equal((await ask(edge.url, { headers: { cookie: pairIn(team.headers) } })).status, 302)
  t.equal((await ask(edge.url, { headers: { cookie: pairIn(application.headers) } })).status, 200)
  t.match((await openLogin(undefined, { cookie: pairIn(team.headers) })).body, 'You are signed in as')
  t.notMatch((await openLogin(undefined, { cookie: pairIn(application.headers) })).body, 'You are signed in as')
})

t.test('a cookie that is not a session of this emulator is ignored', async t => {
  const other = await startEdge(t, { to })
  const { cookie } = await signIn(edge, 'alice@acme.com')
  const [header, payload, signature] = cookie.split('.')
  const forged =
    Buffer.from(JSON.stringify({ ...decodeJwt(cookie.split('=')[1]!), email: 'root@acme.com' })).toString('base64url')
  for (const value of ['CF_Authorization=', 'CF_Authorization=x', `${header}.${forged}.${signature}`,
    `${header}.${payload}.`, (await signIn(other, 'alice@acme.com')).cookie]) {
    t.equal((await ask(edge.url, { headers: { cookie: value } })).status, 302, value.slice(0, 30))
  }
  t.equal((await ask(edge.url, { headers: { cookie } })).status, 200)
})

t.test('a session ends when it was to end', async t => {
  const headers = await signIn(edge, 'alice@acme.com')
  const { exp, iat } = decodeJwt(headers.cookie.split('=')[1]!)
  t.equal(exp! - iat!, 300)
  t.equal((await ask(edge.url, { headers })).status, 200)
  t.intercept(Date, 'now', { value: () => exp! * 1000 })
  t.equal((await ask(edge.url, { headers })).status, 302)
})

t.test('an address that is not configured can be typed', async t => {
  const headers = await signIn(edge, '  carol@elsewhere.example ')
  t.equal((await askEcho(edge.url, { headers })).headers['cf-access-authenticated-user-email'],
    'carol@elsewhere.example')
  const { headers: received } = await askEcho(edge.url, { headers: await signIn(edge, '王@elsewhere.example') })
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

t.test('a login leads to an application of the emulator, and nowhere else', async t => {
  const leadsTo = async (target: string): Promise<string | undefined> =>
    (await logIn(edge, { email: 'alice@acme.com', redirect_url: target })).application.headers.location
  for (const target of ['https://evil.example/', '//evil.example', '/\\evil.example', '/\t/evil.example', '/\n',
    'javascript:alert(1)', 'x', '']) {
    t.equal(await leadsTo(target), '/', target)
  }
  t.equal(await leadsTo('/x//y?z=https://a'), '/x//y?z=https://a')
  for (const hostname of ['evil.example', 'localhost', 'other.localhost', '127.0.0.1:80', '127.0.0.1@evil.example',
    '__proto__']) {
    const { headers } = await post(edge, { email: 'alice@acme.com' }, {}, encodeURIComponent(hostname))
    t.match(headers.location, new RegExp(`^${edge.url}/`), hostname)
  }
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
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'")
  t.match(headers, {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store'
  })
  t.notMatch(body, /<script|<style|\sstyle=|\son\w+=|javascript:/i)
  const addresses = [...body.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, address]) => address)
  t.strictSame([...new Set(addresses)], ['/cdn-cgi/access/emulator.css', '/cdn-cgi/access/login/127.0.0.1'])
  const style = await ask(`${edge.url}/cdn-cgi/access/emulator.css`)
  t.equal(style.headers['content-type'], 'text/css; charset=utf-8')
  t.match(style.body, 'prefers-color-scheme: dark')
  t.notMatch(style.body, /url\(|@import/)
})

t.test('it says that it is not Cloudflare', async t => {
  t.match((await openLogin()).body, '<strong>Not Cloudflare.</strong>')
})

t.test('it shows who one can be, and the claims of the token each would get', async t => {
  const { body } = await openLogin(`/cdn-cgi/access/login/127.0.0.1?kid=${audience}&redirect_url=/x`)
  const [alice, mean] = [...body.matchAll(/<pre tabindex="0"><code>(.*?)<\/code>/gs)].map(
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
  t.match(body, `<code>${edge.url}/x</code>`)
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
  t.notMatch(body, /tabindex="[^0]|<div[^>]*onclick/)
})

t.test('the login page names the signed-in user', async t => {
  const { team } = await logIn(edge, { email: 'alice@acme.com' })
  const { body } = await openLogin(undefined, { cookie: pairIn(team.headers) })
  t.match(body, 'You are signed in as <strong>alice@acme.com</strong>')
})

async function whoIs (origin: string, headers: Record<string, string>): Promise<[number, Record<string, unknown>]> {
  const { status, body } = await ask(`${origin}/cdn-cgi/access/get-identity`, { headers })
  return [status, JSON.parse(body)]
}

t.test('get-identity answers for a session, on the application\'s site and on the team\'s', async t => {
  for (const origin of [edge.url, edge.domain]) {
    t.match(await whoIs(origin, await signIn(edge, 'alice@acme.com')),
      [200, { email: 'alice@acme.com', name: 'Alice', groups: ['admins'], geo: { country: 'FR' } }])
    t.match(await whoIs(origin, await signIn(edge, 'carol@acme.com')),
      [200, { email: 'carol@acme.com', name: 'carol', groups: [] }])
    t.strictSame(await whoIs(origin, {}), [400, { err: 'no app token set' }])
    t.strictSame(await whoIs(origin, { cookie: 'CF_Authorization=x' }), [400, { err: 'unable to find app token' }])
  }
})

t.test('logging out on either site ends the session, not the cookie alone', async t => {
  const other = await signIn(edge, 'alice@acme.com')
  for (const site of ['team', 'application'] as const) {
    const login = await logIn(edge, { email: 'alice@acme.com' })
    const headers = { cookie: pairIn(login.application.headers) }
    t.equal((await ask(edge.url, { headers })).status, 200)
    const origin = site === 'team' ? edge.domain : edge.url
    const { status, headers: answered, body } = await ask(`${origin}/cdn-cgi/access/logout`,
      { headers: { ...BROWSER, cookie: pairIn(login[site].headers) } })
    t.equal(status, 200)
    t.match(cookieIn(answered), /^CF_Authorization=; Max-Age=0; Path=\//)
    t.match(answered['content-security-policy'], "default-src 'none'")
    t.match(body, `href="${edge.url}/"`)
    t.equal((await ask(edge.url, { headers })).status, 302)
    t.strictSame(await whoIs(edge.url, headers), [400, { err: 'unable to find app token' }])
    t.equal((await ask(edge.url, { headers: other })).status, 200, 'and no other session')
  }
})

t.test('logging out leads on to an address of the emulator, and to no other', async t => {
  const logOut = async (returnTo: string) =>
    ask(`${edge.domain}/cdn-cgi/access/logout?${new URLSearchParams({ returnTo })}`)
  for (const [returnTo, location] of [[`${edge.url}/bye?a=1`, `${edge.url}/bye?a=1`],
    [edge.url, `${edge.url}/`], ['/bye', `${edge.domain}/bye`], [edge.domain, `${edge.domain}/`]] as const) {
    const { status, headers } = await logOut(returnTo)
    t.strictSame([status, headers.location], [302, location], returnTo)
  }
  const { port } = new URL(edge.url)
  for (const returnTo of ['https://evil.example/', '//evil.example', '/\\evil.example', 'http://127.0.0.1:1/',
    `https://127.0.0.1:${port}/`, `http://other.localhost:${port}/`, `http://127.0.0.1:${port}@evil.example/`,
    'javascript:alert(1)', 'http://[']) {
    const { status, headers, body } = await logOut(returnTo)
    t.strictSame([status, headers.location], [200, undefined], returnTo)
    t.match(body, 'it was not followed')
  }
})

t.test('the team\'s site has no application, and an application\'s no login', async t => {
  for (const path of ['/', '/x', '/cdn-cgix']) {
    const { status, body } = await ask(edge.domain + path, { headers: BROWSER })
    t.equal(status, 421, path)
    t.match(body, `href="${edge.url}/"`)
  }
  t.match(await ask(edge.domain, { headers: API }), { status: 421, body: /FST_CF_ACCESS_EDGE_HOSTNAME/ })
  t.equal((await ask(`${edge.domain}/cdn-cgi/x`)).status, 404)
  for (const method of ['GET', 'POST']) {
    const headers = { origin: edge.url, 'content-type': 'application/x-www-form-urlencoded' }
    t.equal((await ask(`${edge.url}/cdn-cgi/access/login/127.0.0.1`, { method, headers })).status, 404, method)
  }
})
