// mercurius: queries over HTTP, subscriptions over a WebSocket, and its page for developers.
import assert from 'node:assert/strict'
import { on, once } from 'node:events'
import { test } from 'node:test'
import Fastify from 'fastify'
import cfAccess, { onSessionEnd, policy, userOf } from 'fastify-cf-access'
import mercurius from 'mercurius'
import { WebSocket } from 'ws'
import { access, alice, bearing, bob, tokenOf } from '../fixtures/neighbours.js'

/** @typedef {{ identity: import('fastify-cf-access').CfAccessIdentity | null }} Context */

const onlyAlice = policy({ include: { email: 'alice@acme.com' } })

const schema = `
  type Query { me: String, secret: String }
  type Subscription { greeting: String }`

const resolvers = {
  Query: {
    me: async (/** @type {object} */ _root, /** @type {object} */ _args, /** @type {Context} */ { identity }) =>
      identity?.email,
    secret: async (/** @type {object} */ _root, /** @type {object} */ _args, /** @type {Context} */ { identity }) => {
      if (!await onlyAlice.allows(identity)) throw new mercurius.ErrorWithProps('not for you', { code: 'FORBIDDEN' })
      return 'for Alice'
    }
  },
  Subscription: {
    greeting: {
      subscribe: async function * (
        /** @type {object} */ _root, /** @type {object} */ _args, /** @type {Context} */ { identity }
      ) {
        yield { greeting: `hello ${identity?.email}` }
      }
    }
  }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {boolean} isFirst whether mercurius is registered first
 */
async function start (t, isFirst) {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  /** @type {import('mercurius').MercuriusOptions} */
  const options = {
    schema,
    resolvers: /** @type {any} */ (resolvers),
    ide: true,
    context: async request => ({ identity: request.cfAccess }),
    subscription: {
      fullWsTransport: true,
      context: async (socket, request) => {
        socket.once('close', onSessionEnd(userOf(request), () => socket.close(1008, 'session ended')))
        return { identity: request.cfAccess }
      }
    }
  }
  if (isFirst) await app.register(mercurius, options)
  await app.register(cfAccess, { ...access, prefixes: ['/graphql', '/graphiql'] })
  if (!isFirst) await app.register(mercurius, options)
  app.post('/graphql/sign-out', async request => await app.cfAccess.signOut(userOf(request)))
  return { app, origin: await app.listen({ port: 0, host: '127.0.0.1' }) }
}

/**
 * @param {string} origin
 * @param {Record<string, string>} headers
 */
function connect (origin, headers) {
  return new WebSocket(`${origin.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers })
}

/**
 * What one operation is answered over the socket.
 *
 * @param {WebSocket} socket
 * @param {string} query
 */
async function run (socket, query) {
  await once(socket, 'open')
  const messages = on(socket, 'message')
  socket.send(JSON.stringify({ type: 'connection_init' }))
  for await (const [text] of messages) {
    const { type, payload } = JSON.parse(String(text))
    if (type === 'connection_ack') socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }))
    if (type === 'next') return payload
  }
}

for (const isFirst of [true, false]) {
  test(`mercurius, registered ${isFirst ? 'before' : 'after'}: resolvers and subscriptions know who asks`, async t => {
    const { app, origin } = await start(t, isFirst)
    const query = async (/** @type {string} */ query, headers = {}) =>
      await app.inject({ method: 'POST', url: '/graphql', headers, payload: { query } })

    const rejected = await query('{ me }')
    assert.equal(rejected.statusCode, 401)
    // mercurius answers errors of its routes in the form of GraphQL, without our code.
    assert.deepEqual(rejected.json(), { data: null, errors: [{ message: 'A Cloudflare Access token is required' }] })
    assert.equal(rejected.headers['www-authenticate'], 'Cloudflare-Access')
    assert.equal(rejected.headers['cache-control'], 'no-store')
    assert.equal((await app.inject('/graphql?query={me}')).statusCode, 401)
    for (const url of ['/graphiql', '/graphiql/main.js']) {
      assert.equal((await app.inject(url)).statusCode, 401)
      assert.equal((await app.inject({ url, headers: alice })).statusCode, 200)
    }
    const both = '{ me secret }'
    assert.deepEqual((await query(both, alice)).json(), { data: { me: 'alice@acme.com', secret: 'for Alice' } })
    const ofBob = (await query(both, bob)).json()
    assert.deepEqual(ofBob.data, { me: 'bob@acme.com', secret: null })
    assert.equal(ofBob.errors[0].extensions.code, 'FORBIDDEN')

    const [error] = await once(connect(origin, {}), 'error')
    assert.match(error.message, /401/)
    const [foreign] = await once(connect(origin, { ...alice, origin: 'https://evil.example' }), 'error')
    assert.match(foreign.message, /403/)
    const carol = bearing(tokenOf('carol@acme.com'))
    const socket = connect(origin, carol)
    assert.deepEqual(await run(socket, 'subscription { greeting }'), { data: { greeting: 'hello carol@acme.com' } })
    const closed = once(socket, 'close')
    assert.equal((await fetch(`${origin}/graphql/sign-out`, { method: 'POST', headers: carol })).status, 200)
    assert.equal((await closed)[0], 1008)
  })
}
