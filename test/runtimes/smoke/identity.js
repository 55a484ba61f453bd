// What is known of an identity: policies, details, sessions, and what is told of it.
import assert from 'node:assert/strict'
import cfAccess, { channels, fromEnv, onSessionEnd, policy, userOf } from 'fastify-cf-access'
import { ALICE, ask, AUD, check, CLIENT_ID, messagesOf, serve, serveGuarded, startTeam } from './harness.js'

const team = await startTeam()
const access = { teamDomain: team.domain, audience: AUD }
const alice = { email: ALICE, audience: AUD }
const token = team.userToken({ ...alice, identity: { groups: ['admins'] } })
const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })

/** @param {import('fastify-cf-access').CfAccessPolicy} policy @param {string} token */
async function decide (policy, token) {
  const { url, app } = await serveGuarded(team, { policy })
  const { status } = await ask(url, { token })
  await app.close()
  return status
}

await check('policies allow and deny a user', async () => {
  assert.equal(await decide({ include: { emailDomain: 'acme.com' }, exclude: { country: 'FR' } }, token), 200)
  assert.equal(await decide({ include: { emailDomain: 'other.com' } }, token), 403)
  assert.equal(await decide({ exclude: { email: ALICE } }, token), 403)
  assert.equal(await decide({ require: { country: 'FR' } }, token), 403)
})

await check('policies allow and deny a service', async () => {
  assert.equal(await decide({ include: { serviceToken: CLIENT_ID } }, robot), 200)
  assert.equal(await decide({ include: { email: true } }, robot), 403)
})

await check('a policy can ask for groups', async () => {
  assert.equal(await decide({ include: { group: 'admins' } }, token), 200)
  assert.equal(await decide({ include: { group: 'staff' } }, token), 403)
})

await check('a policy can be a function', async () => {
  assert.equal(await decide(({ email }, request) => email === ALICE && request.method === 'GET', token), 200)
  assert.equal(await decide(async () => false, token), 403)
})

const { app, url } = await serve(declareDetails)

/** @param {import('fastify').FastifyInstance} app */
async function declareDetails (app) {
  await app.register(cfAccess, access)
  app.get('/', async ({ cfAccess }) => await policy({ include: { group: 'admins' } }).allows(cfAccess))
  app.get('/details', async request => await userOf(request).details())
}

await check('a compiled policy answers in a handler', async () => {
  assert.equal((await ask(url, { token })).body, 'true')
  assert.equal((await ask(url, { token: robot })).body, 'false')
})

await check('details() has what Access knows', async () => {
  const { groups, country } = JSON.parse((await ask(`${url}/details`, { token })).body)
  assert.equal(country, 'DE')
  assert.deepEqual(groups.map((/** @type {{ name: string }} */ { name }) => name), ['admins'])
})

await check('details() of a service: userOf() rejects it', async () => {
  assert.equal((await ask(`${url}/details`, { token: robot })).status, 403)
})

await check('while get-identity fails, details() are unavailable: 503 with Retry-After', async () => {
  const { url } = await serve(declareDetails)
  team.outage('error', 'get-identity')
  const { status, code, headers } = await ask(`${url}/details`, { token })
  team.outage(null)
  assert.deepEqual([status, code], [503, 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE'])
  assert.match(headers.get('retry-after') ?? '', /^\d+$/)
})

await check('recheck rejects a revoked session', async () => {
  const { url } = await serveGuarded(team, { recheck: '1h' })
  const [token, revoked] = [team.userToken(alice), team.userToken(alice)]
  team.revoke(revoked)
  assert.equal((await ask(url, { token })).status, 200)
  assert.equal((await ask(url, { token: revoked })).status, 401)
})

await check('signOut() rejects the token afterwards, and ends its session', async () => {
  const token = team.userToken(alice)
  const identity = await app.cfAccess.verify(token)
  const ended = new Promise(resolve => { onSessionEnd(identity, resolve) })
  assert.equal((await ask(url, { token })).status, 200)
  await app.cfAccess.signOut(identity)
  assert.equal(await ended, 'signed-out')
  assert.equal((await ask(url, { token })).status, 401)
})

await check('onSessionEnd() calls back when the token expires', async () => {
  const identity = await app.cfAccess.verify(team.userToken({ ...alice, expiresIn: '2s' }))
  // No timer of the library keeps a process alive.
  const alive = setInterval(() => {}, 1000)
  assert.equal(await new Promise(resolve => { onSessionEnd(identity, resolve) }), 'expired')
  clearInterval(alive)
})

await check('apps with one store share a sign-out', async () => {
  const values = new Map()
  const store = {
    get: async (/** @type {string} */ key) => values.get(key),
    set: async (/** @type {string} */ key, /** @type {unknown} */ value) => { values.set(key, value) },
    delete: async (/** @type {string} */ key) => values.delete(key)
  }
  const [one, other] = [await serveGuarded(team, { store }), await serveGuarded(team, { store })]
  const token = team.userToken(alice)
  await one.app.cfAccess.signOut(await one.app.cfAccess.verify(token))
  assert.equal((await ask(other.url, { token })).status, 401)
  assert.ok(values.size > 0 && ![...values.keys()].join().includes(token))
})

await check('channels tell of verifications, admissions and rejections', async () => {
  const both = async () => { for (const options of [{ token }, {}]) await ask(url, options) }
  const [verified] = await messagesOf(channels.verify, both)
  assert.deepEqual([verified?.outcome, verified?.kind, verified?.cached], ['verified', 'user', true])
  const [admission] = await messagesOf(channels.admission, both)
  assert.deepEqual([admission?.kind, admission?.method, admission?.route], ['user', 'GET', '/'])
  const [rejection] = await messagesOf(channels.rejection, both)
  assert.deepEqual([rejection?.code, rejection?.reason, rejection?.statusCode, rejection?.route],
    ['FST_CF_ACCESS_TOKEN_MISSING', 'missing', 401, '/'])
})

await check('the log has one line for each rejection, with its reason and without the token', async () => {
  /** @type {string[]} */
  const lines = []
  const logger = { stream: { write: (/** @type {string} */ line) => { lines.push(line) } } }
  const { url } = await serve(async app => { await app.register(cfAccess, access) }, { logger })
  await ask(url, { token: team.userToken({ ...alice, audience: 'another' }) })
  const rejections = lines.map(line => JSON.parse(line)).filter(({ code }) => code === 'FST_CF_ACCESS_TOKEN_INVALID')
  assert.deepEqual(rejections.map(({ reason }) => reason), ['audience'])
  assert.ok(!lines.join().includes('eyJ'))
})

await check('fromEnv() reads the settings', async () => {
  process.env['CF_ACCESS_TEAM_DOMAIN'] = team.domain
  process.env['CF_ACCESS_AUD'] = AUD
  const { url } = await serveGuarded(team, fromEnv())
  assert.equal((await ask(url, { token })).status, 200)
})
