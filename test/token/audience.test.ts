import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import {
  cfAccess, channels, type CfAccessOptions, type CfAccessRejection, type TokenInvalidError
} from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, startTeam } from '../fixtures/index.js'

const THIRD_AUD = 'c'.repeat(64)
const AUDIENCE = { 'app.example.com': AUD, '*.example.net': [OTHER_AUD, THIRD_AUD], 'own.example.net': AUD } as const

const team = await startTeam(t)
const tokenFor = (audience: string | string[]): string => team.userToken({ email: 'a@acme.com', audience })
const tokens = { a: tokenFor(AUD), b: tokenFor(OTHER_AUD), c: tokenFor(THIRD_AUD), both: tokenFor([AUD, OTHER_AUD]) }

async function start (
  t: Test, options: Partial<CfAccessOptions> = {}, server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = createApp(t, server)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE, ...options })
  app.get('/', async () => 'in')
  return app
}

/** `in`, or the reason of the rejection. */
async function ask (
  app: FastifyInstance, token: string, host: string, headers: Record<string, string> = {}
): Promise<string> {
  let reason: string | null = null
  const note = (rejection: CfAccessRejection): void => { reason = rejection.reason }
  channels.rejection.subscribe(note)
  const { body } = await app.inject({ url: '/', headers: { ...bearing(token), host, ...headers } })
  channels.rejection.unsubscribe(note)
  return reason ?? body
}

/** What each token gets on each host. */
const CASES: ReadonlyArray<readonly [host: string, a: string, b: string, c: string]> = [
  ['app.example.com', 'in', 'audience', 'audience'],
  ['APP.Example.com', 'in', 'audience', 'audience'],
  ['app.example.com:8443', 'in', 'audience', 'audience'],
  ['app.example.com.', 'in', 'audience', 'audience'],
  ['app.example.com.:443', 'in', 'audience', 'audience'],
  ['x.example.net', 'audience', 'in', 'in'],
  ['own.example.net', 'in', 'audience', 'audience'], // a whole name before a wildcard
  ['x.y.example.net', 'host', 'host', 'host'], // a wildcard is one label
  ['example.net', 'host', 'host', 'host'],
  ['.example.net', 'host', 'host', 'host'],
  ['*.example.net', 'audience', 'in', 'in'],
  ['evil.com', 'host', 'host', 'host'],
  ['app.example.com.evil.com', 'host', 'host', 'host'],
  ['app.example.com..', 'host', 'host', 'host'],
  ['evil@app.example.com', 'host', 'host', 'host'],
  ['app.example.com, x.example.net', 'host', 'host', 'host'],
  ['app.example.com:x', 'host', 'host', 'host'],
  ['', 'host', 'host', 'host']
]

t.test('X-26 a token counts on the hostnames of its AUD tag', async t => {
  const app = await start(t)
  for (const [host, ...expected] of CASES) {
    for (const [i, token] of [tokens.a, tokens.b, tokens.c].entries()) {
      const what = `${host} ${'abc'[i]}`
      t.equal(await ask(app, token, host), expected[i], what)
      t.equal(await ask(app, token, host), expected[i], `${what}, cached`)
    }
    t.equal(await ask(app, tokens.both, host), expected[0] === 'host' ? 'host' : 'in', `${host} both`)
  }
})

t.test('H-20 a token that one host has admitted is not admitted on another', async t => {
  const app = await start(t)
  t.equal(await ask(app, tokens.b, 'x.example.net'), 'in')
  t.equal(await ask(app, tokens.b, 'app.example.com'), 'audience')
  t.equal(await ask(app, tokens.b, 'y.example.net'), 'in')
  // Both wait for the keys of a new server.
  const cold = await start(t)
  const responses = await Promise.all(['x.example.net', 'app.example.com'].map(async host =>
    await cold.inject({ url: '/', headers: { ...bearing(tokens.b), host } })))
  t.strictSame(responses.map(({ statusCode }) => statusCode), [200, 401])
})

t.test('H-20 in any order of tokens and hosts', async t => {
  const app = await start(t)
  const names = ['a', 'b', 'c'] as const
  const requests = CASES.flatMap(([host, ...expected]) =>
    names.map((name, i) => ({ host, token: tokens[name], expected: expected[i]! })))
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...requests), { maxLength: 40 }), async sequence => {
    for (const { host, token, expected } of sequence) if (await ask(app, token, host) !== expected) return false
    return true
  }), { numRuns: 20 })
  t.pass()
})

t.test('H-20 behind a trusted proxy both hosts must accept, where both have an entry', async t => {
  const app = await start(t, {}, { trustProxy: true })
  const [A, B, INSIDE] = ['app.example.com', 'x.example.net', 'origin.internal:3000']
  type Case = readonly [token: keyof typeof tokens, host: string, forwarded: string, expected: string]
  const cases: readonly Case[] = [
    ['a', A, B, 'audience'], ['b', A, B, 'audience'], ['both', A, B, 'in'],
    ['a', B, A, 'audience'], ['both', B, A, 'in'],
    ['a', INSIDE, A, 'in'], ['b', INSIDE, A, 'audience'], ['b', INSIDE, B, 'in'],
    ['a', A, INSIDE, 'host'], ['both', A, INSIDE, 'host'],
    ['a', A, A.toUpperCase(), 'in'], ['a', A, 'own.example.net', 'in']
  ]
  for (const [token, host, forwarded, expected] of cases) {
    const what = `${token}: ${host}, ${forwarded}`
    t.equal(await ask(app, tokens[token], host, { 'x-forwarded-host': forwarded }), expected, what)
  }
  const direct = await start(t)
  t.equal(await ask(direct, tokens.b, A, { 'x-forwarded-host': B }), 'audience', 'without trustProxy')
  t.equal(await ask(direct, tokens.a, A, { 'x-forwarded-host': B }), 'in')
})

t.test('HTTP/2 names the host in :authority', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
  app.get('/', async () => 'in')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  t.teardown(() => session.close())
  const statusOf = async (token: string, headers: object): Promise<number> => {
    const stream = session.request({ ':path': '/', ...bearing(token), ...headers })
    stream.resume()
    const [response] = await once(stream, 'response')
    return response[':status']
  }
  const A = { ':authority': 'app.example.com' }
  t.equal(await statusOf(tokens.a, A), 200)
  t.equal(await statusOf(tokens.b, A), 401)
  t.equal(await statusOf(tokens.b, { ...A, host: 'x.example.net' }), 401, 'two hosts, one AUD tag')
  t.equal(await statusOf(tokens.both, { ...A, host: 'x.example.net' }), 200)
})

t.test('IP addresses, for development', async t => {
  const app = await start(t, { audience: { '127.0.0.1': AUD, '[::1]': OTHER_AUD, localhost: THIRD_AUD } })
  t.equal(await ask(app, tokens.a, '127.0.0.1:3000'), 'in')
  t.equal(await ask(app, tokens.b, '127.0.0.1:3000'), 'audience')
  t.equal(await ask(app, tokens.b, '[::1]:3000'), 'in')
  t.equal(await ask(app, tokens.b, '[::1]'), 'in')
  t.equal(await ask(app, tokens.c, 'localhost'), 'in')
  const port = await listen(app)
  t.equal((await fetch(`http://127.0.0.1:${port}/`, { headers: bearing(tokens.a) })).status, 200, 'over a socket')
})

t.test('verify() takes the hostname', async t => {
  const app = await start(t)
  const { verify } = app.cfAccess
  t.match(await verify(tokens.a, { hostname: 'app.example.com' }), { email: 'a@acme.com' })
  const code = 'FST_CF_ACCESS_TOKEN_INVALID'
  await t.rejects(verify(tokens.b, { hostname: 'app.example.com' }), { code, reason: 'audience' })
  await t.rejects(verify(tokens.a, { hostname: 'evil.com' }), { code, reason: 'host' })
  await t.rejects(verify(tokens.a),
    { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /^verify\(token, \{ hostname \}\) takes a hostname/ })
  const expected = ['app.example.com', '*.example.net', 'own.example.net']
  for (const [hostname, received] of [
    ['evil.com', 'evil.com'], ['x', 'x'], ['[::2]:80', '[::2]:80'], ['x'.repeat(255), 'x'.repeat(255)],
    ['', 'a text of 0 characters'], ['x'.repeat(256), 'a text of 256 characters'],
    [' x', 'a text of 2 characters'], ['x ', 'a text of 2 characters'], ['a@b', 'a text of 3 characters']
  ] as const) {
    const error = await verify(tokens.a, { hostname }).catch((error: unknown) => error)
    t.strictSame((error as TokenInvalidError).facts, { expected, received }, hostname)
  }
  const everywhere = await start(t, { audience: AUD })
  await everywhere.cfAccess.verify(tokens.a)
  await everywhere.cfAccess.verify(tokens.a, { hostname: 'evil.com' })
})

t.test('X-26 users log in to the application of the hostname', async t => {
  const app = await start(t, { login: 'redirect' })
  const loginTag = async (host: string): Promise<string | number | null> => {
    const { statusCode, headers } = await app.inject({ url: '/', headers: { host, accept: 'text/html' } })
    return statusCode === 302 ? new URL(String(headers.location)).searchParams.get('kid') : statusCode
  }
  t.equal(await loginTag('app.example.com'), AUD)
  t.equal(await loginTag('x.example.net:8443'), OTHER_AUD)
  t.equal(await loginTag('own.example.net'), AUD)
  t.equal(await loginTag('evil.com'), 401)
})

t.test('a map that cannot be right stops the start', async t => {
  const start = async (audience: unknown): Promise<void> => {
    await createApp(t).register(cfAccess, { teamDomain: team.domain, audience: audience as string })
  }
  for (const hostname of ['https://app.example.com', 'app.example.com:443', 'app.example.com/admin', '*', '*.*.com',
    'a.*.com', 'app example', 'bücher.example', '', 'a..b', '.a', 'a.']) {
    await t.rejects(start({ [hostname]: AUD }), { message: /is not a hostname/ }, hostname)
  }
  for (const tag of ['', [], [''], null, undefined, 7, {}, ['a b']]) {
    await t.rejects(start({ 'app.example.com': tag }),
      { message: /^Option "audience\["app\.example\.com"\]" is .*; it takes the AUD tag/ }, String(tag))
  }
  for (const map of [{}, { 'app.example.com': AUD, 'APP.example.com': OTHER_AUD }]) {
    await t.rejects(start(map), { message: /a tag for each different hostname/ })
  }
  for (const tag of [`"${AUD}"`, `'${AUD}'`, `${AUD},${OTHER_AUD}`, `${AUD} `, `\`${AUD}\``]) {
    await t.rejects(start(tag), { message: /without quotes, commas and blanks/ }, tag)
  }
})
