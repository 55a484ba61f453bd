import { decodeJwt, decodeProtectedHeader } from 'jose'
import t from 'tap'
import {
  accessHeadersInEverySpelling, API, ask, askEcho, BROWSER, logIn, pairIn, serve, serveEcho, signIn, startEdge,
  variableOf, visit
} from '../fixtures/edge.js'

const ROBOT = { clientId: 'e367826f93b8d71185e03fe518aff3b4.access', clientSecret: 's3cr=et' }
const INTERN = { clientId: '09fe267ad20b0775ed49b8574b1a8aa5.access', clientSecret: 'cfast_x' }

const to = await serveEcho(t)
const edge = await startEdge(t, {
  to,
  users: [{ email: 'alice@acme.com', groups: ['admins'] }, { email: 'bob@acme.com', groups: ['staff'] }],
  serviceTokens: [ROBOT, INTERN],
  applications: [
    { path: '/admin', name: 'The back office', audience: 'admin-tag', policy: { include: { group: 'admins', serviceToken: ROBOT.clientId } } },
    { path: '/', audience: 'root-tag' },
    { path: '/admin/open' }
  ]
})
const guarded = await startEdge(t, { to, applications: [{ path: '/admin' }] })

const ACCESS_HEADERS = {
  'cf-access-jwt-assertion': 'forged',
  'cf-access-authenticated-user-email': 'root@acme.com',
  'cf-access-token': 'forged',
  'cf-access-user-of-tomorrow': 'forged',
  Cf_Access_Jwt_Assertion: 'forged',
  'cf-access_authenticated-user-email': 'root@acme.com'
}

function pair ({ clientId, clientSecret }: typeof ROBOT): Record<string, string> {
  return { 'CF-Access-Client-Id': clientId, 'CF-Access-Client-Secret': clientSecret }
}

t.test('headers that only Access may send never come from a client', async t => {
  const session = await signIn(edge, 'alice@acme.com')
  const own = await askEcho(edge.url, { headers: { ...session, ...ACCESS_HEADERS } })
  const names = Object.keys(own.headers).filter(name => /access/.test(name))
  t.strictSame(names, ['cf-access-jwt-assertion', 'cf-access-authenticated-user-email'])
  t.equal(own.headers['cf-access-authenticated-user-email'], 'alice@acme.com')
  t.equal(decodeJwt(String(own.headers['cf-access-jwt-assertion']))['email'], 'alice@acme.com')

  const open = await askEcho(`${guarded.url}/public`,
    { headers: { ...ACCESS_HEADERS, ...pair(ROBOT), 'x-own': 'kept' } })
  t.strictSame(Object.keys(open.headers).filter(name => /access/.test(name)), [])
  t.equal(open.headers['x-own'], 'kept')
})

t.test('X-28 no header reaches the application that it could read as one of Access\'s, in any spelling', async t => {
  const names = ['cf-accessory', 'x-cf-access-jwt-assertion', 'cfaccess-token', 'cf--access-x']
  const kept = Object.fromEntries(names.map(name => [name, 'kept']))
  const headers = { ...accessHeadersInEverySpelling(), ...kept }
  const open = await askEcho(`${guarded.url}/public`, { headers })
  t.strictSame(Object.keys(open.headers).filter(name => variableOf(name).startsWith('HTTP_CF_ACCESS_')), [])
  t.match(open.headers, kept)
  const own = await askEcho(edge.url, { headers: { ...headers, ...await signIn(edge, 'alice@acme.com') } })
  t.strictSame(Object.keys(own.headers).filter(name => variableOf(name).startsWith('HTTP_CF_ACCESS_')),
    ['cf-access-jwt-assertion', 'cf-access-authenticated-user-email'])
  t.notMatch(JSON.stringify(own.headers), 'forged')
})

t.test('a client cannot have the headers taken away either', async t => {
  const headers = {
    ...await signIn(edge, 'alice@acme.com'),
    connection: 'close, cf-access-jwt-assertion, cf-access-authenticated-user-email'
  }
  t.match((await askEcho(edge.url, { headers })).headers, {
    'cf-access-jwt-assertion': /./, 'cf-access-authenticated-user-email': 'alice@acme.com'
  })
})

t.test('the application sees the host, and all else, as the client sent it', async t => {
  const headers = {
    ...await signIn(edge, 'alice@acme.com'),
    'user-agent': 'Test',
    'accept-language': 'de',
    authorization: 'Basic eA=='
  }
  const received = await askEcho(`${edge.url}/x?a=%20&a=b+c&&d`, { headers })
  t.equal(received.url, '/x?a=%20&a=b+c&&d')
  t.match(received.headers, { ...headers, host: edge.url.slice('http://'.length) })
})

t.test('the application learns what Cloudflare says of every request, and a client cannot say it', async t => {
  const forged = { 'cf-connecting-ip': '192.0.2.1', 'cf-ray': 'forged', 'cf-ipcountry': 'US', 'x-forwarded-proto': 'x' }
  const own = await askEcho(edge.url, { headers: { ...forged, ...await signIn(edge, 'alice@acme.com') } })
  const facts = { 'cf-connecting-ip': '127.0.0.1', 'cf-ray': /^[0-9a-f]{16}-[A-Z]{3}$/, 'x-forwarded-proto': 'http' }
  t.match(own.headers, { ...facts, 'cf-ipcountry': 'DE', 'x-forwarded-for': '127.0.0.1' })
  const open = await askEcho(`${guarded.url}/public`,
    { headers: { ...forged, 'x-forwarded-for': '192.0.2.1, 192.0.2.2' } })
  t.match(open.headers, { ...facts, 'cf-ipcountry': 'XX', 'x-forwarded-for': '192.0.2.1, 192.0.2.2, 127.0.0.1' })
})

t.test('applications by hostname and path, each with its own upstream', async t => {
  const [main, api, shop] = await Promise.all([0, 1, 2].map(async id =>
    (await serve(t, (_request, response) => { response.end(String(id)) })).origin))
  const site = await startEdge(t, {
    to: main!,
    users: [{ email: 'a@acme.com' }],
    applications: [
      { path: '/' },
      { path: '/api', to: api! },
      { hostname: 'shop.localhost', path: '/buy', to: shop!, audience: 'shop', policy: { include: { email: 'a@acme.com' } } }
    ]
  })
  t.equal(new Set(site.applications.map(({ audience }) => audience)).size, 3)
  t.strictSame(site.applications.map(({ name }) => name), ['/', '/api', 'shop.localhost/buy'])
  const session = await signIn(site, 'a@acme.com')
  t.equal((await ask(`${site.url}/apis`, { headers: session })).body, '0')
  t.equal((await ask(`${site.url}/api/x`, { headers: session })).body, '1')
  const atShop = site.url.replace('127.0.0.1', 'shop.localhost')
  t.equal((await visit(`${atShop}/look`)).body, '0', 'public, and to the default')
  const asked = await visit(`${atShop}/buy?x`)
  t.match(asked.headers.location, `${site.domain}/cdn-cgi/access/login/shop.localhost?kid=shop&redirect_url=%2Fbuy%3Fx`)
  const atHost = await signIn(site, 'a@acme.com', 'shop', 'shop.localhost')
  t.equal((await visit(`${atShop}/buy`, { headers: atHost })).body, '2')
  t.equal((await visit(`${atShop}/buy`, { headers: await signIn(site, 'b@acme.com', '', 'shop.localhost') })).status, 403)
})

t.test('a bypassed path is open, with no token and to its own upstream, and nothing around it is', async t => {
  const probe = await serveEcho(t)
  const site = await startEdge(t, {
    to,
    applications: [{ path: '/admin' }, { path: '/admin/health', to: probe, policy: 'bypass', audience: 'never-used' }]
  })
  t.strictSame(site.applications.map(({ path }) => path), ['/admin'])
  const session = await signIn(site, 'alice@example.com')
  for (const headers of [{}, session, { 'cf-access-jwt-assertion': 'forged' }]) {
    const { headers: received } = await askEcho(`${site.url}/admin/health/x`, { headers })
    t.equal(received['cf-access-jwt-assertion'], undefined)
    t.match(received, { 'cf-ipcountry': 'XX' })
  }
  for (const path of ['/admin', '/admin/healthy', '/admin/none']) {
    t.equal((await visit(`${site.url}${path}`)).status, 302, path)
  }
})

t.test('a line for what is unusual, or for everything', async t => {
  const lines: string[] = []
  for (const verbose of [false, true]) {
    const log = (line: string): void => { lines.push(line) }
    const policy = { include: { email: 'a@acme.com' } }
    const loud = await startEdge(t, { to, log, verbose, applications: [{ path: '/', name: 'App', policy }] })
    const { host } = new URL(loud.url)
    const login = `POST ${new URL(loud.domain).host}/cdn-cgi/access/login/127.0.0.1 303`
    const callback = `GET ${host}/cdn-cgi/access/authorized 303`
    const [a, b] = [await signIn(loud, 'a@acme.com'), await signIn(loud, 'b@acme.com')]
    await ask(`${loud.url}/x?secret`)
    await ask(`${loud.url}/x`, { headers: a })
    await ask(loud.url, { headers: b })
    await ask(loud.url, { headers: { ...a, host: 'evil.example' } })
    await loud.close()
    const all = [
      `${login}: a@acme.com logs in to App`, callback, `${login}: b@acme.com logs in to App`, callback,
      `GET ${host}/x 302: no session`, `GET ${host}/x 200`,
      `GET ${host}/ 403: the policy of / denies by its "include"`,
      'GET evil.example/ 421: only for 127.0.0.1 and localhost'
    ]
    t.strictSame(lines.splice(0), verbose ? all : all.filter(line => / \d{3}: /.test(line)))
  }
})

t.test('a service token\'s pair of headers becomes a token', async t => {
  const { headers } = await askEcho(edge.url, { headers: pair(ROBOT) })
  t.match(decodeJwt(String(headers['cf-access-jwt-assertion'])), {
    common_name: ROBOT.clientId,
    sub: '',
    aud: ['root-tag'],
    type: 'app'
  })
  t.strictSame(Object.keys(headers).filter(name => /access/.test(name)), ['cf-access-jwt-assertion'])
  t.equal((await askEcho(`${edge.url}/admin`, { headers: pair(ROBOT) })).url, '/admin')
})

t.test('a wrong, incomplete or repeated pair gets 401, whatever else the request has', async t => {
  const { cookie } = await signIn(edge, 'alice@acme.com')
  const right = pair(ROBOT)
  const wrong = {
    'another\'s secret': { ...right, 'CF-Access-Client-Secret': INTERN.clientSecret },
    'an unknown ID': { ...right, 'CF-Access-Client-Id': 'x.access' },
    'no secret': { 'CF-Access-Client-Id': ROBOT.clientId },
    'no ID': { 'CF-Access-Client-Secret': ROBOT.clientSecret },
    'an empty secret': { ...right, 'CF-Access-Client-Secret': '' },
    'a name of every object': { 'CF-Access-Client-Id': 'constructor', 'CF-Access-Client-Secret': 'x' },
    'two IDs': { ...right, 'CF-Access-Client-Id': [ROBOT.clientId, ROBOT.clientId] },
    'two secrets': { ...right, 'CF-Access-Client-Secret': [ROBOT.clientSecret, ROBOT.clientSecret] }
  }
  for (const [name, headers] of Object.entries(wrong)) {
    const { status, body } = await ask(edge.url, { headers: { ...BROWSER, ...headers, cookie } })
    t.equal(status, 401, name)
    t.match(body, 'FST_CF_ACCESS_EDGE_SERVICE_TOKEN')
  }
})

t.test('a right pair that no policy admits gets 403, and a cookie beside it does not help', async t => {
  const { cookie } = await signIn(edge, 'alice@acme.com', 'admin-tag')
  t.equal((await ask(`${edge.url}/admin`, { headers: { cookie } })).status, 200)
  const { status, headers } = await ask(`${edge.url}/admin`, { headers: { ...pair(INTERN), cookie } })
  t.equal(status, 403)
  t.equal(headers['cf-access-error'], 'include')
  t.notOk(headers['set-cookie'])
})

t.test('a user that the policy denies gets 403: a page for a browser, JSON for other clients', async t => {
  const session = await signIn(edge, 'bob@acme.com', 'admin-tag')
  const page = await ask(`${edge.url}/admin?x=1`, { headers: { ...session, ...BROWSER } })
  t.equal(page.status, 403)
  t.match(page.headers, {
    'cf-access-error': 'include',
    'cache-control': 'no-store',
    'content-security-policy': /default-src 'none'/
  })
  t.match(page.body, /The back office.*bob@acme\.com.*<code>include<\/code>.*&quot;group&quot;: &quot;admins&quot;.*&quot;staff&quot;/s)
  t.match(page.body, 'kid=admin-tag&amp;redirect_url=%2Fadmin%3Fx%3D1')

  const json = await ask(`${edge.url}/admin`, { headers: { ...session, ...API } })
  t.equal(json.status, 403)
  t.equal(json.headers['cf-access-error'], 'include')
  t.match(JSON.parse(json.body), { code: 'FST_CF_ACCESS_EDGE_FORBIDDEN', message: /\/admin.*"include"/ })

  t.equal((await ask(`${edge.url}/admin`, { headers: await signIn(edge, 'alice@acme.com') })).status, 200)
})

t.test('the page of a denial shows a policy that is a function, too', async t => {
  for (const policy of [() => false, { include: { email: 'x@acme.com' }, exclude: { country: 'FR' } }]) {
    const closed = await startEdge(t, { to, applications: [{ path: '/', policy }] })
    const { status, body } =
      await ask(closed.url, { headers: { ...BROWSER, ...await signIn(closed, 'bob@acme.com') } })
    t.equal(status, 403)
    t.match(body,
      typeof policy === 'function' ? '<code>&quot;a function&quot;</code>' : '&quot;country&quot;: &quot;FR&quot;')
  }
})

t.test('the longest path decides, and one session serves every application', async t => {
  const session = await signIn(edge, 'bob@acme.com', 'root-tag')
  const ends = decodeJwt(session.cookie.split('=')[1]!)
  for (const [path, audience] of [['/', 'root-tag'], ['/administrator', 'root-tag'],
    ['/admin/open/x', edge.applications[2]!.audience]] as const) {
    const { status, headers, body } = await ask(edge.url + path, { headers: session })
    t.equal(status, 200, path)
    const claims = decodeJwt(JSON.parse(body).headers['cf-access-jwt-assertion'])
    t.strictSame(claims.aud, [audience])
    t.match(claims, { exp: ends.exp, identity_nonce: ends['identity_nonce'], sub: ends.sub, email: 'bob@acme.com' })
    t.equal(headers['set-cookie'] === undefined, audience === 'root-tag', 'the browser gets the new token too')
  }
})

t.test('what belongs to no application is public, without login and token', async t => {
  const { headers } = await askEcho(`${guarded.url}/public`,
    { headers: { ...BROWSER, ...await signIn(guarded, 'alice@example.com') } })
  t.notOk(headers['cf-access-jwt-assertion'])
  t.match(headers.cookie, /^CF_Authorization=/, 'the browser sends its cookie to public paths as well')
  t.equal((await ask(`${guarded.url}/admin`, { headers: BROWSER })).status, 302)
})

t.test('several paths can share one AUD tag, each with its own policy', async t => {
  const policy = { include: { email: 'alice@acme.com' } }
  const one = await startEdge(t,
    { to, applications: [{ path: '/', audience: 'tag' }, { path: '/admin', audience: 'tag', name: 'The back office', policy }] })
  t.match((await ask(`${one.domain}/cdn-cgi/access/login?kid=tag&redirect_url=/admin/x`)).body, 'The back office')
  const session = await signIn(one, 'bob@acme.com')
  t.equal((await ask(one.url, { headers: session })).status, 200)
  const { status, headers } = await ask(`${one.url}/admin`, { headers: session })
  t.strictSame([status, headers['set-cookie']], [403, undefined])
})

t.test('a login without an AUD tag is for the application of its target, else for the first', async t => {
  for (const [form, audience] of [
    [{ redirect_url: '/admin/x' }, 'admin-tag'], [{ redirect_url: '/x' }, 'root-tag'], [{ redirect_url: '/x', kid: 'admin-tag' }, 'admin-tag'], [{ redirect_url: '/x', kid: 'unknown' }, 'root-tag']
  ] as const) {
    const { application: { headers } } = await logIn(edge, { email: 'alice@acme.com', ...form })
    t.strictSame(decodeJwt(pairIn(headers).split('=')[1]!).aud, [audience])
  }
  const { application: { headers } } = await logIn(guarded, { email: 'alice@acme.com', redirect_url: '/public' })
  t.strictSame(decodeJwt(pairIn(headers).split('=')[1]!).aud, [guarded.applications[0]!.audience])
})

t.test('an application is found by any spelling of its path', async t => {
  t.equal((await ask(guarded.url, { target: '/public' })).status, 200)
  for (const target of ['/admin', '/ADMIN', '/%61dmin', '/%2561dmin', '/./admin', '/x/../admin', '//admin', '/admin;x',
    '/x%2f..%2fadmin', '\\admin']) {
    const { status } = await ask(guarded.url, { target })
    t.ok([400, 302, 404].includes(status), `${target}: ${status}`)
  }
  t.equal((await ask(guarded.url, { target: `/${'a'.repeat(1100)};` })).status, 400,
    'an ambiguous target is rejected')
})

t.test('/cdn-cgi never reaches the application', async t => {
  for (const target of ['/cdn-cgi', '/cdn-cgi/', '/cdn-cgi/x', '/cdn-cgi/access/x', '/cdn-cgi/access/certs/x',
    '/CDN-CGI/access/certs', '/%63dn-cgi/x', '/./cdn-cgi/x', '/x/../cdn-cgi/x', '//cdn-cgi/x', '/x%2f..%2fcdn-cgi']) {
    const { status, body } = await ask(guarded.url, { target })
    t.ok(status === 404 || status === 400, `${target}: ${status}`)
    t.notMatch(body, '"url"')
  }
  t.equal((await ask(guarded.url, { target: '/cdn-cgi/x', method: 'POST' })).status, 404)
  t.equal((await ask(guarded.url, { target: '/cdn-cgix' })).status, 200)
})

t.test('it answers to names of this machine alone', async t => {
  const port = Number(new URL(guarded.url).port)
  for (const host of ['127.0.0.1', `127.0.0.1:${port}`, '127.0.0.1:1']) {
    t.equal((await ask(`${guarded.url}/public`, { headers: { host } })).status, 200, host)
  }
  for (const host of [`localhost:${port}`, 'app.localhost', 'LOCALHOST', `[::1]:${port}`]) {
    const { status, body } = await ask(`${guarded.url}/public`, { headers: { ...BROWSER, host } })
    t.equal(status, 421, host)
    t.match(body, `No application has the hostname <code>${host}</code>`, host)
    t.match(body, `href="${guarded.url}/admin"`, host)
  }
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example',
    'evil-localhost']) {
    for (const path of ['/public', '/cdn-cgi/access/login', '/cdn-cgi/access/certs']) {
      t.equal((await ask(guarded.url + path, { headers: { host } })).status, 421, `${host} ${path}`)
    }
  }
})

t.test('tokens name the key that signed them', async t => {
  const { cookie } = await signIn(edge, 'alice@acme.com')
  const { body } = await ask(`${edge.url}/cdn-cgi/access/certs`)
  t.equal(decodeProtectedHeader(cookie.split('=')[1]!).kid, JSON.parse(body).keys[0].kid)
})
