// The recipe for forward authentication behind a real nginx and a real Caddy. Not part of `npm test`, which needs none.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, beforeEach, test } from 'node:test'
import Fastify from 'fastify'
import { createAccessTeam } from 'fastify-cf-access/testing'
import { WebSocket } from 'ws'
import { forwardAuth } from '../../example/recipes/forward-auth.js'
import { freePort } from '../fixtures/free-port.js'
import {
  FORGED, namesIn, send, startCaddy, startNginx, startUpstream, testForgedHeaders, UPGRADE
} from '../fixtures/gateway.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'
const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await createAccessTeam()
const alice = team.userToken({ email: 'alice@acme.com', audience: AUDIENCE, claims: { sub: 'a-1' } })
const root = team.userToken({ email: 'root@acme.com', audience: AUDIENCE, claims: { sub: 'r-1' } })
const mallory = team.userToken({ email: 'mallory@evil.com', audience: AUDIENCE })
const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUDIENCE })
const foreign = team.userToken({ email: 'root@acme.com', audience: 'another-tag' })
const forged = `${root.slice(0, -8)}AAAAAAAA`

/** @param {string} token */
const bearing = token => `Cf-Access-Jwt-Assertion: ${token}`

/** @type {Parameters<typeof forwardAuth>[2]} */
const POLICIES = {
  staff: { include: { emailDomain: 'acme.com', serviceToken: true } },
  admins: { include: { email: 'root@acme.com' } }
}

/** @param {string} teamDomain @param {'strip' | 'pass'} [credentials] */
async function startAccess (teamDomain, credentials) {
  const app = Fastify({ forceCloseConnections: true })
  await forwardAuth(app, { teamDomain, audience: AUDIENCE }, POLICIES, credentials)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port, close: () => app.close() }
}

const access = await startAccess(team.domain)
const upstream = await startUpstream()

class Gateway {
  /** @type {Awaited<ReturnType<typeof startNginx>> | null} */
  #running = null

  /** @param {string} name @param {typeof startNginx} start */
  constructor (name, start) {
    this.name = name
    this.start = start
  }

  async open () {
    this.#running = await this.start({ app: upstream.port, access: access.port })
  }

  get port () {
    assert.ok(this.#running)
    return this.#running.port
  }

  /**
   * @param {string} target
   * @param {readonly string[]} [lines]
   * @param {Parameters<typeof send>[3]} [more]
   */
  async ask (target, lines, more) {
    return await send(this.port, target, lines, more)
  }

  /** Also where it did not start. */
  async close () {
    await this.#running?.close()
  }
}

const nginx = new Gateway('nginx', startNginx)
const caddy = new Gateway('Caddy', startCaddy)
const gateways = [nginx, caddy]

before(async () => { await Promise.all(gateways.map(gateway => gateway.open())) })

beforeEach(() => { upstream.seen.length = 0 })

after(async () => {
  await Promise.all(gateways.map(gateway => gateway.close()))
  await Promise.all([access.close(), upstream.close(), team.close()])
})

/** @param {string} title @param {(gateway: Gateway) => Promise<void>} run */
function testEach (title, run) {
  for (const gateway of gateways) test(`${gateway.name}: ${title}`, async () => await run(gateway))
}

for (const [title, lines, expected] of /** @type {const} */ ([
  ['no token', [], 401],
  ['a forged token', [bearing(forged)], 401],
  ['a token of another application', [bearing(foreign)], 401],
  ['two tokens', [bearing(alice), bearing(alice)], 401],
  ['a forged cookie', [`Cookie: CF_Authorization=${forged}`], 401],
  ['a user that no policy allows', [bearing(mallory)], 403],
  ['a user', [bearing(alice)], 200],
  ['a service', [bearing(robot)], 200],
  ['the cookie in place of the header', [`Cookie: CF_Authorization=${alice}`], 200],
  ['the second of two cookies', [`Cookie: CF_Authorization=${forged}; CF_Authorization=${alice}`], 200]
])) {
  testEach(`${title}: ${expected}`, async gateway => { await expectAnswer(gateway, '/a/b?c=%2f', lines, expected) })
}

for (const [title, target, lines, expected] of /** @type {const} */ ([
  ['a user that the policy of the location denies', '/admin', [bearing(alice)], 403],
  ['a service that the policy of the location denies', '/admin/x', [bearing(robot)], 403],
  ['a user that the policy of the location allows', '/admin/users?all', [bearing(root)], 200],
  ['the internal location', '/_access/staff', [bearing(root)], 404],
  ['a path of Cloudflare\'s', '/cdn-cgi/access/authorized', [], 404],
  ['the open location', '/public/logo.png', [], 200]
])) {
  test(`nginx: ${title}: ${expected}`, async () => { await expectAnswer(nginx, target, lines, expected) })
}

/** @param {Gateway} gateway @param {string} target @param {readonly string[]} lines @param {number} expected */
async function expectAnswer (gateway, target, lines, expected) {
  const { status, body } = await gateway.ask(target, lines)
  assert.equal(status, expected)
  assert.equal(body === 'from the upstream', expected === 200)
  assert.deepEqual(upstream.seen.map(({ url }) => url), expected === 200 ? [target] : [])
}

testEach('the upstream gets the identity, and no credentials', async gateway => {
  const secrets = ['CF-Access-Client-Id: a', 'CF-Access-Client-Secret: b', 'Cf-Access-Token: c', 'Accept-Language: fr']
  const cookie = 'Cookie: a=1; CF_Authorization=x; b="2; 3"; CF_Authorization=y;c'
  await gateway.ask('/', [bearing(alice), ...secrets, cookie])
  await gateway.ask('/', [bearing(robot), 'Cookie: CF_Authorization=x'])
  const [first, second] = upstream.seen
  assert.equal(first?.headers['x-auth-kind'], 'user')
  assert.equal(first?.headers['x-auth-subject'], 'a-1')
  assert.equal(first?.headers['x-auth-email'], 'alice@acme.com')
  assert.equal(first?.headers['accept-language'], 'fr')
  assert.equal(first?.headers.cookie, 'a=1; b="2; 3";c')
  assert.equal(second?.headers['x-auth-kind'], 'service')
  assert.equal(second?.headers['x-auth-subject'], CLIENT_ID)
  for (const request of [first, second]) assert.ok(!JSON.stringify(request).includes('eyJ'), 'no token')
  // Caddy empties what it has no value for.
  for (const request of [first, second]) {
    for (const name of namesIn(request).filter(name => name.startsWith('cf-'))) assert.equal(request?.headers[name], '')
  }
  for (const name of ['x-auth-email', 'cookie']) assert.equal(second?.headers[name] ?? '', '')
})

testForgedHeaders([...FORGED, 'X-Auth-Email '], async sent => {
  await nginx.ask('/', [bearing(robot), ...sent])
  await nginx.ask('/', [bearing(alice), ...sent])
  const guarded = upstream.seen.splice(0)
  await nginx.ask('/public/', sent)
  await nginx.ask('/public/', [bearing(alice), ...sent])
  return { guarded, open: upstream.seen.splice(0) }
})

testForgedHeaders([...FORGED, 'CF_ACCESS-JWT_ASSERTION'], async sent => {
  const answers = [await caddy.ask('/', [bearing(robot), ...sent]), await caddy.ask('/', [bearing(alice), ...sent])]
  for (const { status } of answers) assert.equal(status, sent.some(line => /^connection.*x-auth/i.test(line)) ? 400 : 200)
  return { guarded: upstream.seen.splice(0) }
})

testEach('the encoded values cannot add a header, and each is decoded to what it was', async gateway => {
  const subjects = ['a\r\nX-Auth-Kind: service', '日本,100%', 'half \ud800', '\u0000\u007f\u0085\u2028']
  for (const [i, sub] of subjects.entries()) {
    const email = ['jürgen@acme.com', '田中@acme.com', 'a,b%40c@acme.com', '"a"\u{1f600}@acme.com'][i] ?? ''
    await gateway.ask('/', [bearing(team.userToken({ email, audience: AUDIENCE, claims: { sub } }))])
    const headers = upstream.seen[i]?.headers ?? {}
    assert.equal(headers['x-auth-kind'], 'user')
    assert.match(String(headers['x-auth-subject']), /^[!-~]+$/)
    assert.equal(decodeURIComponent(String(headers['x-auth-subject'])), sub.replace('\ud800', '\ufffd'))
    assert.equal(decodeURIComponent(String(headers['x-auth-email'])), email)
  }
})

for (const [title, method, lines, expected] of /** @type {const} */ ([
  ['a POST from a page of another site', 'POST', ['Sec-Fetch-Site: cross-site'], 403],
  ['a POST from a page of another hostname', 'POST', ['Sec-Fetch-Site: same-site', 'Origin: https://evil.example'], 403],
  ['a POST of an old browser from another origin', 'POST', ['Origin: https://evil.example'], 403],
  ['a POST that says it is a GET', 'POST', ['Origin: https://evil.example', 'X-Forwarded-Method: GET'], 403],
  ['a POST that says it has another host', 'POST', ['Origin: https://evil.example', 'X-Forwarded-Host: evil.example'], 403],
  ['a DELETE from another origin', 'DELETE', ['Origin: null'], 403],
  ['an upgrade from another origin', 'GET', [...UPGRADE, 'Origin: https://evil.example'], 403],
  ['an upgrade to another protocol from another origin', 'GET', ['Connection: Upgrade', 'Upgrade: other', 'Origin: null'], 403],
  ['a POST of the own page', 'POST', ['Sec-Fetch-Site: same-origin'], 200],
  ['a POST of the own page in an old browser', 'POST', ['Origin: http://127.0.0.1'], 200],
  ['a POST of a program', 'POST', [], 200],
  ['a GET from another site', 'GET', ['Sec-Fetch-Site: cross-site'], 200]
])) {
  testEach(`${title}: ${expected}`, async gateway => {
    const body = method === 'POST' ? 'a=1' : ''
    const { status } = await gateway.ask('/', [`Cookie: CF_Authorization=${alice}`, ...lines], { method, body })
    assert.equal(status, expected)
    const arrived = upstream.seen.map(request => [request.method, request.body])
    assert.deepEqual(arrived, expected === 200 ? [[method, body]] : [])
  })
}

// What nginx itself takes for /admin, and what only another reader does.
const SAME = ['/admin', '/%61dmin', '/admin/', '/admin?/public/', '/%61%64min/x']
const AMBIGUOUS = [
  '//admin', '/public//../admin', '/public/../admin', '/public/..%2fadmin', '/x/..%2fadmin', '/public/%2e%2e/admin',
  '/public/.%2e/admin', '/public/..', '/./admin', '/public/..;/admin', '/public/..%3b/admin', '/public/;/../admin',
  '/public/..\\admin', '/public/..%5cadmin', '/public/%252e%252e/admin', '/%2561dmin', '/public/%2e%2e%2fadmin',
  '/public/..%c0%afadmin', '/public/#/../admin', '/admin%00', '/public%2f..%2fadmin', '/admin%0d%0aX-Auth-Kind:%20user'
]

for (const target of SAME) {
  test(`nginx: the path ${target} is in the location of the admins`, async () => {
    assert.equal((await nginx.ask(target)).status, 401)
    assert.equal((await nginx.ask(target, [bearing(alice)])).status, 403)
    assert.deepEqual(upstream.seen, [])
    assert.equal((await nginx.ask(target, [bearing(root)])).status, 200)
    assert.match(upstream.seen.map(({ url }) => url).join(), /^\/admin/, 'in the form that nginx has compared')
  })
}

for (const target of AMBIGUOUS) {
  test(`nginx: the ambiguous path ${target} is rejected`, async () => {
    for (const lines of [[], [bearing(alice)], [bearing(root)]]) {
      assert.equal((await nginx.ask(target, lines)).status, 400)
    }
    assert.deepEqual(upstream.seen, [])
  })
}

for (const target of [...SAME, ...AMBIGUOUS]) {
  test(`Caddy: one policy holds for every path, such as ${target}`, async () => {
    for (const [lines, expected] of /** @type {const} */ ([[[], 401], [[bearing(mallory)], 403]])) {
      const { status } = await caddy.ask(target, lines)
      assert.ok(status === expected || status === 400, String(status))
    }
    assert.deepEqual(upstream.seen, [])
  })
}

testEach('paths that contain blanks and letters beyond ASCII are passed on', async gateway => {
  const target = '/a%20b/%C3%BC.txt?q=%2f..%2f'
  assert.equal((await gateway.ask(target, [bearing(alice)])).status, 200)
  assert.equal(upstream.seen[0]?.url, target)
})

testEach('a WebSocket opens with a token, and the upstream knows who opened it', async gateway => {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/live`,
    { headers: { cookie: `a=1; CF_Authorization=${alice}`, 'x-auth-email': 'root@acme.com' } })
  await once(socket, 'open')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  assert.equal(String(message), 'echo hello')
  socket.close()
  await once(socket, 'close')
  const headers = upstream.seen[0]?.headers
  assert.equal(headers?.['x-auth-email'], 'alice@acme.com')
  assert.equal(headers?.cookie, 'a=1')
})

testEach('a WebSocket does not open without a token, or from another origin', async gateway => {
  assert.equal((await gateway.ask('/live', UPGRADE)).status, 401)
  assert.equal((await gateway.ask('/live', [...UPGRADE, bearing(mallory)])).status, 403)
  assert.equal((await gateway.ask('/live', [...UPGRADE, bearing(alice), 'Sec-Fetch-Site: cross-site'])).status, 403)
  assert.deepEqual(upstream.seen, [])
})

testEach('cookies of 7 kB pass', async gateway => {
  const cookie = `a=${'x'.repeat(7000 - alice.length)}`
  assert.equal((await gateway.ask('/', [`Cookie: CF_Authorization=${alice}; ${cookie}`])).status, 200)
  assert.equal(upstream.seen[0]?.headers.cookie, cookie)
})

test('nginx: a browser without a token is sent to the login, everything else gets 401', async () => {
  const { status, head } = await nginx.ask('/a', ['Sec-Fetch-Mode: navigate'])
  assert.equal(status, 302)
  assert.match(head, /^location: https:\/\/acme\.cloudflareaccess\.com\/cdn-cgi\/access\/login\/127\.0\.0\.1\?kid=/im)
  assert.equal((await nginx.ask('/a', ['Sec-Fetch-Mode: cors'])).status, 401)
  assert.equal((await nginx.ask('/a', ['Sec-Fetch-Mode: navigate', bearing(forged)])).status, 401, 'no redirect loop')
  assert.equal((await nginx.ask('/a', ['Sec-Fetch-Mode: navigate'], { method: 'POST', body: 'a' })).status, 401)
})

for (const [gateway, expected] of /** @type {const} */ ([[nginx, 500], [caddy, 502]])) {
  test(`${gateway.name}: without an answer from the recipe's server nothing reaches the upstream: ${expected}`, async t => {
    const down = await gateway.start({ app: upstream.port, access: await freePort() })
    t.after(down.close)
    for (const target of ['/', '/admin']) {
      assert.equal((await send(down.port, target, [bearing(root)])).status, expected)
    }
    assert.deepEqual(upstream.seen, [])
  })
}

for (const [gateway, expected] of /** @type {const} */ ([[nginx, 500], [caddy, 503]])) {
  test(`${gateway.name}: without keys nothing reaches the upstream: ${expected}, and 503 from the recipe`, async t => {
    const dark = await createAccessTeam()
    dark.outage('down')
    const server = await startAccess(dark.domain)
    const running = await gateway.start({ app: upstream.port, access: server.port })
    t.after(async () => { await Promise.all([running.close(), server.close(), dark.close()]) })
    const token = bearing(dark.userToken({ email: 'root@acme.com', audience: AUDIENCE }))
    assert.equal((await send(running.port, '/', [token])).status, expected)
    assert.equal((await askRecipe(server.port, 'staff', [token])).status, 503)
    assert.deepEqual(upstream.seen, [])
  })
}

/**
 * A subrequest as Traefik and Caddy send it.
 *
 * @param {number} port
 * @param {string} policy
 * @param {string[]} lines
 */
async function askRecipe (port, policy, lines, method = 'GET') {
  const told = [`X-Forwarded-Method: ${method}`, 'X-Forwarded-Host: app.example.com', 'X-Forwarded-Uri: /']
  return await send(port, `/forward-auth/${policy}`, [...told, ...lines])
}

for (const [title, lines, method, expected] of /** @type {const} */ ([
  ['a GET', [], 'GET', 204],
  ['a GET from another origin', ['Origin: https://evil.example'], 'GET', 204],
  ['a POST from another origin', ['Origin: https://evil.example'], 'POST', 403],
  ['a POST whose method is told twice', ['Origin: https://evil.example', 'X-Forwarded-Method: GET'], 'POST', 403],
  ['a POST of the own page', ['Origin: https://app.example.com'], 'POST', 204],
  ['an upgrade as Caddy passes it on', UPGRADE, 'GET', 204],
  ['an upgrade as Caddy passes it on, from another origin', [...UPGRADE, 'Origin: https://evil.example'], 'GET', 403],
  ['an upgrade as Traefik passes it on, from another origin', [...UPGRADE.slice(2), 'Origin: https://evil.example'], 'GET', 403]
])) {
  test(`without a gateway, ${title}: ${expected}`, async () => {
    const { status, head } = await askRecipe(access.port, 'staff', [bearing(alice), ...lines], method)
    assert.equal(status, expected)
    assert.equal(/^x-auth-email: alice@acme\.com\r$/m.test(head), expected === 204)
  })
}

test('without the headers of a gateway: 500', async () => {
  const told = ['X-Forwarded-Method: GET', 'X-Forwarded-Host: app.example.com']
  const askWith = async (/** @type {string[]} */ ...lines) =>
    (await send(access.port, '/forward-auth/staff', [bearing(alice), ...lines])).status
  for (const line of told) assert.equal(await askWith(line), 500)
  assert.equal(await askWith(...told), 204)
})

test('the verified token goes on where it is asked for', async t => {
  const server = await startAccess(team.domain, 'pass')
  t.after(server.close)
  const cookie = `Cookie: CF_Authorization=${forged}; CF_Authorization=${alice}`
  const { head } = await askRecipe(server.port, 'staff', [cookie])
  assert.equal(/^cf-access-jwt-assertion: (.+)\r$/m.exec(head)?.[1], alice)
  assert.doesNotMatch(head, /^cookie/m)
})
