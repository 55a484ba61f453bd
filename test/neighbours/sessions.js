// What keeps a state for each client: @fastify/session, @fastify/csrf-protection, @fastify/request-context.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fastifyCookie from '@fastify/cookie'
import fastifyCsrf from '@fastify/csrf-protection'
import { fastifyRequestContext, requestContext } from '@fastify/request-context'
import fastifySession from '@fastify/session'
import Fastify from 'fastify'
import cfAccess, { userOf } from 'fastify-cf-access'
import { access, alice, AUDIENCE, bearing, bob, team, tokenOf } from '../fixtures/neighbours.js'

const SESSION = { secret: 'a secret of thirty-two characters', cookie: { secure: false } }

/** @param {import('light-my-request').Response} response */
const cookieOf = ({ headers }) => ({ cookie: String(headers['set-cookie']).split(';')[0] ?? '' })

for (const isFirst of [true, false]) {
  test(`@fastify/session, registered ${isFirst ? 'before' : 'after'}, keeps a session beside the identity`, async t => {
    const store = new fastifySession.MemoryStore(new Map())
    let saved = 0
    const set = store.set.bind(store)
    store.set = (id, session, callback) => {
      saved++
      set(id, session, callback)
    }
    const app = Fastify()
    t.after(() => app.close())
    await app.register(fastifyCookie)
    if (isFirst) await app.register(fastifySession, { ...SESSION, store })
    await app.register(cfAccess, access)
    if (!isFirst) await app.register(fastifySession, { ...SESSION, store })
    app.get('/', async ({ session, cfAccess }) => {
      const visits = (session.get('visits') ?? 0) + 1
      session.set('visits', visits)
      return { email: cfAccess?.email, visits }
    })

    const rejected = await app.inject('/')
    assert.equal(rejected.statusCode, 401)
    // In front of the guard it makes a session for each request of a stranger.
    assert.equal(saved, isFirst ? 1 : 0)
    assert.equal('set-cookie' in rejected.headers, isFirst)
    const first = await app.inject({ url: '/', headers: alice })
    assert.deepEqual(first.json(), { email: 'alice@acme.com', visits: 1 })
    const cookie = cookieOf(first)
    assert.deepEqual((await app.inject({ url: '/', headers: { ...alice, ...cookie } })).json(),
      { email: 'alice@acme.com', visits: 2 })
    assert.equal((await app.inject({ url: '/', headers: cookie })).statusCode, 401, 'a session is not a way in')
    const both = { cookie: `${cookie.cookie}; CF_Authorization=${tokenOf('alice@acme.com')}` }
    assert.deepEqual((await app.inject({ url: '/', headers: both })).json(), { email: 'alice@acme.com', visits: 3 })
  })
}

test('@fastify/csrf-protection takes the token of its own user only', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cfAccess, access)
  await app.register(fastifyCookie)
  await app.register(fastifySession, SESSION)
  await app.register(fastifyCsrf, {
    sessionPlugin: '@fastify/session', getUserInfo: request => userOf(request).subject, csrfOpts: { hmacKey: 'a key' }
  })
  app.get('/form', async (request, reply) => reply.generateCsrf({ userInfo: userOf(request).subject }))
  app.post('/', { onRequest: app.csrfProtection }, async request => request.cfAccess?.email)

  const form = await app.inject({ url: '/form', headers: alice })
  const ofForm = { ...cookieOf(form), 'csrf-token': form.body }
  const post = async (/** @type {Record<string, string>} */ headers) =>
    await app.inject({ method: 'POST', url: '/', headers })
  assert.equal((await post(ofForm)).statusCode, 401, 'the guard is first')
  assert.equal((await post({ ...alice, ...cookieOf(form) })).statusCode, 403)
  assert.equal((await post({ ...bob, ...ofForm })).statusCode, 403)
  const admitted = await post({ ...alice, ...ofForm })
  assert.equal(admitted.statusCode, 200)
  assert.equal(admitted.body, 'alice@acme.com')
})

for (const isFirst of [true, false]) {
  test(`@fastify/request-context, registered ${isFirst ? 'before' : 'after'}, holds the identity of its own request`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    if (isFirst) await app.register(fastifyRequestContext)
    await app.register(cfAccess, { ...access, policy: { include: { group: 'staff' } } })
    if (isFirst) app.addHook('onRequest', async request => request.requestContext.set('identity', request.cfAccess))
    else {
      await app.register(fastifyRequestContext,
        { defaultStoreValues: request => ({ identity: request.cfAccess }) })
    }
    const emailFromContext = async () => {
      await new Promise(setImmediate)
      return requestContext.get('identity')?.email
    }
    app.post('/', async request => ({ email: request.cfAccess?.email, fromContext: await emailFromContext() }))

    assert.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 401)
    const users = Array.from({ length: 20 }, (_, i) => `user${i}@acme.com`).map(email => ({
      email, token: team.userToken({ email, audience: AUDIENCE, identity: { groups: ['staff'] } })
    }))
    // In the first round each request waits for an answer of Access, in the second one for none.
    for (let round = 0; round < 2; round++) {
      await Promise.all(users.map(async ({ email, token }) => {
        const headers = { ...bearing(token), 'content-type': 'application/json' }
        const { body } = await app.inject({ method: 'POST', url: '/', headers, payload: '{}' })
        assert.deepEqual(JSON.parse(body), { email, fromContext: email })
      }))
    }
  })
}
