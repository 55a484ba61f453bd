// WebSocket upgrades: of a route, and of a server beside the routes.
import assert from 'node:assert/strict'
import fastifyWebsocket from '@fastify/websocket'
import cfAccess, { onSessionEnd, userOf } from 'fastify-cf-access'
import { ALICE, askRaw, AUD, check, HANDSHAKE, serve, startTeam } from './harness.js'

const team = await startTeam()
const access = { teamDomain: team.domain, audience: AUD }
const token = team.userToken({ email: ALICE, audience: AUD })
const bearer = `Cf-Access-Jwt-Assertion: ${token}`

const routed = await serve(async app => {
  await app.register(fastifyWebsocket)
  await app.register(cfAccess, access)
  app.get('/live', { websocket: true }, (socket, request) => {
    socket.on('close', onSessionEnd(userOf(request), () => socket.close()))
  })
})

await check('a WebSocket upgrade without a token is rejected', async () => {
  assert.equal(await askRaw(routed.url, '/live', HANDSHAKE), 401)
})

await check('a WebSocket upgrade with a token is admitted', async () => {
  assert.equal(await askRaw(routed.url, '/live', [...HANDSHAKE, bearer]), 101)
})

await check('a WebSocket upgrade of another origin is rejected', async () => {
  assert.equal(await askRaw(routed.url, '/live', [...HANDSHAKE, bearer, 'Origin: https://evil.example']), 403)
})

await check('authenticate() decides on an upgrade beside the routes', async () => {
  const { url } = await serve(async app => {
    await app.register(cfAccess, { ...access, global: false })
    app.server.on('upgrade', (request, socket) => {
      app.cfAccess.authenticate(request).then(
        () => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
        error => socket.end(`HTTP/1.1 ${error.statusCode} Rejected\r\nConnection: close\r\n\r\n`))
    })
  })
  assert.equal(await askRaw(url, '/', HANDSHAKE), 401)
  assert.equal(await askRaw(url, '/', [...HANDSHAKE, bearer]), 101)
})
