// The emulator for the edge, in front of an app.
import assert from 'node:assert/strict'
import fastifyWebsocket from '@fastify/websocket'
import cfAccess from 'fastify-cf-access'
import { createAccessEdge } from 'fastify-cf-access/dev'
import {
  ALICE, ask, askRaw, AUD, BROWSER, check, CLIENT_ID, closeLater, freePort, HANDSHAKE, serve
} from './harness.js'

const SECRET = 'not-a-secret'

const port = await freePort()
const edge = closeLater(await createAccessEdge({
  to: `http://127.0.0.1:${port}`,
  port: 0,
  applications: [{ path: '/admin', audience: AUD }],
  serviceTokens: [{ clientId: CLIENT_ID, clientSecret: SECRET }]
}))
await serve(async app => {
  await app.register(fastifyWebsocket)
  await app.register(cfAccess, { teamDomain: edge.domain, audience: AUD, prefix: '/admin' })
  app.get('/', async () => 'public')
  app.get('/admin', async ({ cfAccess }) => `hello ${cfAccess?.email ?? cfAccess?.clientId}`)
  app.post('/admin', async ({ body }) => body)
  app.get('/admin/live', { websocket: true }, socket => { socket.send('hello') })
}, { port })
let session = ''

await check('the edge forwards a public path', async () => {
  assert.equal((await ask(edge.url)).body, 'public')
})

await check('the edge signs a user in, who comes back with a session', async () => {
  const start = await ask(`${edge.url}/admin`, { headers: BROWSER })
  assert.equal(start.status, 302)
  const login = start.headers.get('location') ?? ''
  assert.equal(new URL(login).origin, edge.domain)
  const page = await ask(login, { headers: BROWSER })
  assert.ok(page.body.includes('<form'))
  const form = new URLSearchParams({ email: ALICE, kid: AUD, redirect_url: '/admin' })
  const { origin, pathname } = new URL(login)
  const signedIn = await ask(origin + pathname, { method: 'POST', body: form, headers: { ...BROWSER, origin } })
  assert.equal(signedIn.status, 303)
  const back = await ask(signedIn.headers.get('location') ?? '', { headers: BROWSER })
  assert.deepEqual([back.status, back.headers.get('location')], [303, '/admin'])
  session = (back.headers.getSetCookie()[0] ?? '').split(';')[0] ?? ''
  assert.equal((await ask(`${edge.url}/admin`, { headers: { ...BROWSER, cookie: session } })).body, `hello ${ALICE}`)
})

await check('the edge forwards a body', async () => {
  const init = { method: 'POST', headers: { cookie: session, 'content-type': 'application/json' }, body: '{"a":1}' }
  assert.equal((await ask(`${edge.url}/admin`, init)).body, '{"a":1}')
})

await check('the edge signs a service in', async () => {
  const headers = { 'cf-access-client-id': CLIENT_ID, 'cf-access-client-secret': SECRET }
  assert.equal((await ask(`${edge.url}/admin`, { headers })).body, `hello ${CLIENT_ID}`)
})

await check('the edge passes a WebSocket through', async () => {
  const own = [`Host: ${new URL(edge.url).host}`, `Cookie: ${session}`]
  assert.equal(await askRaw(edge.url, '/admin/live', [...HANDSHAKE, ...own]), 101)
})

await check('the edge rejects another Host', async () => {
  assert.equal(await askRaw(edge.url, '/', ['Host: evil.example']), 421)
})

await check('the edge rotates its keys, and the session goes on', async () => {
  await edge.rotateKeys()
  assert.equal((await ask(`${edge.url}/admin`, { headers: { cookie: session } })).body, `hello ${ALICE}`)
})
