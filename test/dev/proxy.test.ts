import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import fastifyWebsocket from '@fastify/websocket'
import Fastify from 'fastify'
import t from 'tap'
import { createAccessEdge } from '../../lib/dev/index.js'
import {
  accessHeadersInEverySpelling, API, ask, BROWSER, cookieIn, HANDSHAKE, serve, serveEcho, signIn, startEdge, variableOf
} from '../fixtures/edge.js'

const BIG = randomBytes(3 * 1024 * 1024)
const CREDENTIALS = { clientId: 'robot.access', clientSecret: 'x' }
const ROBOT = { 'cf-access-client-id': 'robot.access', 'cf-access-client-secret': 'x' }

function digest (data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

async function read (stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

let answersOf503 = 0

const { origin: to } = await serve(t, async (request, response): Promise<unknown> => {
  const { url, method } = request
  if (url === '/digest') {
    return response.end(`${method} ${request.headers['content-type']} ${digest(await read(request))}`)
  }
  if (url === '/big') return response.end(BIG)
  if (url === '/busy') return response.writeHead(503, { 'retry-after': '1' }).end(`busy ${++answersOf503}`)
  if (url === '/moved') {
    return response.writeHead(307, { location: '/elsewhere?x=1', 'set-cookie': ['a=1', 'b=2; Path=/'] }).end()
  }
  if (url === '/method') return response.end(method)
  if (url === '/broken') return request.socket.destroy()
  if (url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    request.socket.on('close', () => { response.emit('left') })
    events = response
  }
  return undefined
})
let events: ServerResponse | undefined

const edge = await startEdge(t, { to, serviceTokens: [CREDENTIALS] })

t.test('large bodies of every type pass through unchanged', async t => {
  for (const type of ['application/octet-stream', 'text/plain', 'application/json', 'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded']) {
    const { status, body } = await ask(`${edge.url}/digest`, {
      method: 'POST',
      headers: { ...ROBOT, 'content-type': type },
      body: BIG
    })
    t.equal(status, 200, type)
    t.equal(body, `POST ${type} ${digest(BIG)}`)
  }
})

t.test('bodies of unknown length, and with Expect: 100-continue, pass through too', async t => {
  for (const headers of [{ 'transfer-encoding': 'chunked' },
    { expect: '100-continue', 'content-length': String(BIG.length) }]) {
    const request = httpRequest(`${edge.url}/digest`, {
      method: 'PUT',
      headers: { ...ROBOT, 'content-type': 'x/y', ...headers }
    })
    request.flushHeaders()
    if ('expect' in headers) await once(request, 'continue')
    request.end(BIG)
    const [response] = await once(request, 'response') as [IncomingMessage]
    t.equal(String(await read(response)), `PUT x/y ${digest(BIG)}`)
  }
})

t.test('a request with a body to get-identity is answered', async t => {
  const { status, body } = await ask(`${edge.url}/method`, {
    headers: { ...ROBOT, 'content-type': 'application/json', 'content-length': '2' },
    body: '{}'
  })
  t.strictSame([status, body], [200, 'GET'])
})

t.test('a large answer comes through whole', async t => {
  const request = httpRequest(`${edge.url}/big`, { headers: ROBOT }).end()
  const [response] = await once(request, 'response') as [IncomingMessage]
  t.equal(digest(await read(response)), digest(BIG))
})

t.test('an event stream comes through event by event, and ends with its reader', async t => {
  const request = httpRequest(`${edge.url}/events`, { headers: ROBOT }).end()
  const [response] = await once(request, 'response') as [IncomingMessage]
  t.equal(response.headers['content-type'], 'text/event-stream')
  t.equal(String((await once(response, 'data'))[0]), 'data: 1\n\n')
  const next = once(response, 'data')
  events!.write('data: 2\n\n')
  t.equal(String((await next)[0]), 'data: 2\n\n')
  const left = once(events!, 'left')
  request.destroy()
  await left
})

t.test('every method comes through', async t => {
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY', 'PROPFIND']) {
    t.equal((await ask(`${edge.url}/method`, { method, headers: { ...ROBOT, 'content-type': 'x/y' } })).body, method)
  }
})

t.test('the application\'s own answers come through as they are, once', async t => {
  const busy = await ask(`${edge.url}/busy`, { headers: ROBOT })
  t.match(busy, { status: 503, headers: { 'retry-after': '1' }, body: 'busy 1' })
  const moved = await ask(`${edge.url}/moved`, { headers: ROBOT })
  t.match(moved, { status: 307, headers: { location: '/elsewhere?x=1', 'set-cookie': ['a=1', 'b=2; Path=/'] } })
})

t.test('hop-by-hop headers of the app do not reach the client', async t => {
  const { status, headers } = await ask(`${edge.url}/method`, { headers: { ...ROBOT, connection: 'close' } })
  t.strictSame([status, headers.connection, headers['keep-alive']], [200, 'close', undefined])
})

t.test('an app that is down, or that ends the connection, gives 502', async t => {
  const unreachable = await startEdge(t, { to: 'http://127.0.0.1:1', serviceTokens: [CREDENTIALS] })
  for (const address of [unreachable.url, `${edge.url}/broken`]) {
    const { status, body } = await ask(address, { headers: ROBOT })
    t.equal(status, 502)
    t.match(body, /the application at http:\/\/127\.0\.0\.1:\d+ does not answer/)
  }
  const page = await ask(unreachable.url, { headers: { ...BROWSER, ...await signIn(unreachable, 'a@acme.com') } })
  t.equal(page.status, 502)
  t.match(page.headers, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
  t.match(page.body, /<code>http:\/\/127\.0\.0\.1:1<\/code>.*ECONNREFUSED/s)
})

t.test('a WebSocket comes through with the token of its handshake, and not without a session', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(fastifyWebsocket)
  app.get('/live', { websocket: true }, (socket, request) => {
    socket.on('message',
      (message: Buffer) => {
        socket.send(
      `${message} from ${request.headers['cf-access-authenticated-user-email']}, ${request.headers.host}, ${request.headers['x-own']}`)
      })
  })
  const front = await startEdge(t, { to: await app.listen({ port: 0, host: '127.0.0.1' }) })
  const headers = await signIn(front, 'alice@acme.com')

  const address = `${front.url}/live?x=1`
  const odd = { 'cf-access-authenticated-user-email': 'root@acme.com', 'x-own': 'kept' }
  const request = httpRequest(address, { headers: { ...HANDSHAKE, ...headers, ...odd } }).end()
  const [accepted, socket] = await once(request, 'upgrade') as [IncomingMessage, Socket]
  t.equal(accepted.statusCode, 101)
  // One frame of text each way; a mask of zeros leaves it as it is (RFC 6455, section 5.2).
  socket.write(Buffer.concat([Buffer.from([0x81, 0x85, 0, 0, 0, 0]), Buffer.from('hello')]))
  const [answer] = await once(socket, 'data') as [Buffer]
  t.equal(String(answer.subarray(2)), `hello from alice@acme.com, ${new URL(front.url).host}, kept`)
  socket.destroy()

  t.equal((await ask(address, { headers: HANDSHAKE })).status, 302)
})

t.test('a WebSocket that the application rejects is rejected to the browser, with its answer', async t => {
  const { origin, server } = await serve(t, () => {})
  server.on('upgrade', (request, socket) => {
    const [protocol] = [request.headers['sec-websocket-protocol']]
    socket.end(`HTTP/1.1 ${protocol === 'busy' ? '503 Busy' : '403 No'}\r\nx-own: kept\r\nset-cookie: a=1\r\ncontent-length: 4\r\n\r\nbody`)
  })
  const front = await startEdge(t, { to: origin, serviceTokens: [CREDENTIALS] })
  for (const [protocol, status] of [['busy', 503], ['x', 403]] as const) {
    const answer = await ask(`${front.url}/live`,
      { headers: { ...ROBOT, ...HANDSHAKE, 'sec-websocket-protocol': protocol } })
    t.match(answer, { status, body: 'body', headers: { 'x-own': 'kept', 'set-cookie': ['a=1'] } })
  }
  for (const to of ['http://127.0.0.1:1', 'https://127.0.0.1:1']) {
    const none = await startEdge(t, { to, serviceTokens: [CREDENTIALS] })
    t.equal((await ask(none.url, { headers: { ...ROBOT, ...HANDSHAKE } })).status, 502, to)
  }
})

t.test('an upgrade that is no WebSocket comes through, and closing the edge ends it', async t => {
  const { origin, server } = await serve(t, () => {})
  const ends: Duplex[] = []
  server.on('upgrade', (request, socket, head) => {
    ends.push(socket)
    socket.write(`HTTP/1.1 101 Now\r\nUpgrade: ${request.headers.upgrade}\r\nConnection: Upgrade\r\n\r\nfirst`)
    socket.write(head)
    socket.pipe(socket)
  })
  const front = await createAccessEdge({ port: 0, to: origin, serviceTokens: [CREDENTIALS] })
  const request = httpRequest(front.url, { headers: { ...ROBOT, connection: 'Upgrade', upgrade: 'chat/1' } }).end()
  const [accepted, socket, head] = await once(request, 'upgrade') as [IncomingMessage, Socket, Buffer]
  t.match(accepted.headers, { upgrade: 'chat/1' })
  let received = String(head)
  socket.write('second')
  while (received !== 'firstsecond') received += String((await once(socket, 'data'))[0])
  const closed = [once(socket, 'close'), once(ends[0]!, 'close')]
  await front.close()
  await t.resolves(Promise.all(closed))
})

t.test('X-28 no header of a WebSocket reaches the application that it could read as one of Access\'s', async t => {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(fastifyWebsocket)
  const received = new Promise<string[]>(resolve => {
    app.get('/live', { websocket: true }, (_socket, { headers }) => { resolve(Object.keys(headers)) })
  })
  const front = await startEdge(t, { to: await app.listen({ port: 0, host: '127.0.0.1' }) })
  const headers = { ...HANDSHAKE, ...accessHeadersInEverySpelling(), ...await signIn(front, 'alice@acme.com') }
  const request = httpRequest(`${front.url}/live`, { headers }).end()
  const [, socket] = await once(request, 'upgrade') as [IncomingMessage, Socket]
  const names = (await received).filter(name => variableOf(name).startsWith('HTTP_CF_ACCESS_'))
  t.strictSame(names, ['cf-access-jwt-assertion', 'cf-access-authenticated-user-email'])
  socket.destroy()
})

t.test('a renewed session reaches the browser beside the application\'s cookies', async t => {
  const two = await startEdge(t, { to, applications: [{ path: '/' }, { path: '/moved' }] })
  const headers = { ...API, ...await signIn(two, 'alice@acme.com', two.applications[0]!.audience) }
  const { headers: { 'set-cookie': cookies = [] } } = await ask(`${two.url}/moved`, { headers })
  t.strictSame(cookies.map(cookie => cookie.split('=')[0]).sort(), ['CF_Authorization', 'a', 'b'])
  t.match(cookieIn({ 'set-cookie': cookies.filter(cookie => cookie.startsWith('CF_')) }), /HttpOnly; SameSite=Lax$/)
})

t.test('an app behind the edge alone still gets every request', async t => {
  const front = await startEdge(t, { to: `${await serveEcho(t)}/`, applications: [{ path: '/admin' }] })
  const addresses = ['/', '/a%2Fb', '/%E4%BD%A0', '/a//b', '/?']
  for (const target of addresses) t.equal(JSON.parse((await ask(front.url, { target })).body).url, target)
})
