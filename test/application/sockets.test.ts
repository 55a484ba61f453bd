import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createTRPCClient, createWSClient, httpLink, wsLink } from '@trpc/client'
import type { FastifyInstance } from 'fastify'
import { io as connect } from 'socket.io-client'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { serveSockets } from '../../example/recipes/socket-io.js'
import { serveTrpc, type router } from '../../example/recipes/trpc.js'
import { serveWebSockets } from '../../example/recipes/web-socket.js'
import { cfAccess, policy, type CfAccessIdentity, type CfAccessOptions } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, startTeam } from '../fixtures/index.js'
import { startEndpoint } from '../fixtures/key-endpoint.js'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const good = team.userToken({ email: 'a@acme.com', audience: AUD, identity: { groups: ['admins'] } })
const other = team.userToken({ email: 'b@acme.com', audience: AUD, identity: { groups: [] } })
const foreign = team.userToken({ email: 'a@acme.com', audience: OTHER_AUD })

async function start (t: Test, own: Partial<CfAccessOptions> = {}): Promise<FastifyInstance> {
  const app = createApp(t)
  await app.register(cfAccess, { ...options, prefix: '/admin', ...own })
  return app
}

/** A request as a server of Node's gets it. */
async function incoming (t: Test, headers: Record<string, string>, method = 'GET'): Promise<IncomingMessage> {
  const server = createServer((_request, response) => response.end())
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const [[request]] = await Promise.all([once(server, 'request'),
    fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { method, headers })])
  return request
}

t.test('authenticate() takes a request of Node\'s by the rules of the hook', async t => {
  const app = await start(t, { policy: { exclude: { email: 'mallory@acme.com' } } })
  const { authenticate } = app.cfAccess
  t.match(await authenticate(await incoming(t, bearing(good))), { email: 'a@acme.com' })
  t.match(await authenticate(await incoming(t, { cookie: `CF_Authorization=${good}` })), { email: 'a@acme.com' })
  const rejects = async (headers: Record<string, string>, code: string, method = 'GET'): Promise<void> => {
    await t.rejects(authenticate(await incoming(t, headers, method)), { code: `FST_CF_ACCESS_${code}` }, code)
  }
  await rejects({}, 'TOKEN_MISSING')
  await rejects(bearing(foreign), 'TOKEN_INVALID')
  await rejects({ ...bearing('x'), cookie: `CF_Authorization=${good}` }, 'TOKEN_INVALID')
  await rejects(bearing(team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })), 'TOKEN_EXPIRED')
  await rejects(bearing(team.userToken({ email: 'mallory@acme.com', audience: AUD })), 'FORBIDDEN')
  await rejects({ ...bearing(good), origin: 'https://evil.example' }, 'CROSS_ORIGIN', 'POST')
  await rejects({ origin: 'https://evil.example' }, 'TOKEN_MISSING', 'POST')
  t.match(await authenticate(await incoming(t, { ...bearing(good), origin: 'https://evil.example' })), { email: 'a@acme.com' })
})

t.test('authenticate() takes a policy of its own, and gives it the request', async t => {
  const { authenticate } = (await start(t)).cfAccess
  const request = await incoming(t, bearing(good))
  const admins = { include: { group: 'admins' } }
  t.match(await authenticate(request, admins), { email: 'a@acme.com' })
  t.match(await authenticate(request, policy(admins)), { email: 'a@acme.com' })
  await t.rejects(authenticate(await incoming(t, bearing(other)), admins), { code: 'FST_CF_ACCESS_FORBIDDEN' })
  const asked: unknown[] = []
  await t.rejects(authenticate(request, (_identity, given) => { asked.push(given); return false }),
    { code: 'FST_CF_ACCESS_FORBIDDEN' })
  t.equal(asked[0], request)
  await t.rejects(authenticate(request, undefined), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' }, 'a policy that was lost')
})

t.test('authenticate() takes a Fastify request, with the host that a trusted proxy names', async t => {
  const app = createApp(t, { trustProxy: true })
  await app.register(cfAccess, { ...options, global: false, audience: { 'app.example.com': AUD } })
  app.post('/', async request => (await app.cfAccess.authenticate(request)).kind)
  const forwarded = { 'x-forwarded-host': 'app.example.com', origin: 'https://app.example.com' }
  const headers = { ...bearing(good), host: 'internal', ...forwarded }
  t.equal((await app.inject({ method: 'POST', url: '/', headers })).body, 'user')
  const elsewhere = { ...headers, 'x-forwarded-host': 'x' }
  t.equal((await app.inject({ method: 'POST', url: '/', headers: elsewhere })).statusCode, 403)
})

t.test('authenticate() reads the hostname of a request of Node\'s from its Host header', async t => {
  const app = await start(t, { audience: { '127.0.0.1': AUD, 'other.example': OTHER_AUD } })
  t.match(await app.cfAccess.authenticate(await incoming(t, bearing(good))), { kind: 'user' })
  await t.rejects(app.cfAccess.authenticate(await incoming(t, bearing(foreign))), { message: /not valid/ })
  await t.rejects(app.cfAccess.authenticate({ headers: bearing(good) }), { code: 'FST_CF_ACCESS_TOKEN_INVALID' },
    'no host')
})

t.test('authenticate() takes headers, and a method for the cross-origin protection', async t => {
  const { authenticate } = (await start(t)).cfAccess
  const headers = { ...bearing(good), host: 'app.example.com', origin: 'https://evil.example' }
  t.match(await authenticate({ headers }), { email: 'a@acme.com' })
  await t.rejects(authenticate({ method: 'POST', headers }), { code: 'FST_CF_ACCESS_CROSS_ORIGIN' })
  const asked: unknown[] = []
  const request = { headers, number: 7 }
  t.match(await authenticate(request, (_identity, given) => asked.push(given.number) > 0), { email: 'a@acme.com' })
  t.strictSame(asked, [7])
})

t.test('authenticate() belongs to the instance that it is read from', async t => {
  const app = await start(t)
  await app.register(async scope => {
    await scope.register(cfAccess, { ...options, audience: OTHER_AUD })
    const request = await incoming(t, bearing(foreign))
    t.match(await scope.cfAccess.authenticate(request), { kind: 'user' })
    await t.rejects(app.cfAccess.authenticate(request), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  })
  await app.register(cfAccess, { ...options, prefix: '/two' })
  await t.rejects(app.cfAccess.authenticate(await incoming(t, bearing(good))), { code: 'FST_CF_ACCESS_NOT_REGISTERED' })
})

t.test('a Socket.IO server knows who is connected, and rejects the others', async t => {
  const app = await start(t)
  const io = serveSockets(app, { include: { group: 'admins' } })
  io.on('connection', socket => socket.emit('hello', socket.data.identity.email))
  const port = await listen(app)
  const answer = async (headers: Record<string, string>, transport: 'polling' | 'websocket'): Promise<string> => {
    const socket = connect(`http://127.0.0.1:${port}`, { transports: [transport], extraHeaders: headers, reconnection: false })
    try {
      return await new Promise(resolve => {
        socket.on('hello', resolve).on('connect_error', error => resolve(error.message))
      })
    } finally {
      socket.close()
    }
  }
  t.equal(await answer(bearing(good), 'polling'), 'a@acme.com')
  t.equal(await answer(bearing(good), 'websocket'), 'a@acme.com')
  t.match(await answer({}, 'polling'), /xhr poll error/)
  t.match(await answer({}, 'websocket'), /websocket error/)
  t.match(await answer(bearing(other), 'websocket'), /websocket error/, 'denied by the policy')
  t.match(await answer({ ...bearing(good), origin: 'https://evil.example' }, 'websocket'), /websocket error/)
  const response = await fetch(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling`)
  t.equal(response.status, 403)
  t.match(await response.text(), 'FST_CF_ACCESS_TOKEN_MISSING')
})

/** Opens a WebSocket: its first message, or the status of the rejection. */
async function open (url: string, headers: Record<string, string>): Promise<string | number> {
  const client = new WebSocket(url, { headers })
  try {
    return await new Promise((resolve, reject) => {
      client.on('message', data => resolve(String(data)))
        .on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
        .on('error', reject)
    })
  } finally {
    client.terminate()
  }
}

t.test('a server of bare ws answers a clean rejection', async t => {
  const app = await start(t)
  const server = serveWebSockets(app, '/live')
  server.on('connection', (client: WebSocket, _request: IncomingMessage, identity: CfAccessIdentity) => {
    client.send(`hello ${identity.kind === 'user' ? identity.email : ''}`)
  })
  const port = await listen(app)
  const url = `ws://127.0.0.1:${port}/live`
  t.equal(await open(url, bearing(good)), 'hello a@acme.com')
  t.equal(await open(url, {}), 401)
  t.equal(await open(url, bearing(foreign)), 401)
  t.equal(await open(url, { ...bearing(good), origin: 'https://evil.example' }), 403)
  t.equal(await open(url, { ...bearing(good), origin: `http://127.0.0.1:${port}` }), 'hello a@acme.com')
  t.equal(await open(`ws://127.0.0.1:${port}/else`, bearing(good)), 404)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const offline = await start(t, { teamDomain: endpoint.domain })
  serveWebSockets(offline, '/live')
  t.equal(await open(`ws://127.0.0.1:${await listen(offline)}/live`, bearing(endpoint.token())), 503)
})

t.test('tRPC procedures know who calls, over HTTP and over a WebSocket', async t => {
  const app = await start(t, { prefix: '/trpc' })
  await serveTrpc(app)
  const port = await listen(app)
  const http = (token: string) => createTRPCClient<typeof router>({
    links: [httpLink({ url: `http://127.0.0.1:${port}/trpc`, headers: bearing(token) })]
  })
  t.equal(await http(good).whoami.query(), 'a@acme.com')
  t.equal(await http(good).secret.query(), 'the secret of the admins')
  await t.rejects(http(other).secret.query(), { message: 'FORBIDDEN' })
  await t.rejects(http(foreign).whoami.query(), { name: 'TRPCClientError' })
  const overSocket = async (token: string): Promise<unknown> => {
    class Bearing extends WebSocket { constructor (url: string) { super(url, { headers: bearing(token) }) } }
    const client = createWSClient({ url: `ws://127.0.0.1:${port}/trpc-socket`, WebSocket: Bearing as unknown as typeof globalThis.WebSocket })
    try {
      return await createTRPCClient<typeof router>({ links: [wsLink({ client })] }).secret.query()
    } finally {
      await client.close()
    }
  }
  t.equal(await overSocket(good), 'the secret of the admins')
  await t.rejects(overSocket(other), { message: 'FORBIDDEN' })
})
