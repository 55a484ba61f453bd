import diagnostics from 'node:diagnostics_channel'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { cfAccess, channels, guard, type CfAccessChannel, type CfAccessOptions } from '../lib/index.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await startTeam(t)
const options: CfAccessOptions = { teamDomain: team.domain, audience: AUD }

/** Everything a channel says during a test. */
function on<Message> (t: Test, channel: CfAccessChannel<Message>): Message[] {
  const heard: Message[] = []
  const listener = (message: Message): void => { heard.push(message) }
  channel.subscribe(listener)
  t.teardown(() => channel.unsubscribe(listener))
  return heard
}

const alice = (claims = {}): string => team.userToken({ email: 'alice@acme.com', audience: AUD, claims })

t.test('the channels have names of their own, and are Node\'s', async t => {
  for (const [key, channel] of Object.entries(channels)) {
    t.equal(channel.name, `fastify-cf-access:${key}`)
    t.equal(channel as unknown, diagnostics.channel(`fastify-cf-access:${key}`))
    t.equal(channel.hasSubscribers, false)
  }
})

t.test('each verification is published with its duration, outcome and whether the cache answered', async t => {
  const app = createApp(t)
  app.register(cfAccess, options)
  app.get('/', async () => 'in')
  const heard = on(t, channels.verify)
  const token = alice()
  const robot = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
  const tokens = [
    [token, { outcome: 'verified', cached: false, kind: 'user' }],
    [token, { outcome: 'verified', cached: true, kind: 'user' }],
    [robot, { outcome: 'verified', cached: false, kind: 'service' }],
    [team.certificateToken({ commonName: 'a device', audience: AUD }), { outcome: 'verified', cached: false, kind: 'certificate' }],
    [team.userToken({ email: 'alice@acme.com', audience: OTHER_AUD }), { outcome: 'FST_CF_ACCESS_TOKEN_INVALID', cached: false, kind: null }],
    [`${token.slice(0, -8)}AAAAAAAA`, { outcome: 'FST_CF_ACCESS_TOKEN_INVALID', cached: false, kind: null }],
    [team.userToken({ email: 'alice@acme.com', audience: AUD, expiresIn: '-1m' }), { outcome: 'FST_CF_ACCESS_TOKEN_EXPIRED', cached: false, kind: null }]
  ] as const
  const since = performance.now()
  for (const [token] of tokens) await app.inject({ url: '/', headers: bearing(token) })
  const all = performance.now() - since
  t.strictSame(heard.map(({ duration, ...rest }) => rest), tokens.map(([, expected]) => expected))
  t.ok(heard.every(({ duration }) => duration >= 0 && duration <= all))
})

t.test('verify() is published too, and a request without a token is not', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  app.get('/', async () => 'in')
  const heard = on(t, channels.verify)
  await app.inject('/')
  t.strictSame(heard, [])
  await app.cfAccess.verify(alice())
  t.match(heard, [{ outcome: 'verified' }])
})

t.test('a re-checked token is not reported as cached', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, recheck: '1m' })
  app.get('/', async () => 'in')
  const heard = on(t, channels.verify)
  const token = alice()
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  await app.inject({ url: '/', headers: bearing(token) })
  await app.inject({ url: '/', headers: bearing(token) })
  now += 61_000
  await app.inject({ url: '/', headers: bearing(token) })
  t.strictSame(heard.map(({ cached }) => cached), [false, true, false])
  t.strictSame(heard.map(({ outcome }) => outcome), ['verified', 'verified', 'verified'])
})

t.test('each rejection is published with its reason, rule and route', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...options, policy: { exclude: { emailDomain: 'evil.com' } } })
  app.get('/users/:id', async () => 'in')
  const heard = on(t, channels.rejection)
  await app.inject('/users/1')
  await app.inject({ url: '/users/1', headers: bearing(alice({ type: 'org' })) })
  await app.inject({ url: '/users/1', headers: bearing(team.userToken({ email: 'eve@evil.com', audience: AUD })) })
  t.equal((await app.inject({ url: '/users/1', headers: bearing(alice()) })).statusCode, 200)
  const where = { method: 'GET', route: '/users/:id' }
  t.strictSame(heard, [
    { code: 'FST_CF_ACCESS_TOKEN_MISSING', reason: 'missing', rule: null, statusCode: 401, ...where },
    { code: 'FST_CF_ACCESS_TOKEN_INVALID', reason: 'type', rule: null, statusCode: 401, ...where },
    { code: 'FST_CF_ACCESS_FORBIDDEN', reason: 'policy', rule: 'exclude.emailDomain', statusCode: 403, ...where }
  ])
})

t.test('a rejection for want of keys, or by a policy that failed, has no reason', async t => {
  const down = await startTeam(t)
  down.outage('error')
  const app = createApp(t)
  app.register(cfAccess, { ...options, teamDomain: down.domain, prefix: '/admin' })
  app.register(cfAccess, { ...options, prefix: '/broken', policy: () => { throw new Error('mine') } })
  app.get('/broken', async () => 'in')
  const heard = on(t, channels.rejection)
  await app.inject({ url: '/admin', headers: bearing(down.userToken({ email: 'alice@acme.com', audience: AUD })) })
  await app.inject({ url: '/broken', headers: bearing(alice()) })
  const nothing = { reason: null, rule: null, method: 'GET' }
  t.strictSame(heard, [
    { code: 'FST_CF_ACCESS_KEYS_UNAVAILABLE', statusCode: 503, route: null, ...nothing },
    { code: 'FST_CF_ACCESS_POLICY_FAILED', statusCode: 500, route: '/broken', ...nothing }
  ])
})

t.test('each refresh of the keys is published with its outcome', async t => {
  const start = performance.now()
  const own = await startTeam(t)
  const heard = on(t, channels.refresh)
  const app = createApp(t)
  await app.register(cfAccess, { ...options, teamDomain: own.domain, keys: { cooldown: '1ms' } })
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  // A token that names an unknown key waits for a refresh.
  const seek = async (): Promise<void> => {
    now += 100
    await t.rejects(app.cfAccess.verify(own.userToken({
      email: 'a@acme.com',
      audience: AUD,
      header: { kid: 'unknown' }
    })))
  }
  const publish = async (): Promise<string[]> => {
    await own.rotateKeys()
    return own.certs.keys.map(({ kid }) => kid as string)
  }
  const first = await publish()
  await seek()
  const second = await publish()
  await seek()
  own.outage('error')
  await seek()

  const expected = [
    { outcome: 'rotated', kids: first, reason: null },
    { outcome: 'unchanged', kids: first, reason: null },
    { outcome: 'rotated', kids: second, reason: null },
    { outcome: 'failed', kids: second, reason: 'the answer\'s status is 500' }
  ].map(rest => ({ url: `${own.domain}/cdn-cgi/access/certs`, ...rest }))
  t.strictSame(heard.map(({ duration, ...rest }) => rest), expected)
  const longest = performance.now() - start
  t.ok(heard.every(({ duration }) => duration >= 0 && duration <= longest))
})

t.test('no message has a token or a claim in it', async t => {
  const heard: unknown[] = Object.values(channels).map(channel => on<unknown>(t, channel as CfAccessChannel<unknown>))
  const app = createApp(t)
  app.register(cfAccess, { ...options, policy: { include: { email: 'bob@acme.com' } } })
  app.get('/', async () => 'in')
  const token = alice({ secret: 'shibboleth' })
  await app.inject({ url: `/?token=${token}`, headers: bearing(token) })
  const text = JSON.stringify(heard)
  t.match(text, 'FST_CF_ACCESS_FORBIDDEN')
  for (const secret of [...token.split('.'), 'alice', 'acme.com', 'shibboleth', AUD]) t.notMatch(text, secret)
})

t.test('each admission is published with who was admitted, once for each request', async t => {
  const app = createApp(t)
  await app.register(cfAccess, options)
  app.get('/users/:id', { preHandler: guard() }, async () => 'in')
  app.get('/optional', { config: { cfAccess: 'optional' } }, async () => 'in')
  app.get('/open', { config: { cfAccess: false } }, async () => 'in')
  app.get('/services', { preHandler: guard({ include: { serviceToken: true } }) }, async () => 'in')
  await app.register(async scope => {
    await scope.register(cfAccess, options)
    scope.get('/inner', async () => 'in')
  })
  const user = alice()
  await app.inject({ url: '/users/1', headers: bearing(user) })
  const heard = on(t, channels.admission)
  const service = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
  const certificate = team.certificateToken({ commonName: 'a device', audience: AUD })
  for (const token of [user, service, certificate]) await app.inject({ url: '/users/1', headers: bearing(token) })
  for (const url of ['/inner', '/services', '/optional', '/open', '/none']) {
    await app.inject({ url, headers: bearing(user) })
  }
  await app.inject('/optional')
  await app.inject('/inner')
  const { sub } = decodeJwt(user)
  const asUser = { kind: 'user', subject: sub, method: 'GET' }
  t.strictSame(heard, [
    { ...asUser, route: '/users/:id' },
    { kind: 'service', clientId: CLIENT_ID, method: 'GET', route: '/users/:id' },
    { kind: 'certificate', commonName: 'a device', method: 'GET', route: '/users/:id' },
    { ...asUser, route: '/inner' },
    { ...asUser, route: '/services' }, // admitted by the registration, then denied by the guard of the route
    { ...asUser, route: '/optional' },
    { ...asUser, route: null }
  ])
})

t.test('who stops listening hears no more', async t => {
  const app = createApp(t)
  app.register(cfAccess, options)
  app.get('/', async () => 'in')
  const heard: unknown[] = []
  const listener = (message: unknown): void => { heard.push(message) }
  channels.verify.subscribe(listener)
  await app.inject({ url: '/', headers: bearing(alice()) })
  channels.verify.unsubscribe(listener)
  await app.inject({ url: '/', headers: bearing(alice()) })
  t.equal(heard.length, 1)
})
