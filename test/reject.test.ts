import { once } from 'node:events'
import { connect } from 'node:net'
import { inspect } from 'node:util'
import fastifyAuth from '@fastify/auth'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import {
  cfAccess, channels, guard, TokenMissingError, type CfAccessOptions, type CfAccessRejection
} from '../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from './fixtures/index.js'

const team = await startTeam(t)
const strangers = await startTeam(t)

const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const bob = team.userToken({ email: 'bob@acme.com', audience: AUD })

const INVALID: Readonly<Record<string, string>> = {
  malformed: 'x.y',
  algorithm: team.userToken({ email: 'alice@acme.com', audience: AUD, header: { alg: 'none' } }),
  header: team.userToken({ email: 'alice@acme.com', audience: AUD, header: { crit: ['x'] } }),
  kid: team.userToken({ email: 'alice@acme.com', audience: AUD, header: { kid: 'secret-kid' } }),
  signature: `${alice.slice(0, -12)}AAAAAAAAAAAA`,
  issuer: strangers.userToken({ email: 'alice@acme.com', audience: AUD }),
  audience: team.userToken({ email: 'alice@acme.com', audience: OTHER_AUD }),
  type: team.orgToken({ email: 'alice@acme.com', audience: AUD }),
  time: team.userToken({ email: 'alice@acme.com', audience: AUD, issuedIn: '10m' }),
  identity: team.userToken({ email: 'alice@acme.com\n', audience: AUD })
}
const EXPIRED = team.userToken({ email: 'alice@acme.com', audience: AUD, expiresIn: '-10m' })

const handled: string[] = []

type ErrorHandler = Parameters<FastifyInstance['setErrorHandler']>[0]

async function start (
  t: Test, options: Partial<CfAccessOptions> = {}, server: FastifyServerOptions = {}, errorHandler?: ErrorHandler
): Promise<FastifyInstance> {
  const app = createApp(t, server)
  // Before the route, which takes the handler it finds.
  if (errorHandler !== undefined) app.setErrorHandler(errorHandler)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
  app.get('/', async request => { handled.push(request.url); return request.cfAccess })
  t.teardown(() => { handled.length = 0 })
  return app
}

t.test('X-01 X-07 every rejection has its code, its status and its headers', async t => {
  const rejections: Array<[name: string, options: Partial<CfAccessOptions>, token: string | null, status: number,
    code: string]> = [
      ['no token', {}, null, 401, 'FST_CF_ACCESS_TOKEN_MISSING'],
      ['expired', {}, EXPIRED, 401, 'FST_CF_ACCESS_TOKEN_EXPIRED'],
      ['forbidden', { policy: { include: { serviceToken: true } } }, alice, 403, 'FST_CF_ACCESS_FORBIDDEN'],
      ['no keys', { fetch: async () => { throw new Error('down') } }, alice, 503, 'FST_CF_ACCESS_KEYS_UNAVAILABLE'],
      ['a policy that throws', { policy: () => { throw new Error('secret') } }, alice, 500, 'FST_CF_ACCESS_POLICY_FAILED'],
      ...Object.entries(INVALID).map(([name, token]): [string, Partial<CfAccessOptions>, string, number, string] => [name, {}, token, 401, 'FST_CF_ACCESS_TOKEN_INVALID'])
    ]
  for (const [name, options, token, status, code] of rejections) {
    const app = await start(t, options)
    const response = await app.inject({ url: '/', headers: token === null ? {} : bearing(token) })
    t.equal(response.statusCode, status, name)
    t.equal(response.json().code, code, name)
    t.strictSame(Object.keys(response.json()).sort(), ['code', 'error', 'message', 'statusCode'], name)
    t.equal(response.headers['cache-control'], 'no-store', name)
    t.equal(response.headers['www-authenticate'], status === 401 ? 'Cloudflare-Access' : undefined, name)
    t.match(response.headers['retry-after'] ?? 'none', status === 503 ? /^[1-9]\d*$/ : 'none', name)
  }
  t.strictSame(handled, [])
  t.equal((await (await start(t)).inject({ url: '/', headers: bearing(alice) })).statusCode, 200,
    'a good token meanwhile')
})

t.test('a 503 has its status by the names of http-errors too, which frameworks around Fastify read', async t => {
  const seen: unknown[] = []
  const app = await start(t, { fetch: async () => { throw new Error('down') } }, {}, async (error, _request, reply) => {
    seen.push(error)
    return await reply.send(error)
  })
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 503)
  t.match(seen, [{ statusCode: 503, status: 503, expose: true }])
})

t.test('X-02 a client cannot tell one invalid token from another', async t => {
  const app = await start(t)
  const answers = new Set<string>()
  for (const token of Object.values(INVALID)) {
    const { body, headers: { date, ...headers } } = await app.inject({ url: '/', headers: bearing(token) })
    answers.add(JSON.stringify([body, headers]))
  }
  t.equal(answers.size, 1)
})

t.test('X-03 nothing of a token is logged, sent or shown', async t => {
  const lines: string[] = []
  const shown: string[] = []
  const logger = { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } }
  const show: ErrorHandler = async (error, request, reply) => {
    const { cause, stack } = error as Error
    request.log.error({ err: error, cause }, 'rejected')
    shown.push(inspect(error, { depth: Infinity, showHidden: true }), JSON.stringify(error), String(stack),
      JSON.stringify(request.cfAccess))
    return await reply.send(error)
  }
  const app = await start(t, { policy: { exclude: { email: 'mallory@acme.com' } } }, { logger }, show)
  const mallory = team.userToken({ email: 'mallory@acme.com', audience: AUD })
  const tokens = [...Object.values(INVALID), EXPIRED, mallory, `${alice},${alice}`]
  for (const token of tokens) {
    for (const headers of [bearing(token), { cookie: `CF_Authorization=${token}` }]) {
      const response = await app.inject({ url: '/', headers })
      t.not(response.statusCode, 200)
      shown.push(response.body, JSON.stringify(response.headers))
    }
  }
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 200)
  shown.push(app.printPlugins(), inspect(app, { depth: 6, showHidden: true }))

  t.match(lines.join(''), /"reason":"audience"/, 'the reason is logged')
  t.match(lines.join(''), /"level":50.*FST_CF_ACCESS_TOKEN_INVALID/, 'and the error by its handler')
  const secrets = [...tokens, alice].flatMap(token => token.split(/[.,]/)).filter(part => part.length > 2)
  const words = [...secrets, 'secret-kid', 'mallory', 'alice@acme.com\n']
  // What identifies no user can be compared with the settings.
  const atDebugOnly = [String(team.certs.keys[0]!['kid']), OTHER_AUD, strangers.domain]
  t.match(lines.join(''), new RegExp(`"level":20.*${OTHER_AUD}`))
  for (const line of [...lines.filter(line => !line.includes('keys changed')), ...shown]) {
    const leaked = [...words, ...(line.includes('"level":20') ? [] : atDebugOnly)].find(word => line.includes(word))
    if (leaked !== undefined) t.fail('something of a token is told', { line, leaked })
  }
})

t.test('X-04 what comes from outside stays one line of the log', async t => {
  const lines: string[] = []
  const app = await start(t, {}, { logger: { level: 'info', stream: { write: line => { lines.push(line) } } } })
  const token = team.userToken({ email: 'a\r\nb\u001b[31m@acme.com', audience: AUD })
  t.equal((await app.inject({ url: '/', headers: bearing(token) })).statusCode, 401)
  t.ok(lines.length > 0)
  for (const line of lines) t.match(line, /^[^\p{Cc}]*\n$/u)
})

t.test('a rejection writes one line at info, an admission writes none', async t => {
  const lines: Array<{ level: number, code?: string, reason?: string, reqId?: string }> = []
  const app = await start(t, {}, {
    disableRequestLogging: true,
    logger: { level: 'trace', stream: { write: line => { lines.push(JSON.parse(line)) } } }
  })
  await app.inject({ url: '/', headers: bearing(alice) })
  await app.inject({ url: '/', headers: bearing(alice) })
  t.strictSame(lines.filter(line => line.reqId !== undefined), [])
  await app.inject({ url: '/', headers: bearing(INVALID['audience']!) })
  const { length, ...own } = lines.filter(line => line.reqId !== undefined)
  t.match(own, {
    0: { level: 30, code: 'FST_CF_ACCESS_TOKEN_INVALID', reason: 'audience', reqId: 'req-3' },
    1: { level: 20, expected: [AUD], received: [OTHER_AUD], reqId: 'req-3' }
  })
  t.equal(length, 2, 'and one at debug')
})

interface Line { readonly level: number, readonly msg: string, readonly [name: string]: unknown }

/** An application that keeps its log lines about requests. */
async function startLogged (t: Test, options: Partial<CfAccessOptions> = {}): Promise<[FastifyInstance, Line[]]> {
  const lines: Line[] = []
  const stream = { write: (line: string) => { if (line.includes('"reqId"')) lines.push(JSON.parse(line)) } }
  return [await start(t, options, { disableRequestLogging: true, logger: { level: 'debug', stream } }), lines]
}

t.test('the line at info has the route and the names of the credentials', async t => {
  const [app, lines] = await startLogged(t)
  app.post('/users/:id', async () => 'in')
  const cases: ReadonlyArray<readonly [headers: Record<string, string>, credentials: string[]]> = [
    [{}, []],
    [bearing('x'), ['header']],
    [{ cookie: 'a=b; CF_Authorization=x' }, ['cookie']],
    [{ ...bearing('x'), cookie: 'CF_Authorization=x' }, ['header', 'cookie']],
    [{ cookie: 'CF_AuthorizationX=x' }, []],
    [{ 'cf-access-client-id': 'x.access', 'cf-access-client-secret': 'x' }, ['service-token']],
    [{ 'cf-access-token': alice }, ['linked-token']]
  ]
  for (const [headers, credentials] of cases) {
    lines.length = 0
    await app.inject({ method: 'POST', url: '/users/1', headers })
    t.match(lines[0], { level: 30, method: 'POST', route: '/users/:id', credentials }, JSON.stringify(headers))
  }
  await app.inject('/none')
  t.match(lines.at(-2), { level: 30, route: null })
})

t.test('a request without a token that has something else says what to do', async t => {
  const [app, lines] = await startLogged(t, { cookie: false })
  const preflight = { origin: 'https://app.example.com', 'access-control-request-method': 'GET' }
  type Case = readonly [method: 'GET' | 'OPTIONS', headers: Record<string, string>, hint: RegExp | undefined]
  const cases: readonly Case[] = [
    ['OPTIONS', preflight, /register @fastify\/cors before/],
    ['GET', preflight, undefined],
    ['OPTIONS', {}, undefined],
    ['GET', { cookie: `CF_Authorization=${alice}` }, /the option cookie is false/],
    ['GET', { 'cf-access-client-id': 'x.access' }, /Service Auth policy/],
    ['GET', { 'cf-access-token': alice }, /Cf-Access-Token is for Access/],
    ['GET', { ...bearing('x'), 'cf-access-client-id': 'x.access' }, undefined]
  ]
  for (const [method, headers, hint] of cases) {
    lines.length = 0
    await app.inject({ method, url: '/', headers })
    t.match(lines[0], { level: 30, hint }, JSON.stringify(headers))
  }
})

t.test('the line at debug says what was compared', async t => {
  const token = (options: object): string => team.userToken({ email: 'alice@acme.com', audience: AUD, ...options })
  const kids = team.certs.keys.map(({ kid }) => kid)
  // A whole second, as in tokens.
  const now = Math.floor(Date.now() / 1000) * 1000
  t.intercept(Date, 'now', { value: () => now })
  const cases: ReadonlyArray<readonly [reason: string, token: string, expected: unknown, received: unknown]> = [
    ['malformed', 'x.y', 'three parts with dots between them', '3 characters'],
    ['malformed', `${alice}.x`, 'three parts with dots between them', `${alice.length + 2} characters`],
    ['malformed', `${alice}=`, 'base64url', 'signature'],
    ['malformed', 'x'.repeat(16_385), 'at most 16384 characters', '16385 characters'],
    ['malformed', `${alice.split('.')[0]}.eA.x`, 'JSON', 'payload'],
    ['malformed', `W10.${alice.split('.')[1]}.x`, 'a JSON object', 'header'],
    ['algorithm', INVALID['algorithm']!, 'RS256', 'none'],
    ['algorithm', token({ header: { alg: 'secret' } }), 'RS256', 'a text of 6 characters'],
    ['algorithm', token({ header: { alg: 'HS256' } }), 'RS256', 'HS256'],
    ['kid', token({ header: { kid: '' } }), 'a kid', 'a text of 0 characters'],
    ['kid', INVALID['kid']!, kids, 'a text of 10 characters'],
    ['kid', token({ header: { kid: 'c'.repeat(64) } }), kids, 'c'.repeat(64)],
    ['issuer', INVALID['issuer']!, [team.domain], strangers.domain],
    ['issuer', token({ claims: { iss: 'https://acme-two.cloudflareaccess.com' } }), [team.domain],
      'https://acme-two.cloudflareaccess.com'],
    ['issuer', token({ claims: { iss: 'https://alice.example.com' } }), [team.domain], 'a text of 25 characters'],
    ['issuer', token({ claims: { iss: undefined } }), [team.domain], 'absent'],
    ['audience', INVALID['audience']!, [AUD], [OTHER_AUD]],
    ['audience', token({ claims: { aud: OTHER_AUD } }), [AUD], OTHER_AUD],
    ['audience', token({ claims: { aud: ['alice@acme.com', 1, [2], {}, null] } }), [AUD],
      ['a text of 14 characters', 'a value of the type number', 'a list', 'a value of the type object',
        'a value of the type object']],
    ['audience', token({ claims: { aud: Array(8).fill('x') } }), [AUD], Array(8).fill('a text of 1 characters')],
    ['audience', token({ claims: { aud: Array(10).fill('x') } }), [AUD],
      [...Array(8).fill('a text of 1 characters'), 'and 2 more']],
    ['type', INVALID['type']!, 'app', 'org'],
    ['type', token({ claims: { type: 'alice' } }), 'app', 'a text of 5 characters'],
    ['time', token({ issuedIn: '10m' }), { clockTolerance: 30 }, { iat: 600, nbf: 600 }],
    ['time', token({ claims: { nbf: '1' } }), { clockTolerance: 30 }, { nbf: 'a text of 1 characters' }],
    ['expired', token({ expiresIn: '-10m' }), { clockTolerance: 30 }, { exp: -600 }],
    ['identity', INVALID['identity']!, 'one user, service or certificate', { email: 'a text of 15 characters' }],
    ['identity', token({ claims: { sub: 7 } }), 'sub', 'a value of the type number']
  ]
  const [app, lines] = await startLogged(t)
  for (const [reason, token, expected, received] of cases) {
    lines.length = 0
    await app.inject({ url: '/', headers: bearing(token) })
    const [info, debug] = lines
    const what = `${reason} ${JSON.stringify(received)}`
    t.match(info, { level: 30, reason }, what)
    t.match(debug, { level: 20, expected, received }, what)
    t.strictSame(debug?.['expected'], expected, `${what}, and nothing more is expected`)
    if (Array.isArray(received)) t.strictSame(debug?.['received'], received, `${what}, and nothing more`)
    t.equal(lines.length, 2)
  }
  const { nbf, ...others } = decodeJwt(token({ expiresIn: '-10m' }))
  lines.length = 0
  await app.inject({ url: '/', headers: bearing(token({ claims: { ...others, nbf: undefined } })) })
  t.ok(nbf !== undefined && !('nbf' in (lines[1]!['received'] as object)), 'no claim that is absent')
  const [aged, agedLines] = await startLogged(t, { maxTokenAge: '1m' })
  await aged.inject({ url: '/', headers: bearing(token({ issuedIn: '-5m' })) })
  t.match(agedLines, [{ reason: 'age' }, { expected: { maxTokenAge: 60 }, received: { iat: -300 } }])
})

t.test('the line at debug says what a policy needed, and whether groups were known', async t => {
  const told = { email: 'alice@acme.com', audience: AUD, identity: { groups: [{ name: 'a' }, { name: 'b' }] } }
  const untold = { email: 'bob@acme.com', audience: AUD, identity: { groups: undefined } }
  const cases: ReadonlyArray<readonly [policy: CfAccessOptions['policy'], token: string, line: object]> = [
    [{ include: { email: 'x@acme.com', group: 'c' } }, team.userToken(told),
      { expected: ['email', 'group'], received: { kind: 'user', groups: 2 } }],
    [{ include: { group: 'c' } }, team.userToken(untold),
      { expected: ['group'], received: { kind: 'user', groups: 'unknown' } }],
    [{ exclude: { email: 'alice@acme.com' } }, alice,
      { expected: ['email'], received: { kind: 'user', groups: 'not asked' } }],
    [{ include: { email: 'x@acme.com' } }, team.serviceToken({ clientId: 'e.access', audience: AUD }),
      { expected: ['email'], received: { kind: 'service', groups: 'not asked' } }],
    [() => false, alice, { expected: [], received: { kind: 'user', groups: 'not asked' } }]
  ]
  for (const [policy, token, line] of cases) {
    const [app, lines] = await startLogged(t, { policy: policy! })
    t.equal((await app.inject({ url: '/', headers: bearing(token) })).statusCode, 403)
    t.match(lines[1], { level: 20, ...line })
    t.notMatch(JSON.stringify(lines), /acme\.com/)
  }
})

t.test('a route\'s log level, and the server\'s, holds for its rejections', async t => {
  const lines: Array<{ level: number, reqId?: string }> = []
  const app = await start(t, {}, {
    disableRequestLogging: true,
    logger: { level: 'error', stream: { write: line => { lines.push(JSON.parse(line)) } } }
  })
  app.get('/talkative', { logLevel: 'info' }, async () => 'in')
  t.equal((await app.inject('/')).statusCode, 401)
  t.strictSame(lines, [])
  t.equal((await app.inject('/talkative')).statusCode, 401)
  t.match(lines, [{ level: 30, code: 'FST_CF_ACCESS_TOKEN_MISSING', reason: 'missing', reqId: 'req-2' }])
})

t.test('X-05 R-31 headers that any client can send are ignored', async t => {
  const app = await start(t, { prefix: '/admin' }, { trustProxy: true })
  app.get('/admin', async () => 'in')
  const headers = {
    'cf-access-authenticated-user-email': 'alice@acme.com',
    cf_access_jwt_assertion: alice,
    'cf-access-token': alice,
    'cf-access-client-id': 'x.access',
    'cf-access-client-secret': 'x',
    authorization: `Bearer ${alice}`,
    'x-forwarded-uri': '/',
    'x-forwarded-host': 'open.example',
    'x-forwarded-prefix': '/open',
    'x-original-url': '/',
    'x-rewrite-url': '/',
    'x-http-method-override': 'OPTIONS',
    forwarded: 'for=127.0.0.1;host=open.example'
  }
  t.equal((await app.inject({ url: '/admin', headers })).json().code, 'FST_CF_ACCESS_TOKEN_MISSING')
  t.equal((await app.inject({ url: '/admin', headers: { ...headers, ...bearing(alice) } })).statusCode, 200)
})

t.test('X-06 an error handler may answer as it likes, and the handler still does not run', async t => {
  const answers: Array<[errorHandler: ErrorHandler, status: number]> = [
    [async (_error, _request, reply) => await reply.code(200).send('fine'), 200],
    [() => { throw new Error('again') }, 500],
    [async error => { throw error }, 401]
  ]
  for (const [errorHandler, status] of answers) {
    const app = await start(t, {}, {}, errorHandler)
    app.addHook('onError', async () => { throw new Error('in a hook') })
    t.equal((await app.inject('/')).statusCode, status)
    t.strictSame(handled, [])
  }
  const app = await start(t, {}, {}, async (_error, _request, reply) => await reply.send('in place of it'))
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).json().email, 'alice@acme.com')
  t.strictSame(handled, ['/'])
})

t.test('an error handler can distinguish rejections by class', async t => {
  const app = await start(t, {}, {},
    async (error, _request, reply) => await reply.code(error instanceof TokenMissingError ? 418 : 500).send())
  t.equal((await app.inject('/')).statusCode, 418)
})

t.test('R-33 request.cfAccess is null wherever no guard has admitted the request', async t => {
  const seen: Record<string, unknown> = {}
  const note = (when: string) => async ({ cfAccess }: FastifyRequest): Promise<void> => { seen[when] = cfAccess }
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/admin' })
  app.addHook('onRequest', async request => { seen['onRequest'] = request.cfAccess })
  app.addHook('onError', note('onError'))
  app.addHook('onResponse', note('onResponse'))
  app.addHook('onSend', note('onSend'))
  app.get('/open', note('open'))
  app.get('/admin', note('admin'))
  await app.inject({ url: '/open', headers: bearing(alice) })
  t.strictSame(seen, { onRequest: null, open: null, onSend: null, onResponse: null })
  for (const key of Object.keys(seen)) delete seen[key]
  await app.inject({ url: '/admin', headers: bearing(EXPIRED) })
  t.strictSame(seen, { onError: null, onSend: null, onResponse: null })
  await app.inject({ url: '/admin', headers: bearing(alice) })
  t.match(seen['admin'], { kind: 'user' })
})

t.test('R-33 a guard that rejects leaves the identity that an earlier guard has set', async t => {
  const app = createApp(t)
  let after: unknown = 'never'
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.addHook('onError', async request => { after = request.cfAccess })
  app.get('/', { preHandler: guard({ include: { serviceToken: true } }) }, async () => 'in')
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 403)
  t.match(after, { email: 'alice@acme.com' })
})

t.test('R-32 requests of one connection never share an identity', async t => {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  app.get('/who', { config: { cfAccess: true } },
    async request => ({ who: request.cfAccess?.kind === 'user' ? request.cfAccess.email : null }))
  app.get('/open', async request => ({ who: request.cfAccess }))
  const port = await listen(app)
  const rounds =
    Array.from({ length: 50 },
      () => [['/who', alice, 'alice@acme.com'], ['/who', null, undefined], ['/who', bob, 'bob@acme.com'],
        ['/open', null, null], ['/who', EXPIRED, undefined]] as const).flat()
  const requests = rounds.map(([path, token], i) =>
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${token === null ? '' : `Cf-Access-Jwt-Assertion: ${token}\r\n`}${i === rounds.length - 1 ? 'Connection: close\r\n' : ''}\r\n`)
  const socket = connect(port, '127.0.0.1')
  socket.write(requests.join(''))
  let text = ''
  socket.on('data', chunk => { text += String(chunk) })
  await once(socket, 'close')
  const bodies = [...text.matchAll(/\{[^}]*\}/g)].map(([body]) => JSON.parse(body))
  t.strictSame(bodies.map(({ who }) => who), rounds.map(([, , who]) => who))
})

t.test('R-30 in onRequest a stranger is rejected before a body is read, in preHandler after', async t => {
  let parsed = 0
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  app.addContentTypeParser('application/json', { parseAs: 'string' },
    (_request, _body, done) => { parsed++; done(null, {}) })
  app.post('/first', { onRequest: guard() }, async () => 'in')
  app.post('/last', { preHandler: guard() }, async () => 'in')
  const post = async (url: string, body: string, type = 'application/json'): Promise<number> =>
    (await app.inject({ method: 'POST', url, body, headers: { 'content-type': type } })).statusCode
  t.equal(await post('/first', '{'), 401)
  t.equal(await post('/first', 'x'.repeat(2 ** 21)), 401)
  t.equal(await post('/first', 'x', 'text/strange'), 401)
  t.equal(parsed, 0)
  t.equal(await post('/last', '{}'), 401)
  t.equal(parsed, 1)
  t.equal(await post('/last', 'x'.repeat(2 ** 21)), 413, 'Fastify itself rejects before the guard is asked')
})

t.test('X-08 no client input makes a 500 or shows a stack', async t => {
  const app = await start(t)
  const port = await listen(app)
  const values = ['%00', '{}', '[]', '\x80\xff', 'a'.repeat(4000), `${'.'.repeat(100)}`, 'null.null.null',
    'bnVsbA.bnVsbA.bnVsbA', '-_-_.-_-_.-_-_', "'; --", '../..', '__proto__.constructor.toString']
  for (const value of values) {
    for (const name of ['Cf-Access-Jwt-Assertion', 'Cookie']) {
      const { status, body } = await sendRaw(port, '/',
        { headers: { [name]: name === 'Cookie' ? `CF_Authorization=${value}` : value } })
      t.equal(status, 401, `${name}: ${value.slice(0, 20)}`)
      t.notMatch(body, /stack|\.js|\.ts/)
    }
  }
})

const TRACES = ['cache-control', 'www-authenticate', 'retry-after'] as const

t.test('X-20 a guard that denies beside another way in leaves no trace on what is admitted', async t => {
  const reports: CfAccessRejection[] = []
  const listener = (message: CfAccessRejection): void => { reports.push(message) }
  channels.rejection.subscribe(listener)
  t.teardown(() => channels.rejection.unsubscribe(listener))
  const lines: string[] = []
  const app = createApp(t, {
    logger: { level: 'info', stream: { write: (line: string) => lines.push(line) } },
    disableRequestLogging: true
  })
  await app.register(fastifyAuth)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/in' })
  await app.register(async scope => {
    await scope.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
    const failing = async (): Promise<void> => { throw new Error('no key') }
    const admits = async (): Promise<void> => {}
    const denied = guard({ include: { serviceToken: true } })
    for (const [path, other] of [['/admits', admits], ['/fails', failing]] as const) {
      scope.get(`/in${path}`, { preHandler: scope.auth([denied, other]) },
        async request => request.cfAccess?.claims.email)
      scope.get(`/own${path}`, { preHandler: scope.auth([other, denied]) },
        async request => request.cfAccess?.claims.email ?? 'a stranger')
      scope.get(`/late${path}`, { preHandler: scope.auth([denied, other]) },
        async request => request.cfAccess?.claims.email ?? 'a stranger')
    }
  })
  lines.length = 0
  const within = await app.inject({ url: '/in/admits', headers: bearing(alice) })
  t.equal(within.body, 'alice@acme.com', 'the identity of the earlier guard')
  const responses = [within, await app.inject('/late/admits'), await app.inject({
    url: '/late/admits',
    headers: bearing(alice)
  }),
  await app.inject({ url: '/own/admits', headers: bearing('x.y.z') })]
  for (const { statusCode, headers } of responses) {
    t.equal(statusCode, 200)
    for (const name of TRACES) t.notOk(name in headers, name)
  }
  t.strictSame(reports, [], 'no rejection is counted')
  t.strictSame(lines.filter(line => line.includes('reqId')), [], 'no request is logged')

  const rejected = await app.inject({ url: '/own/fails', headers: bearing(alice) })
  t.equal(rejected.statusCode, 403)
  t.equal(rejected.headers['cache-control'], 'no-store')
  t.match(reports,
    [{ code: 'FST_CF_ACCESS_FORBIDDEN', reason: 'policy', rule: 'include', statusCode: 403, route: '/own/fails' }])
  t.equal(lines.filter(line => line.includes('rejected by Cloudflare Access guard')).length, 1)
})

t.test('a rejection is reported once, however deep its scope is', async t => {
  const reports: CfAccessRejection[] = []
  const listener = (message: CfAccessRejection): void => { reports.push(message) }
  channels.rejection.subscribe(listener)
  t.teardown(() => channels.rejection.unsubscribe(listener))
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  app.register(async scope => {
    scope.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    scope.get('/x', async () => 'in')
  })
  t.equal((await app.inject('/x')).headers['www-authenticate'], 'Cloudflare-Access')
  t.equal(reports.length, 1)
})

t.test('an error of details() or verify() that a handler does not catch is a rejection too', async t => {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/in' })
  app.get('/in', async request => request.cfAccess?.details())
  app.get('/open', async () => app.cfAccess.verify('x.y.z'))
  team.outage('error', 'get-identity')
  t.teardown(() => team.outage(null))
  const unavailable = await app.inject({
    url: '/in',
    headers: bearing(team.userToken({ email: 'c@acme.com', audience: AUD }))
  })
  t.equal(unavailable.statusCode, 503)
  t.match(unavailable.headers['retry-after'], /^[1-9]\d*$/)
  t.equal(unavailable.headers['cache-control'], 'no-store')
  const invalid = await app.inject('/open')
  t.strictSame([invalid.statusCode, invalid.headers['www-authenticate']], [401, 'Cloudflare-Access'])
})

t.test('an error that is not this package\'s is left alone', async t => {
  const lines: Array<{ msg?: string }> = []
  const app = createApp(t,
    { logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async () => { throw Object.assign(new Error('own'), { statusCode: 401, code: 'OWN' }) })
  const response = await app.inject({
    url: '/',
    headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD }))
  })
  t.match(response, { statusCode: 401, headers: { 'cache-control': undefined, 'www-authenticate': undefined } })
  t.notOk(lines.some(({ msg }) => msg?.includes('rejected by Cloudflare Access guard')))
})
