// What changes answers: @fastify/compress and @fastify/etag.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import fastifyCompress from '@fastify/compress'
import fastifyEtag from '@fastify/etag'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { access, alice, bob } from '../fixtures/neighbours.js'

const GZIP = { 'accept-encoding': 'gzip' }

for (const isFirst of [true, false]) {
  const order = isFirst ? 'before' : 'after'

  test(`@fastify/compress, registered ${order}, compresses answers and rejections`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    if (isFirst) await app.register(fastifyCompress, { threshold: 0 })
    await app.register(cfAccess, access)
    if (!isFirst) await app.register(fastifyCompress, { threshold: 0 })
    app.get('/', async request => ({ email: request.cfAccess?.email }))
    app.get('/open', { config: { cfAccess: 'optional' } }, async request => ({ email: request.cfAccess?.email }))
    app.post('/', async request => request.body)

    const rejected = await app.inject({ url: '/', headers: GZIP })
    assert.equal(rejected.statusCode, 401)
    assert.equal(rejected.headers['content-encoding'], 'gzip')
    assert.equal(rejected.headers['cache-control'], 'no-store')
    assert.equal(rejected.headers['www-authenticate'], 'Cloudflare-Access')
    assert.equal(JSON.parse(String(gunzipSync(rejected.rawPayload))).code, 'FST_CF_ACCESS_TOKEN_MISSING')

    const admitted = await app.inject({ url: '/', headers: { ...GZIP, ...alice } })
    assert.equal(admitted.statusCode, 200)
    assert.equal(String(gunzipSync(admitted.rawPayload)), '{"email":"alice@acme.com"}')

    const open = await app.inject({ url: '/open', headers: { ...GZIP, ...bob } })
    assert.equal(String(gunzipSync(open.rawPayload)), '{"email":"bob@acme.com"}')
    assert.equal(open.headers['vary'], 'Cookie, Cf-Access-Jwt-Assertion, accept-encoding')

    const sent = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    const payload = gzipSync('{"compressed":true}')
    assert.equal((await app.inject({ method: 'POST', url: '/', headers: sent, payload })).statusCode, 401)
    // A body that is not what its header says would be a 400, if anything had read it.
    assert.equal((await app.inject({ method: 'POST', url: '/', headers: sent, payload: 'x' })).statusCode, 401)
    assert.equal((await app.inject({ method: 'POST', url: '/', headers: { ...sent, ...alice }, payload })).body,
      '{"compressed":true}')
  })

  test(`@fastify/etag, registered ${order}, answers 304 to the user who may see the answer, and to no other`, async t => {
    const app = Fastify()
    t.after(() => app.close())
    if (isFirst) await app.register(fastifyEtag)
    await app.register(cfAccess, access)
    if (!isFirst) await app.register(fastifyEtag)
    app.get('/', async request => ({ email: request.cfAccess?.email }))
    app.get('/same', async () => 'the same for all')

    for (const [url, isPersonal] of /** @type {const} */ ([['/', true], ['/same', false]])) {
      const { statusCode, headers: { etag = '' } } = await app.inject({ url, headers: alice })
      assert.equal(statusCode, 200)
      const again = { 'if-none-match': etag }
      assert.equal((await app.inject({ url, headers: { ...alice, ...again } })).statusCode, 304)
      const ofBob = await app.inject({ url, headers: { ...bob, ...again } })
      assert.equal(ofBob.statusCode, isPersonal ? 200 : 304, url)
      if (isPersonal) assert.deepEqual(ofBob.json(), { email: 'bob@acme.com' })
      const rejected = await app.inject({ url, headers: again })
      assert.equal(rejected.statusCode, 401, 'knowing the ETag is not a way in')
      assert.equal(rejected.headers['cache-control'], 'no-store')
    }
  })
}

test('@fastify/etag answers 304 to the ETag of an error, with and without a guard', async t => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(fastifyEtag)
  await app.register(cfAccess, { ...access, prefix: '/admin' })
  for (const [url, status] of /** @type {const} */ ([['/none', 404], ['/admin', 401]])) {
    const first = await app.inject(url)
    assert.equal(first.statusCode, status)
    const again = { 'if-none-match': String(first.headers.etag) }
    const { statusCode, body, headers } = await app.inject({ url, headers: again })
    assert.equal(statusCode, 304)
    assert.equal(body, '')
    // No cache keeps a rejection, so no browser sends this ETag.
    assert.equal(headers['cache-control'], status === 401 ? 'no-store' : undefined)
  }
})
