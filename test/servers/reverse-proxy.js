// The recipe for a reverse proxy, between real servers. Not part of `npm test`, as the other tests of gateways.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, beforeEach, test } from 'node:test'
import Fastify from 'fastify'
import { createAccessTeam } from 'fastify-cf-access/testing'
import { WebSocket } from 'ws'
import { proxyTo } from '../../example/recipes/reverse-proxy.js'
import { FORGED, namesIn, send, startUpstream, testForgedHeaders, UPGRADE } from '../fixtures/gateway.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'
const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await createAccessTeam()
const alice = team.userToken({ email: 'alice@acme.com', audience: AUDIENCE, claims: { sub: 'a-1' } })
const root = team.userToken({ email: 'root@acme.com', audience: AUDIENCE, claims: { sub: 'r-1' } })
const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUDIENCE })
const device = team.certificateToken({ commonName: 'build machine 7, Zürich', audience: AUDIENCE })
const forged = `${alice.slice(0, -8)}AAAAAAAA`

/** @param {string} token */
const bearing = token => `Cf-Access-Jwt-Assertion: ${token}`

const upstream = await startUpstream()

/** @param {'strip' | 'pass'} [credentials] */
async function startProxy (credentials) {
  const app = Fastify({ forceCloseConnections: true })
  const address = `http://127.0.0.1:${upstream.port}`
  await proxyTo(app, { teamDomain: team.domain, audience: AUDIENCE }, [
    { prefix: '/', upstream: address },
    { prefix: '/admin', upstream: `${address}/admin`, policy: { include: { email: 'root@acme.com' } } }
  ], credentials)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = /** @type {import('node:net').AddressInfo} */ (app.server.address())
  return { app, port, close: () => app.close() }
}

const proxy = await startProxy()
const passing = await startProxy('pass')

beforeEach(() => { upstream.seen.length = 0 })

after(async () => {
  await Promise.all([proxy.close(), passing.close()])
  await Promise.all([upstream.close(), team.close()])
})

/**
 * Sends a request to the proxy that strips the credentials.
 *
 * @param {string} target
 * @param {readonly string[]} [lines]
 * @param {Parameters<typeof send>[3]} [more]
 */
async function ask (target, lines, more) {
  return await send(proxy.port, target, lines, more)
}

for (const [title, target, lines, expected] of /** @type {const} */ ([
  ['no token', '/', [], 401],
  ['a forged token', '/', [bearing(forged)], 401],
  ['a path of the other upstream without a token', '/admin', [], 401],
  ['a user that the policy denies', '/admin/x', [bearing(alice)], 403],
  ['a service that the policy denies', '/admin', [bearing(robot)], 403],
  ['a user', '/a/b?c=%2f', [bearing(alice)], 200],
  ['a certificate', '/', [bearing(device)], 200],
  ['a user that the policy allows', '/admin/users?all', [bearing(root)], 200],
  ['the second of two cookies', '/', [`Cookie: CF_Authorization=${forged}; CF_Authorization=${alice}`], 200]
])) {
  test(`${title}: ${expected}`, async () => {
    assert.equal((await ask(target, [...lines])).status, expected)
    const arrived = upstream.seen.map(({ url }) => url)
    assert.deepEqual(arrived, expected === 200 ? [target] : [])
  })
}

test('the upstream gets the identity, and no credentials', async () => {
  const secrets = ['CF-Access-Client-Id: a', 'CF-Access-Client-Secret: b', 'Cf-Access-Token: c', 'Accept-Language: fr']
  await ask('/', [bearing(alice), ...secrets, 'Cookie: a=1; CF_Authorization=x; b="2; 3"; CF_Authorization=y;c'])
  await ask('/', [bearing(robot), 'Cookie: CF_Authorization=x'])
  await ask('/', [bearing(device)])
  const [first, second, third] = upstream.seen
  assert.equal(first?.headers['x-auth-kind'], 'user')
  assert.equal(first?.headers['x-auth-subject'], 'a-1')
  assert.equal(first?.headers['x-auth-email'], 'alice@acme.com')
  assert.equal(first?.headers['accept-language'], 'fr')
  assert.equal(first?.headers['x-forwarded-host'], `127.0.0.1:${proxy.port}`)
  assert.equal(first?.headers.cookie, 'a=1; b="2; 3";c')
  assert.equal(second?.headers['x-auth-subject'], CLIENT_ID)
  assert.equal(third?.headers['x-auth-kind'], 'certificate')
  assert.equal(third?.headers['x-auth-subject'], 'build%20machine%207%2C%20Z%C3%BCrich')
  assert.ok(!JSON.stringify(upstream.seen).includes('eyJ'), 'no token')
  assert.deepEqual(namesIn(first).filter(name => name.startsWith('cf-')), [])
  assert.deepEqual(namesIn(second).filter(name => /email|cookie|^cf-/.test(name)), [])
})

testForgedHeaders([...FORGED, 'CF_ACCESS-JWT_ASSERTION'], async sent => {
  await ask('/', [bearing(robot), ...sent])
  await ask('/', [bearing(alice), ...sent])
  assert.equal(upstream.seen.length, 2)
  return { guarded: upstream.seen.splice(0) }
})

for (const [title, method, lines, expected] of /** @type {const} */ ([
  ['a POST from a page of another site', 'POST', ['Sec-Fetch-Site: cross-site'], 403],
  ['a POST of an old browser from another origin', 'POST', ['Origin: https://evil.example'], 403],
  ['a POST that says it has another host', 'POST', ['Origin: https://evil.example', 'X-Forwarded-Host: evil.example'], 403],
  ['a POST of the own page', 'POST', ['Sec-Fetch-Site: same-origin', 'Content-Type: application/json'], 200],
  ['a POST of a program that waits for leave', 'POST', ['Expect: 100-continue', 'Content-Type: text/plain'], 200]
])) {
  test(`${title}: ${expected}`, async () => {
    const { status } = await ask('/', [`Cookie: CF_Authorization=${alice}`, ...lines], { method, body: '{not JSON' })
    assert.equal(status, expected)
    const bodies = upstream.seen.map(({ body }) => body)
    assert.deepEqual(bodies, expected === 200 ? ['{not JSON'] : [], 'as it was sent')
  })
}

for (const target of [
  '/%61dmin', '//admin', '/x/..%2fadmin', '/x/../admin', '/x/%2e%2e/admin', '/%2561dmin', '/x/..;/admin', '/;/admin',
  '/x/..\\admin', '/x/..%5cadmin', '/x/%252e%252e/admin', '/x/..%c0%afadmin', '/ADMIN', '/admin;a=1', '/./admin'
]) {
  test(`a path that can be under /admin needs the policy of /admin: ${target}`, async () => {
    for (const [lines, expected] of /** @type {const} */ ([[[], [400, 401]], [[bearing(alice)], [400, 403]]])) {
      const { status } = await ask(target, [...lines])
      assert.ok(expected.some(allowed => allowed === status), String(status))
    }
    assert.deepEqual(upstream.seen, [])
  })
}

test('a WebSocket opens with a token, and the upstream knows who opened it', async () => {
  for (const [server, token] of /** @type {const} */ ([[proxy, undefined], [passing, alice]])) {
    upstream.seen.length = 0
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/live`, {
      headers: { cookie: `a=1; CF_Authorization=${alice}`, 'x-auth-email': 'root@acme.com', 'x-forwarded-host': 'evil' }
    })
    await once(socket, 'open')
    socket.send('hello')
    const [message] = await once(socket, 'message')
    assert.equal(String(message), 'echo hello')
    const headers = upstream.seen[0]?.headers
    assert.equal(headers?.['x-auth-email'], 'alice@acme.com')
    assert.equal(headers?.cookie, 'a=1')
    assert.equal(headers?.['x-forwarded-host'], `127.0.0.1:${server.port}`)
    assert.equal(headers?.['cf-access-jwt-assertion'], token)
    socket.terminate()
  }
})

test('a WebSocket is closed when the session ends', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  /** @type {import('fastify-cf-access').CfAccessIdentity | null} */
  let caller = null
  app.addHook('preHandler', async request => { caller = request.cfAccess })
  await proxyTo(app, { teamDomain: team.domain, audience: AUDIENCE },
    [{ prefix: '/', upstream: `http://127.0.0.1:${upstream.port}` }])
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = /** @type {import('node:net').AddressInfo} */ (app.server.address())
  const token = team.userToken({ email: 'bob@acme.com', audience: AUDIENCE })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers: { 'cf-access-jwt-assertion': token } })
  await once(socket, 'open')
  assert.ok(caller)
  const closed = once(socket, 'close')
  await app.cfAccess.signOut(caller)
  await closed
})

test('a WebSocket does not open without a token, or from another origin', async () => {
  assert.equal((await ask('/live', UPGRADE)).status, 401)
  assert.equal((await ask('/admin', [...UPGRADE, bearing(alice)])).status, 403)
  assert.equal((await ask('/live', [...UPGRADE, bearing(alice), 'Sec-Fetch-Site: cross-site'])).status, 403)
  assert.deepEqual(upstream.seen, [])
})

test('the verified token goes on where it is asked for, and no other credentials', async () => {
  const lines = [`Cookie: CF_Authorization=${forged}; a=1; CF_Authorization=${alice}`, 'CF-Access-Client-Secret: b']
  assert.equal((await send(passing.port, '/', lines)).status, 200)
  const headers = upstream.seen[0]?.headers
  assert.equal(headers?.['cf-access-jwt-assertion'], alice)
  assert.equal(headers?.cookie, 'a=1')
  assert.equal(headers?.['cf-access-client-secret'], undefined)
})

test('without keys nothing reaches the upstream: 503', async t => {
  const dark = await createAccessTeam()
  dark.outage('down')
  const app = Fastify()
  t.after(async () => { await Promise.all([app.close(), dark.close()]) })
  await proxyTo(app, { teamDomain: dark.domain, audience: AUDIENCE },
    [{ prefix: '/', upstream: `http://127.0.0.1:${upstream.port}` }])
  const token = dark.userToken({ email: 'root@acme.com', audience: AUDIENCE })
  assert.equal((await app.inject({ url: '/', headers: { 'cf-access-jwt-assertion': token } })).statusCode, 503)
  assert.deepEqual(upstream.seen, [])
})
