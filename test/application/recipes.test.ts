import { FastifyOtelInstrumentation } from '@fastify/otel'
import fastifyRateLimit from '@fastify/rate-limit'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { context, metrics } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader, type MetricData
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { LightMyRequestResponse } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { mcp } from '../../example/recipes/mcp.js'
import { measureAccess as measureByMeter, traceCallers } from '../../example/recipes/opentelemetry.js'
import { measureAccess } from '../../example/recipes/prometheus.js'
import { limitEach } from '../../example/recipes/rate-limit.js'
import { cfAccess, channels } from '../../lib/index.js'
import { stopClock } from '../fixtures/clock.js'
import { AUD, bearing, createApp, listen, startTeam } from '../fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await startTeam(t)
const access = { teamDomain: team.domain, audience: AUD }
const alice = team.userToken({
  email: 'alice@acme.com',
  audience: AUD,
  identity: { groups: [{ name: 'staff' }, { name: 'billing' }] }
})
// His identity provider tells no groups.
const bob = team.userToken({ email: 'bob@acme.com', audience: AUD, identity: { groups: undefined } })
const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
const device = team.certificateToken({ commonName: 'build machine 7', audience: AUD })
const forged = `${alice.slice(0, -8)}AAAAAAAA`

/** A team without keys: no token of its can be told from a forgery. */
const down = await startTeam(t)
down.outage('error')
const unknown = down.userToken({ email: 'alice@acme.com', audience: AUD })

const stopsListening = (t: Test): void => {
  for (const { name, hasSubscribers } of Object.values(channels)) {
    t.equal(hasSubscribers, false, `${String(name)} has no listener left`)
  }
}

t.test('an MCP server\'s tools know who calls', async t => {
  const app = createApp(t)
  app.register(mcp, { ...access, prefix: '/mcp' })
  const url = new URL(`http://127.0.0.1:${await listen(app)}/mcp`)

  /** A client of the official SDK, as Access would pass its requests on. */
  async function connect (token?: string): Promise<Client> {
    const client = new Client({ name: 'test', version: '1.0.0' })
    const transport = new StreamableHTTPClientTransport(url,
      { requestInit: { headers: token === undefined ? {} : bearing(token) } })
    t.teardown(() => client.close())
    await client.connect(transport as Transport)
    return client
  }
  const say = async (client: Client, name: string): Promise<unknown> => (await client.callTool({ name })).content

  const [ofAlice, ofBob, ofRobot, ofDevice] = await Promise.all([alice, bob, robot, device].map(connect))
  t.strictSame(await Promise.all([ofAlice, ofBob, ofRobot, ofDevice].map(client => say(client!, 'whoami'))), [
    [{ type: 'text', text: 'alice@acme.com' }],
    [{ type: 'text', text: 'bob@acme.com' }],
    [{ type: 'text', text: CLIENT_ID }],
    [{ type: 'text', text: 'build machine 7' }]
  ])
  t.strictSame(await say(ofAlice!, 'groups'), [{ type: 'text', text: 'staff, billing' }])
  t.strictSame(await say(ofBob!, 'groups'), [{ type: 'text', text: 'unknown' }])
  t.strictSame((await ofAlice!.listTools()).tools.map(({ name }) => name), ['whoami', 'groups'])
  t.strictSame((await ofRobot!.listTools()).tools.map(({ name }) => name), ['whoami'],
    'a service sees no tool for users')

  await t.rejects(connect(), { message: /TOKEN_MISSING/ }, 'without a token')
  await t.rejects(connect('no.good.token'), { message: /TOKEN_INVALID/ }, 'a stranger')
  const byCookie = await fetch(url, { method: 'POST', headers: { cookie: `CF_Authorization=${alice}` } })
  t.equal(byCookie.status, 401, 'a browser\'s cookie is not accepted')
  for (const [headers, status] of [[{}, 401], [bearing(alice), 405]] as const) {
    t.equal((await fetch(url, { method: 'DELETE', headers })).status, status)
  }
})

t.test('Prometheus learns of verifications, refreshes and rejections', async t => {
  const register = new Registry()
  const stop = measureAccess(register)
  const app = createApp(t)
  app.register(cfAccess, { ...access, policy: { exclude: { email: 'bob@acme.com' } }, keys: { cooldown: '1234ms' } })
  app.get('/', async () => 'in')
  app.register(cfAccess, { ...access, teamDomain: down.domain, prefix: '/down' })
  for (const token of [alice, alice, bob, robot, forged]) await app.inject({ url: '/', headers: bearing(token) })
  await app.inject('/')
  await app.inject({ url: '/down', headers: bearing(unknown) })
  stop()
  await app.inject({ url: '/', headers: bearing(alice) })
  stopsListening(t)

  const lines = (await register.metrics()).split('\n')
  for (const expected of [
    'cf_access_verification_seconds_count{outcome="verified",cached="false",kind="user"} 2',
    'cf_access_verification_seconds_count{outcome="verified",cached="true",kind="user"} 1',
    'cf_access_verification_seconds_count{outcome="verified",cached="false",kind="service"} 1',
    'cf_access_verification_seconds_count{outcome="FST_CF_ACCESS_TOKEN_INVALID",cached="false",kind="none"} 1',
    'cf_access_key_refreshes_total{outcome="rotated"} 1',
    'cf_access_key_refreshes_total{outcome="failed"} 1',
    'cf_access_rejections_total{code="FST_CF_ACCESS_FORBIDDEN",reason="policy",rule="exclude.email"} 1',
    'cf_access_rejections_total{code="FST_CF_ACCESS_TOKEN_INVALID",reason="signature",rule="none"} 1',
    'cf_access_rejections_total{code="FST_CF_ACCESS_TOKEN_MISSING",reason="missing",rule="none"} 1',
    'cf_access_rejections_total{code="FST_CF_ACCESS_KEYS_UNAVAILABLE",reason="none",rule="none"} 1'
  ]) t.ok(lines.includes(expected), expected)
})

t.test('OpenTelemetry gets the same figures, and its spans have the kind of caller and the rejection', async t => {
  const spans = new InMemorySpanExporter()
  const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 3_600_000 })
  const meters = new MeterProvider({ readers: [reader] })
  t.teardown(() => meters.shutdown())
  metrics.setGlobalMeterProvider(meters)
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const otel = new FastifyOtelInstrumentation()
  otel.setTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
  const stop = measureByMeter()

  const app = createApp(t)
  await app.register(otel.plugin())
  app.register(cfAccess, { ...access, keys: { cooldown: '1235ms' } })
  app.register(cfAccess, { ...access, teamDomain: down.domain, prefix: '/down', keys: { cooldown: '1235ms' } })
  traceCallers(app)
  app.get('/', async () => 'in')
  app.get('/down', async () => 'in')
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).body, 'in')
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).body, 'in')
  t.equal((await app.inject('/')).statusCode, 401)
  t.equal((await app.inject({ url: '/', headers: bearing(forged) })).statusCode, 401)
  t.equal((await app.inject({ url: '/down', headers: bearing(unknown) })).statusCode, 503)
  stop()
  stopsListening(t)

  await reader.forceFlush()
  const data = measured.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics).flatMap(({ metrics }) => metrics)
  const of = (name: string): MetricData['dataPoints'] =>
    data.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
  t.match(of('cf_access.verification.duration'), [
    { attributes: { outcome: 'verified', cached: false, kind: 'user' }, value: { count: 1 } },
    { attributes: { outcome: 'verified', cached: true, kind: 'user' }, value: { count: 1 } },
    { attributes: { outcome: 'FST_CF_ACCESS_TOKEN_INVALID', cached: false, kind: 'none' }, value: { count: 1 } },
    { attributes: { outcome: 'FST_CF_ACCESS_KEYS_UNAVAILABLE', cached: false, kind: 'none' }, value: { count: 1 } }
  ])
  t.strictSame(of('cf_access.key_refreshes').map(({ attributes }) => attributes['outcome']).sort(),
    ['failed', 'rotated'])
  t.match(of('cf_access.rejections'), [
    { attributes: { code: 'FST_CF_ACCESS_TOKEN_MISSING', reason: 'missing', rule: 'none' }, value: 1 },
    { attributes: { code: 'FST_CF_ACCESS_TOKEN_INVALID', reason: 'signature', rule: 'none' }, value: 1 },
    { attributes: { code: 'FST_CF_ACCESS_KEYS_UNAVAILABLE', reason: 'none', rule: 'none' }, value: 1 }
  ])

  const requests = spans.getFinishedSpans().filter(({ name }) => name === 'request')
  t.strictSame(requests.map(({ attributes }) => attributes['cf_access.kind']),
    ['user', 'user', undefined, undefined, undefined])
  t.match(requests[2]!.events, [{ name: 'exception', attributes: { 'exception.type': 'FST_CF_ACCESS_TOKEN_MISSING' } }])
})

t.test('the rate limit counts by caller, or by address without an identity', async t => {
  const app = createApp(t)
  await limitEach(app, access, { requests: 1, rejections: 100 })
  app.get('/', async () => 'in')
  app.get('/open', { config: { cfAccess: false } }, async () => 'in')
  const statusOf = async (headers: Record<string, string> = {}, url = '/'): Promise<number> =>
    (await app.inject({ url, headers })).statusCode
  for (const token of [alice, bob, robot]) {
    t.equal(await statusOf(bearing(token)), 200)
    t.equal(await statusOf(bearing(token)), 429)
  }
  t.equal(await statusOf(bearing(team.userToken({ email: 'alice@acme.com', audience: AUD, expiresIn: '1m' }))), 429,
    'another token is not another caller')
  for (let i = 0; i < 3; i++) t.equal(await statusOf(), 401)
  t.equal(await statusOf({}, '/open'), 200)
  t.equal(await statusOf({}, '/open'), 429, 'by address, where no caller is known')
})

t.test('D-23 strangers get 429 after so many rejections, and users from there keep their own limits', async t => {
  stopClock(t)
  const app = createApp(t)
  await limitEach(app, access, { requests: 5, rejections: 3 })
  app.get('/', async () => 'in')
  app.get('/bob', { config: { cfAccess: { include: { email: 'bob@acme.com' } } } }, async () => 'in')
  app.get('/late', { config: { cfAccess: false }, preHandler: app.cfAccess.guard() }, async () => 'in')
  app.get('/broken', { config: { cfAccess: false } }, async () => { throw new Error('mine') })
  const ask = async (url: string, headers = {}, remoteAddress = '203.0.113.7'): Promise<LightMyRequestResponse> =>
    app.inject({ url, headers, remoteAddress })

  const rejected = [await ask('/'), await ask('/none', bearing(forged)), await ask('/bob', bearing(alice))]
  t.strictSame(rejected.map(({ statusCode }) => statusCode), [401, 401, 403])
  t.match(rejected[0]!.headers, { 'www-authenticate': 'Cloudflare-Access', 'cache-control': 'no-store' })
  t.match(rejected[0]!.json(), { code: 'FST_CF_ACCESS_TOKEN_MISSING' })
  const again = [['/', {}], ['/', bearing(forged)], ['/none', {}], ['/bob', bearing(alice)], ['/late', {}]] as const
  for (const [url, headers] of again) {
    const { statusCode, headers: answered } = await ask(url, headers)
    t.equal(statusCode, 429, url)
    t.match(answered, { 'retry-after': '60', 'cache-control': 'no-store' })
    t.notOk('www-authenticate' in answered)
  }

  for (let i = 0; i < 5; i++) t.equal((await ask('/', bearing(bob))).statusCode, 200)
  t.equal((await ask('/', bearing(bob))).statusCode, 429, 'his own limit')
  t.equal((await ask('/', bearing(robot))).statusCode, 200)
  t.equal((await ask('/', {}, '203.0.113.8')).statusCode, 401, 'another address')
  t.equal((await ask('/broken')).statusCode, 500)

  const unavailable = createApp(t)
  await limitEach(unavailable, { ...access, teamDomain: down.domain }, { requests: 0, rejections: 0 })
  const { statusCode } = await unavailable.inject({ url: '/', headers: bearing(unknown) })
  t.equal(statusCode, 503, 'is not the client\'s doing, and not counted')
})

t.test('D-23 the limiter alone sees no rejection, in either order', async t => {
  for (const isFirst of [true, false]) {
    const app = createApp(t)
    if (isFirst) await app.register(fastifyRateLimit, { max: 1 })
    await app.register(cfAccess, access)
    if (!isFirst) await app.register(fastifyRateLimit, { max: 1 })
    app.get('/', async () => 'in')
    for (let i = 0; i < 3; i++) t.equal((await app.inject('/')).statusCode, 401)
    t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 200)
    t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 429)
  }
})
