import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import fastifyAuth from '@fastify/auth'
import fastifyHttpProxy from '@fastify/http-proxy'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import mercurius from 'mercurius'
import t from 'tap'
import { cfAccess, guard, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const token = team.userToken({ email: 'a@acme.com', audience: AUD })

const UPGRADE = {
  Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='
}

/** Sends an upgrade and reads the head of the answer. */
async function upgrade (
  port: number, target: string, headers: Record<string, string> = {}
): Promise<{ status: number, socket: Socket }> {
  const socket = connect(port, '127.0.0.1')
  const fields =
    Object.entries({ Host: 'localhost', ...UPGRADE, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET ${target} HTTP/1.1\r\n${fields.join('')}\r\n`)
  const [head] = await once(socket, 'data')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(String(head))?.[1]), socket }
}

const connectionsOf = (app: FastifyInstance): Promise<number> => promisify(app.server.getConnections.bind(app.server))()

const NEIGHBOURS: Readonly<Record<string, (app: FastifyInstance) => unknown>> = {
  '@fastify/websocket': app => app.register(fastifyWebsocket),
  mercurius: app => app.register(mercurius, {
    schema: 'type Query { x: Int } type Subscription { y: Int }',
    subscription: true
  }),
  '@fastify/http-proxy': app => app.register(fastifyHttpProxy, { upstream: 'http://127.0.0.1:9', prefix: '/proxied', websocket: true })
}

const PLACES: Readonly<Record<string, [target: string, register: (app: FastifyInstance) => unknown]>> = {
  'a prefix': ['/admin/live', app => { app.register(cfAccess, { ...options, prefix: '/admin' }); app.get('/admin/live', async () => 'in') }],
  'a scope': ['/admin/live', app => {
    app.register(async scope => {
      scope.register(cfAccess, options)
      scope.get('/live', async () => 'in')
    }, { prefix: '/admin' })
  }],
  'a path without a route': ['/admin/none', app => { app.register(cfAccess, { ...options, prefix: '/admin' }) }],
  'guard()': ['/live', app => { app.register(cfAccess, { ...options, global: false }); app.get('/live', { preHandler: guard() }, async () => 'in') }]
}

const MANY = 50

for (const [neighbour, registerNeighbour] of Object.entries(NEIGHBOURS)) {
  for (const isFirst of [true, false]) {
    t.test(`D-21 ${MANY} rejected upgrades leave no socket open, ${neighbour} registered ${isFirst ? 'before' : 'after'}`, async t => {
      for (const [place, [target, register]] of Object.entries(PLACES)) {
        // Without forceCloseConnections, so that close() would wait for a socket that stays open.
        const app = createApp(t, { forceCloseConnections: false })
        if (isFirst) registerNeighbour(app)
        register(app)
        if (!isFirst) registerNeighbour(app)
        const port = await listen(app)
        const rejected = await Promise.all(Array.from({ length: MANY }, async () => await upgrade(port, target)))
        t.ok(rejected.every(({ status }) => status === 401), `${place}: all are rejected`)
        await Promise.all(rejected.map(async ({ socket }) => { if (!socket.closed) await once(socket, 'close') }))
        t.equal(await connectionsOf(app), 0, `${place}: no connection is left`)
        await app.close()
      }
    })
  }
}

t.test('D-21 an upgrade that another way in admits stays open', async t => {
  const app = createApp(t)
  await app.register(fastifyAuth)
  await app.register(fastifyWebsocket)
  app.register(cfAccess, { ...options, global: false })
  const byKey = async ({ headers }: FastifyRequest): Promise<void> => {
    if (headers['x-key'] !== 'a-key') throw new Error('no')
  }
  app.get('/live', { websocket: true, onRequest: app.auth([guard(), byKey]) },
    socket => { socket.on('message', () => socket.send('still here')) })
  const port = await listen(app)
  for (const headers of [bearing(token), { 'x-key': 'a-key' }]) {
    const { status, socket } = await upgrade(port, '/live', headers)
    t.equal(status, 101)
    socket.write(Buffer.from([0x81, 0x80, 0, 0, 0, 0])) // an empty text frame, masked with zeros
    const [frame] = await once(socket, 'data')
    t.match(String(frame), 'still here')
    socket.destroy()
  }
})

t.test('D-21 beside an upgrade listener the connection of an ordinary rejected request stays open', async t => {
  const app = createApp(t)
  await app.register(fastifyWebsocket)
  app.register(cfAccess, options)
  const socket = connect(await listen(app), '127.0.0.1')
  for (let requests = 1; requests <= 2; requests++) {
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const [head] = await once(socket, 'data')
    t.match(String(head), /^HTTP\/1\.1 401/, `request ${requests}`)
  }
  socket.destroy()
})

t.test('D-21 without an upgrade listener the connection is an ordinary one and stays open', async t => {
  const app = createApp(t)
  app.register(cfAccess, options)
  const port = await listen(app)
  const { status, socket } = await upgrade(port, '/', { Connection: 'Upgrade, keep-alive', Upgrade: 'h2c' })
  t.equal(status, 401)
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [head] = await once(socket, 'data')
  t.match(String(head), /^HTTP\/1\.1 401/, 'it takes a second request')
  socket.destroy()
})
