// @fastify/sse: a stream that ends with the session.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { text } from 'node:stream/consumers'
import { fastifySSE } from '@fastify/sse'
import Fastify from 'fastify'
import cfAccess, { onSessionEnd, userOf } from 'fastify-cf-access'
import { access, alice } from '../fixtures/neighbours.js'

for (const isFirst of [true, false]) {
  test(`@fastify/sse, registered ${isFirst ? 'before' : 'after'}, streams until the session ends`, async t => {
    const app = Fastify({ forceCloseConnections: true })
    t.after(() => app.close())
    if (isFirst) await app.register(fastifySSE)
    await app.register(cfAccess, access)
    if (!isFirst) await app.register(fastifySSE)
    let handled = 0
    app.get('/events', { sse: 'only' }, async (request, reply) => {
      handled++
      const user = userOf(request)
      reply.sse.keepAlive()
      reply.sse.onClose(onSessionEnd(user, () => reply.sse.close()))
      await reply.sse.send({ data: user.email })
    })
    app.post('/sign-out', async request => {
      await app.cfAccess.signOut(userOf(request))
      return 'out'
    })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const accept = { accept: 'text/event-stream' }

    const rejected = await fetch(`${origin}/events`, { headers: accept })
    assert.equal(rejected.status, 401)
    assert.match(rejected.headers.get('content-type') ?? '', /^application\/json/)
    assert.equal(handled, 0)

    const stream = await fetch(`${origin}/events`, { headers: { ...accept, ...alice } })
    assert.equal(stream.status, 200)
    assert.match(stream.headers.get('content-type') ?? '', /^text\/event-stream/)
    const all = text(/** @type {ReadableStream} */ (stream.body))
    await fetch(`${origin}/sign-out`, { method: 'POST', headers: alice })
    assert.equal(await all, 'data: "alice@acme.com"\n\n')
    assert.equal((await fetch(`${origin}/events`, { headers: { ...accept, ...alice } })).status, 401)
  })
}
