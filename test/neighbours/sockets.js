// Sockets: what a hook guards, and what answers upgrades itself on `app.server`, in front of every hook.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import fastifyWebsocket from '@fastify/websocket'
import { createTRPCClient, createWSClient, httpLink, wsLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { fastifyTRPCPlugin } from '@trpc/server/adapters/fastify'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { Server } from 'socket.io'
import { io as connect } from 'socket.io-client'
import { WebSocket, WebSocketServer } from 'ws'
import { serveSockets } from '../../example/recipes/socket-io.js'
import { access, alice, bearing, bob, tokenOf } from '../fixtures/neighbours.js'

/** @typedef {import('fastify-cf-access').CfAccessIdentity} Identity */
/** @typedef {{ identity: Identity | null }} Context */

const trpc = /** @type {ReturnType<typeof initTRPC.context<Context>>} */ (initTRPC.context()).create()
const router = trpc.router({ whoami: trpc.procedure.query(({ ctx }) => ctx.identity?.email ?? 'a stranger') })

/** @param {import('@trpc/client').TRPCLink<typeof router>} link */
const createClient = link =>
  /** @type {import('@trpc/client').TRPCClient<typeof router>} */ (createTRPCClient({ links: [link] }))

/** @param {import('node:test').TestContext} t */
async function createApp (t) {
  const app = Fastify({ forceCloseConnections: true })
  t.after(() => app.close())
  await app.register(cfAccess, access)
  return app
}

/**
 * What a procedure answers over a WebSocket.
 *
 * @param {string} url
 * @param {Record<string, string>} headers
 */
async function askOverSocket (url, headers) {
  class Bearing extends WebSocket {
    /** @param {string} url */
    constructor (url) {
      super(url, { headers })
    }
  }
  const client = createWSClient({ url, WebSocket: /** @type {any} */ (Bearing) })
  try {
    return await createClient(wsLink({ client })).whoami.query()
  } finally {
    await client.close()
  }
}

test('tRPC by its plugin: HTTP and its WebSocket are routes, so the hook guards them', async t => {
  const app = await createApp(t)
  await app.register(fastifyWebsocket)
  await app.register(fastifyTRPCPlugin, {
    prefix: '/trpc',
    useWSS: true,
    trpcOptions: {
      router,
      // Over a WebSocket it gets Node's request, which has no identity.
      createContext: async (/** @type {{ req: any }} */ { req }) =>
        ({ identity: 'raw' in req ? req.cfAccess : await app.cfAccess.authenticate(req) })
    }
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const overHttp = (headers = {}) => createClient(httpLink({ url: `${origin}/trpc`, headers })).whoami.query()
  assert.equal(await overHttp(alice), 'alice@acme.com')
  assert.equal((await fetch(`${origin}/trpc/whoami`)).status, 401)
  await assert.rejects(overHttp(), { name: 'TRPCClientError' })

  const url = `${origin.replace('http', 'ws')}/trpc`
  const [error] = await once(new WebSocket(url), 'error')
  assert.match(error.message, /401/)
  assert.equal(await askOverSocket(url, bob), 'bob@acme.com')
})

test('tRPC\'s handler of a WebSocket server on app.server is in front of the guard', async t => {
  const app = await createApp(t)
  const server = new WebSocketServer({ server: app.server })
  t.after(() => server.close())
  // Strangers connect. Procedures can deny them, once the context says who calls.
  const createContext = async (/** @type {{ req: import('node:http').IncomingMessage }} */ { req }) =>
    ({ identity: await app.cfAccess.authenticate(req).catch(() => null) })
  applyWSSHandler({ wss: server, router, createContext })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  assert.equal((await fetch(origin)).status, 401)
  const url = origin.replace('http', 'ws')
  assert.equal(await askOverSocket(url, {}), 'a stranger')
  assert.equal(await askOverSocket(url, alice), 'alice@acme.com')
})

test('a Socket.IO server is in front of the guard, unless allowRequest authenticates', async t => {
  for (const isGuarded of [false, true]) {
    const app = await createApp(t)
    const io = isGuarded ? serveSockets(app, { include: { emailDomain: 'acme.com' } }) : new Server(app.server)
    if (!isGuarded) app.addHook('preClose', async () => { await io.close() })
    io.on('connection', socket => socket.emit('hello', socket.data.identity?.email ?? 'a stranger'))
    app.get('/', async request => request.cfAccess?.email)
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    assert.equal((await fetch(origin)).status, 401)
    assert.equal(await (await fetch(origin, { headers: alice })).text(), 'alice@acme.com')
    for (const transport of ['polling', 'websocket']) {
      const answer = async (headers = {}) => {
        const socket = connect(origin, { transports: [transport], extraHeaders: headers, reconnection: false })
        try {
          return await new Promise(resolve => {
            socket.on('hello', resolve).on('connect_error', error => resolve(error.message))
          })
        } finally {
          socket.close()
        }
      }
      if (isGuarded) {
        assert.match(await answer(), /error/)
        assert.match(await answer(bearing(tokenOf('eve@example.com'))), /error/)
        assert.equal(await answer(alice), 'alice@acme.com')
      } else assert.equal(await answer(), 'a stranger')
    }
  }
})
