// @fastify/aws-lambda: events of API Gateway and of a load balancer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import awsLambda from '@fastify/aws-lambda'
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { access, alice, AUDIENCE, tokenOf } from '../fixtures/neighbours.js'
import { importSnippet } from '../fixtures/snippet.js'

const HOST = 'app.example.com'
const ofAlice = tokenOf('alice@acme.com')

/** @param {import('node:test').TestContext} t */
async function createHandler (t) {
  const app = Fastify()
  t.after(() => app.close())
  const handler = /** @type {(event: object, context: object) => Promise<any>} */ (awsLambda(app))
  await app.register(cfAccess, { ...access, audience: { [HOST]: AUDIENCE }, prefix: '/admin' })
  app.get('/', async () => 'open')
  app.get('/admin', async request => {
    const { event } = /** @type {any} */ (request).awsLambda
    return { email: request.cfAccess?.email, ip: request.ip, stage: event.requestContext.stage }
  })
  await app.ready()
  return handler
}

/**
 * What an HTTP API sends, payload format 2.0.
 *
 * @param {string} rawPath
 * @param {{ headers?: Record<string, string>, cookies?: string[] }} [more]
 */
const event2 = (rawPath, { headers = {}, cookies } = {}) => ({
  version: '2.0',
  rawPath,
  rawQueryString: '',
  headers: { host: HOST, ...headers },
  cookies,
  requestContext: { stage: '$default', http: { method: 'GET', path: rawPath, sourceIp: '203.0.113.7' } }
})

/**
 * What a REST API sends, payload format 1.0.
 *
 * @param {Record<string, string[]>} headers
 */
const event1 = headers => ({
  version: '1.0',
  httpMethod: 'GET',
  path: '/admin',
  headers: Object.fromEntries(Object.entries({ Host: [HOST], ...headers }).map(([name, values]) => [name, values.at(-1)])),
  multiValueHeaders: { Host: [HOST], ...headers },
  requestContext: { stage: 'prod', identity: { sourceIp: '203.0.113.7' } }
})

test('the snippet guards', async t => {
  Object.assign(process.env, { CF_ACCESS_TEAM_DOMAIN: access.teamDomain, CF_ACCESS_AUD: access.audience })
  const { app, handler } = await importSnippet('lambda', { 'const app': 'export const app' })
  t.after(() => app.close())
  assert.equal((await handler(event2('/'), {})).statusCode, 401)
  const { statusCode, body } = await handler(event2('/', { headers: alice }), {})
  assert.equal(statusCode, 200)
  assert.deepEqual(JSON.parse(body), { email: 'alice@acme.com' })
})

test('an event of an HTTP API has the token in a header or in its cookies', async t => {
  const handler = await createHandler(t)
  assert.equal((await handler(event2('/'), {})).body, 'open')

  const rejected = await handler(event2('/admin'), {})
  assert.equal(rejected.statusCode, 401)
  assert.equal(rejected.headers['cache-control'], 'no-store')
  assert.equal(JSON.parse(rejected.body).code, 'FST_CF_ACCESS_TOKEN_MISSING')
  assert.equal((await handler(event2('/admin/none'), {})).statusCode, 401)

  const expected = { email: 'alice@acme.com', ip: '203.0.113.7', stage: '$default' }
  const byHeader = await handler(event2('/admin', { headers: alice }), {})
  assert.equal(byHeader.statusCode, 200)
  assert.deepEqual(JSON.parse(byHeader.body), expected)
  const byCookie = await handler(event2('/admin', { cookies: ['theme=dark', `CF_Authorization=${ofAlice}`] }), {})
  assert.deepEqual(JSON.parse(byCookie.body), expected)
  // API Gateway has a hostname of its own, on which everyone can reach the function.
  const around = { headers: { ...alice, host: 'a1b2c3.execute-api.eu-central-1.amazonaws.com' } }
  assert.equal((await handler(event2('/admin', around), {})).statusCode, 401)
})

test('an event of a REST API spells its headers as the client did', async t => {
  const handler = await createHandler(t)
  assert.equal((await handler(event1({}), {})).statusCode, 401)
  const { statusCode, body } = await handler(event1({ 'Cf-Access-Jwt-Assertion': [ofAlice] }), {})
  assert.equal(statusCode, 200)
  assert.deepEqual(JSON.parse(body), { email: 'alice@acme.com', ip: '203.0.113.7', stage: 'prod' })
  const twice = event1({ 'Cf-Access-Jwt-Assertion': [ofAlice, tokenOf('bob@acme.com')] })
  assert.equal((await handler(twice, {})).statusCode, 401, 'two tokens are none')
})
