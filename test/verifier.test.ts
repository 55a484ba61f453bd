import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { cfAccess } from '../lib/index.js'
import { createVerifier, type CfAccessVerifier, type CfAccessVerifierOptions } from '../lib/verifier.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'
import { startEndpoint, until } from './fixtures/key-endpoint.js'

const team = await startTeam(t)
const good = team.userToken({ email: 'a@acme.com', audience: AUD })
const foreign = team.userToken({ email: 'a@acme.com', audience: OTHER_AUD })

/** A verifier that is closed with the test. */
function start (t: Test, own: Partial<CfAccessVerifierOptions> = {}): CfAccessVerifier {
  const verifier = createVerifier({ teamDomain: team.domain, audience: AUD, ...own })
  t.teardown(() => verifier.close())
  return verifier
}

t.test('verify() takes a token, and rejects as the plugin does', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const { verify } = start(t)
  t.match(await verify(good), { kind: 'user', email: 'a@acme.com' })
  for (const token of [foreign, 'x', '', `${good}A`, team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })]) {
    const expected = await app.cfAccess.verify(token).catch(error => ({ code: error.code, reason: error.reason }))
    await t.rejects(verify(token), expected as { code: string, reason: string })
  }
})

t.test('authenticate() takes the requests of a server of Node\'s own', async t => {
  const { authenticate } = start(t, { policy: { exclude: { email: 'mallory@acme.com' } } })
  const server = createServer((request, response) => {
    authenticate(request).then(identity => response.end(identity.kind),
      error => response.writeHead(error.statusCode).end(error.code))
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const ask = async (headers: Record<string, string>, method = 'GET'): Promise<string> => {
    const response = await fetch(origin, { method, headers })
    return `${response.status} ${await response.text()}`
  }
  t.equal(await ask(bearing(good)), '200 user')
  t.equal(await ask({ cookie: `a=b; CF_Authorization=${good}` }), '200 user')
  t.equal(await ask({ cookie: `CF_Authorization=${foreign}; CF_Authorization=${good}` }), '200 user', 'several cookies')
  t.equal(await ask({}), '401 FST_CF_ACCESS_TOKEN_MISSING')
  t.equal(await ask(bearing(foreign)), '401 FST_CF_ACCESS_TOKEN_INVALID')
  const mallory = team.userToken({ email: 'mallory@acme.com', audience: AUD })
  t.equal(await ask(bearing(mallory)), '403 FST_CF_ACCESS_FORBIDDEN')
  t.equal(await ask({ ...bearing(good), origin }, 'POST'), '200 user')
  const [warning] = await Promise.all([once(process, 'warning'),
    ask({ ...bearing(good), origin: 'https://evil.example' }, 'POST').then(answer =>
      t.equal(answer, '403 FST_CF_ACCESS_CROSS_ORIGIN'))])
  t.match(warning, [{ name: 'CfAccessWarning', message: /trustProxy.*"origin":"https:\/\/evil\.example"/ }])
})

t.test('authenticate() takes headers alone', async t => {
  const header = start(t, { cookie: false })
  t.match(await header.authenticate({ headers: bearing(good) }), { kind: 'user' })
  const cookie = `CF_Authorization=${good}`
  await t.rejects(header.authenticate({ headers: { cookie } }), { code: 'FST_CF_ACCESS_TOKEN_MISSING' })
  const trusting = start(t, { trustedOrigins: ['https://web.example.com'] })
  const headers = { ...bearing(good), origin: 'https://web.example.com' }
  t.match(await trusting.authenticate({ method: 'POST', headers }), { kind: 'user' })
})

t.test('the audience by hostname counts', async t => {
  const { verify, authenticate } = start(t, { audience: { 'app.example.com': AUD, 'b.example.com': OTHER_AUD } })
  t.match(await verify(good, { hostname: 'app.example.com' }), { kind: 'user' })
  t.match(await authenticate({ headers: { ...bearing(good), host: 'app.example.com:443' } }), { kind: 'user' })
  const code = 'FST_CF_ACCESS_TOKEN_INVALID'
  await t.rejects(authenticate({ headers: { ...bearing(good), host: 'b.example.com' } }), { code })
  await t.rejects(authenticate({ headers: bearing(good) }), { code }, 'no host')
  await t.rejects(verify(good), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
})

t.test('the keys are fetched at once, status() tells of them, and close() ends what runs', async t => {
  const endpoint = await startEndpoint(t, team)
  const verifier = start(t, { teamDomain: endpoint.domain })
  t.match(verifier.status(), [{ team: endpoint.domain, state: 'unavailable' }])
  await until(() => verifier.status()[0]!.state === 'fresh')
  t.equal(endpoint.requests.length, 1)
  const waiting = await startEndpoint(t, team)
  await waiting.outage('silent')
  const other = start(t, { teamDomain: waiting.domain })
  const verified = other.verify(waiting.token())
  other.close()
  await t.rejects(verified, { code: 'FST_CF_ACCESS_KEYS_UNAVAILABLE' })
})

t.test('an outage of the keys is an error, and ends', async t => {
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  const verifier = start(t, { teamDomain: endpoint.domain })
  await t.rejects(verifier.verify(endpoint.token()), { code: 'FST_CF_ACCESS_KEYS_UNAVAILABLE' })
  t.match(verifier.status(), [{ lastFailure: { reason: 'the answer\'s status is 500' } }])
})

t.test('details() and recheck ask Access', async t => {
  const verifier = start(t, { recheck: '1s' })
  const token = team.userToken({ email: 'c@acme.com', audience: AUD, identity: { name: 'Carol' } })
  t.match(await (await verifier.verify(token)).details(), { name: 'Carol' })
  const revoked = team.userToken({ email: 'd@acme.com', audience: AUD })
  team.revoke(revoked)
  await t.rejects(verifier.verify(revoked), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
})

t.test('options that cannot be right are errors', async t => {
  t.throws(() => start(t, { audience: '' }), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /^Option "audience"/ })
  t.throws(() => createVerifier({ teamDomain: 'acme', audience: AUD, prefix: '/admin' } as CfAccessVerifierOptions),
    { message: /^Option "prefix" is not known/ })
  t.throws(() => start(t, { policy: undefined as never }), { message: /^policy is undefined/ })
})
