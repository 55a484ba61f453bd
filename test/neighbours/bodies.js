// @fastify/multipart: an upload of a client that is not authenticated is not read.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import fastifyMultipart from '@fastify/multipart'
import Fastify from 'fastify'
import cfAccess, { guard } from 'fastify-cf-access'
import { access, alice } from '../fixtures/neighbours.js'

const BOUNDARY = 'a-boundary'
const TYPE = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }

/** @param {string} text */
const formWith = text => [`--${BOUNDARY}`, 'Content-Disposition: form-data; name="file"; filename="plan.txt"',
  'Content-Type: text/plain', '', text, `--${BOUNDARY}--`, ''].join('\r\n')

for (const isFirst of [true, false]) {
  test(`@fastify/multipart, registered ${isFirst ? 'before' : 'after'}, reads no file before the guard`, async t => {
    const app = Fastify({ forceCloseConnections: true })
    t.after(() => app.close())
    /** @type {string[]} */
    const files = []
    /** @type {import('@fastify/multipart').FastifyMultipartAttachFieldsToBodyOptions} */
    const options = {
      attachFieldsToBody: 'keyValues',
      onFile: async function (part) {
        files.push(part.filename)
        await part.toBuffer()
      }
    }
    if (isFirst) await app.register(fastifyMultipart, options)
    await app.register(cfAccess, { ...access, prefix: '/admin' })
    if (!isFirst) await app.register(fastifyMultipart, options)
    app.post('/admin/upload', async request => request.cfAccess?.email)
    app.post('/late', { preHandler: guard() }, async request => request.cfAccess?.email)
    const payload = formWith('secret')

    const upload = { method: /** @type {const} */ ('POST'), payload }
    assert.equal((await app.inject({ ...upload, url: '/admin/upload', headers: TYPE })).statusCode, 401)
    assert.equal((await app.inject({ ...upload, url: '/admin/none', headers: TYPE })).statusCode, 401)
    assert.deepEqual(files, [])
    const admitted = await app.inject({ ...upload, url: '/admin/upload', headers: { ...TYPE, ...alice } })
    assert.equal(admitted.body, 'alice@acme.com')
    assert.deepEqual(files, ['plan.txt'])
    // A guard in a later hook rejects as well, but the body was parsed by then.
    assert.equal((await app.inject({ ...upload, url: '/late', headers: TYPE })).statusCode, 401)
    assert.deepEqual(files, ['plan.txt', 'plan.txt'])
  })
}

test('a rejected upload is answered before the body has come', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(fastifyMultipart)
  await app.register(cfAccess, access)
  app.post('/', async request => (await request.file())?.filename)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect(/** @type {import('node:net').AddressInfo} */ (app.server.address()).port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(['POST / HTTP/1.1', 'Host: localhost', `Content-Type: ${TYPE['content-type']}`,
    'Content-Length: 1000000000', '', formWith('the beginning')].join('\r\n'))
  const [answer] = await once(socket, 'data')
  assert.match(String(answer), /^HTTP\/1\.1 401 /)
})
