import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import fastifyCors from '@fastify/cors'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyServerOptions, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, guard, type CfAccessOptions } from '../../lib/index.js'
import { expectAdmitted, expectRejected } from '../fixtures/expect.js'
import { AUD, bearing, createApp, listen, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const token = team.userToken({ email: 'a@acme.com', audience: AUD })
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }
const HOST = 'app.example.com'
const EVIL = 'https://evil.example'

async function start (
  t: Test, own: Partial<CfAccessOptions> = {}, server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = createApp(t, server)
  await app.register(cfAccess, { ...options, ...own })
  app.all('/', async () => 'in')
  app.all('/form-post', { config: { cfAccess: { trustedOrigins: 'any' } } }, async () => 'in')
  app.all('/partner', { config: { cfAccess: { trustedOrigins: ['https://partner.example'] } } }, async () => 'in')
  app.all('/optional', { config: { cfAccess: 'optional' } }, async request => request.cfAccess?.kind ?? 'none')
  app.all('/guard', { config: { cfAccess: { trustedOrigins: ['https://partner.example'] } }, onRequest: guard() },
    async () => 'in')
  return app
}

type Method = 'GET' | 'HEAD' | 'OPTIONS' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
const METHODS: readonly Method[] = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The headers of a browser, and whether a request that changes something passes with them. */
const BROWSERS: ReadonlyArray<readonly [passes: boolean, headers: Record<string, string>]> = [
  [true, {}], // not a browser
  [true, { 'sec-fetch-site': 'same-origin' }],
  [true, { 'sec-fetch-site': 'same-origin', origin: `https://${HOST}` }],
  [true, { 'sec-fetch-site': 'none' }],
  [true, { 'sec-fetch-site': 'same-origin', origin: EVIL }], // behind a proxy that rewrites the host
  [false, { 'sec-fetch-site': 'same-site', origin: 'https://other.example.com' }],
  [false, { 'sec-fetch-site': 'cross-site', origin: EVIL }],
  [false, { 'sec-fetch-site': 'cross-site', origin: `https://${HOST}` }],
  [false, { 'sec-fetch-site': 'cross-site' }],
  [false, { 'sec-fetch-site': '' }],
  [false, { 'sec-fetch-site': 'unknown' }],
  [true, { origin: `https://${HOST}` }],
  [true, { origin: `http://${HOST}` }], // TLS ends at the edge
  [true, { origin: `https://${HOST.toUpperCase()}` }],
  [false, { origin: EVIL }],
  [false, { origin: 'null' }],
  [false, { origin: '' }],
  [false, { origin: HOST }],
  [false, { origin: `https://${HOST}.evil.example` }],
  [false, { origin: `https://evil.example/${HOST}` }],
  [false, { origin: `https://${HOST}@evil.example` }],
  [false, { origin: `https://user@${HOST}` }],
  [false, { origin: `https://${HOST}, ${EVIL}` }],
  [false, { origin: `https://sub.${HOST}` }]
]

t.test('X-25 only a page of the same host can change something', async t => {
  const app = await start(t)
  for (const [passes, headers] of BROWSERS) {
    for (const method of METHODS) {
      for (const upgrade of [{}, { connection: 'upgrade', upgrade: 'websocket' }]) {
        const isSafe = !('upgrade' in upgrade) && ['GET', 'HEAD', 'OPTIONS'].includes(method)
        const status = isSafe || passes ? 200 : 403
        const what = JSON.stringify({ method, ...upgrade, ...headers })
        const request = { method, headers: { host: HOST, ...headers, ...upgrade } }
        const authenticated = { ...request, headers: { ...request.headers, ...bearing(token) } }
        t.equal((await app.inject({ ...authenticated, url: '/' })).statusCode, status, what)
        t.equal((await app.inject({ ...request, url: '/' })).statusCode, 401, `${what}, no token`)
        t.equal((await app.inject({ ...authenticated, url: '/form-post' })).statusCode, 200, `${what}, any`)
        if (method === 'HEAD') continue
        const optional = await app.inject({ ...authenticated, url: '/optional' })
        t.equal(optional.body, status === 200 ? 'user' : 'none', `${what}, optional`)
      }
    }
  }
})

/** An origin, the host it asks, and whether that is the same. Chromium sends no Sec-Fetch-Site with WebSockets. */
const PORTS: ReadonlyArray<readonly [isSame: boolean, origin: string, host: string]> = [
  [true, 'https://app', 'app'], [true, 'https://app:8443', 'app:8443'], [true, 'https://app', 'app:443'],
  [true, 'http://app', 'app:80'], [true, 'https://app', 'app:3000'], // a proxy that adds its upstream's port
  [true, 'https://app:8443', 'app'], [true, 'http://[::1]:3000', '[::1]:3000'], [true, 'http://[::1]', '[::1]'],
  [true, 'https://app', 'APP:443'], [true, 'web+app://app', 'app'], [true, 'x://app', 'app'],
  [true, 'https://app:8443', 'app:443'], [true, 'https://app:8443', 'app:80'], // default ports do not count
  [true, 'https://app:443', 'app:3000'], [true, 'http://app:80', 'app:3000'],
  [true, 'http://127.0.0.1:3000', '127.0.0.1:3000'], [true, 'tauri://localhost', 'localhost'],
  [false, 'https://app:8443', 'app:9443'], [false, 'http://127.0.0.1:3001', '127.0.0.1:3000'],
  [false, 'http://[::1]:3001', '[::1]:3000'], [false, 'http://localhost:3000', '127.0.0.1:3000'],
  [false, 'https://app', 'app.'], [false, 'https://app', ''], [false, 'https://app', 'app@app'],
  [false, 'https://app:x', 'app:x'], [false, 'https://app:', 'app:'], [false, 'http://[]', '[]'], [false, 'https://', '']
]

t.test('X-25 hosts are compared, and ports where both have one', async t => {
  const app = await start(t)
  for (const [isSame, origin, host] of PORTS) {
    const { statusCode } = await app.inject({ method: 'POST', url: '/', headers: { ...bearing(token), origin, host } })
    t.equal(statusCode, isSame ? 200 : 403, `${origin} at ${host}`)
  }
})

t.test('X-25 origins that a registration or a route trusts', async t => {
  const trusted = ['https://web.example.com', 'https://web.example.com:8443', 'https://web.example.com:80',
    'http://web.example.com:443', 'tauri://localhost', 'http://[::1]:3000']
  const app = await start(t, { trustedOrigins: trusted })
  const statusOf = async (url: string, origin: string): Promise<number> => {
    const headers = { ...bearing(token), host: HOST, origin, 'sec-fetch-site': 'cross-site' }
    return (await app.inject({ method: 'POST', url, headers })).statusCode
  }
  for (const origin of trusted) {
    for (const url of ['/', '/partner', '/form-post', '/guard']) t.equal(await statusOf(url, origin), 200, `${url} ${origin}`)
  }
  for (const origin of ['https://web.example.com.evil.example', 'http://web.example.com', 'https://web.example.com:1', EVIL,
    'null', 'https://WEB.example.com']) {
    for (const url of ['/', '/partner', '/guard']) t.equal(await statusOf(url, origin), 403, `${url} ${origin}`)
    t.equal(await statusOf('/form-post', origin), 200, `/form-post ${origin}`)
  }
  t.equal(await statusOf('/partner', 'https://partner.example'), 200)
  t.equal(await statusOf('/guard', 'https://partner.example'), 200)
  t.equal(await statusOf('/', 'https://partner.example'), 403, 'of another route')
  const any = await start(t, { trustedOrigins: 'any' })
  await expectAdmitted(t, any, { method: 'POST', url: '/', headers: { ...bearing(token), origin: EVIL } })
})

t.test('X-25 a rejection has its code, and the first of a registration is warned of', async t => {
  const lines: Array<Record<string, unknown>> = []
  const logger = { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  const app = await start(t, {}, { logger })
  const headers = { ...bearing(token), host: HOST, origin: `${EVIL}/${'x'.repeat(300)}` }
  const request = { method: 'POST', url: '/', headers } as const
  await expectRejected(t, app, request, 403, 'CROSS_ORIGIN', 'the first')
  t.strictSame(lines.map(({ level }) => level).filter(level => level === 40), [40])
  await expectRejected(t, app, request, 403, 'CROSS_ORIGIN', 'the second')
  const warnings = lines.filter(({ level }) => level === 40)
  t.match(warnings, [{ origin: /^https:\/\/evil\.example\/x+$/, host: HOST, msg: /trustProxy.*trustedOrigins/ }])
  t.equal(warnings.length, 1)
  t.equal(String(warnings[0]?.['origin']).length, 200, 'cut')
  t.match(lines.filter(({ code }) => code !== undefined),
    [{ code: 'FST_CF_ACCESS_CROSS_ORIGIN', reason: 'cross-origin' }, { reason: 'cross-origin' }])
})

t.test('X-25 behind a proxy that rewrites the host', async t => {
  const from = (origin: string): InjectOptions => {
    const headers = { ...bearing(token), host: 'origin.internal:3000', 'x-forwarded-host': HOST, origin }
    return { method: 'POST', url: '/', headers }
  }
  await expectRejected(t, await start(t), from(`https://${HOST}`), 403, 'CROSS_ORIGIN', 'without trustProxy')
  const app = await start(t, {}, { trustProxy: true })
  await expectAdmitted(t, app, from(`https://${HOST}`))
  await expectRejected(t, app, from(EVIL), 403, 'CROSS_ORIGIN')
})

t.test('X-25 beside @fastify/cors with the same origins', async t => {
  const web = 'https://web.example.com'
  const app = createApp(t)
  await app.register(fastifyCors, { origin: [web], credentials: true, methods: ['GET', 'POST', 'PUT'] })
  await app.register(cfAccess, { ...options, trustedOrigins: [web] })
  app.put('/', async () => 'in')
  const from = (origin: string, method: 'PUT' | 'OPTIONS', more: object): InjectOptions =>
    ({ method, url: '/', headers: { host: HOST, origin, 'sec-fetch-site': 'cross-site', ...more } })
  const preflight = await app.inject(from(web, 'OPTIONS', { 'access-control-request-method': 'PUT' }))
  t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': web } })
  const admitted = await expectAdmitted(t, app, from(web, 'PUT', bearing(token)))
  t.match(admitted.headers, { 'access-control-allow-origin': web })
  await expectRejected(t, app, from(EVIL, 'PUT', bearing(token)), 403, 'CROSS_ORIGIN')
})

t.test('X-25 a WebSocket of another origin is rejected', async t => {
  const app = createApp(t)
  await app.register(fastifyWebsocket)
  await app.register(cfAccess, { ...options, trustedOrigins: ['https://web.example.com'] })
  app.get('/', { websocket: true }, socket => { socket.close() })
  const port = await listen(app)
  const upgrade = async (headers: Record<string, string>): Promise<number> => {
    const request = httpRequest({
      port,
      headers: {
        ...bearing(token),
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers
      }
    })
    request.end()
    const [{ statusCode, socket }] = await Promise.race([once(request, 'response'), once(request, 'upgrade')])
    socket.destroy()
    return statusCode
  }
  t.equal(await upgrade({}), 101)
  t.equal(await upgrade({ origin: `http://localhost:${port}` }), 101)
  t.equal(await upgrade({ origin: 'https://web.example.com' }), 101)
  t.equal(await upgrade({ origin: EVIL }), 403)
  t.equal(await upgrade({ origin: `http://localhost:${port + 1}` }), 403, 'another port')
  t.equal(await upgrade({ origin: 'null' }), 403)
})

t.test('X-25 origins that no browser sends stop the start', async t => {
  for (const origin of ['null', '*', 'https://*.example.com', 'app.example.com', 'https://app.example.com/', 'https://a.com:443',
    'http://a.com:80', 'https://', '', ' https://a.com', 'https://a.com/x', 'https://user@a.com', 7, null]) {
    const message = /^Option "trustedOrigins" has .*; it takes a list of origins/
    await t.rejects(start(t, { trustedOrigins: [origin as string] }), { message }, String(origin))
    await t.rejects(start(t, { trustedOrigins: origin as 'any' }), { message }, String(origin))
  }
})
