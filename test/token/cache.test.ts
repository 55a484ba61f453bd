import { setImmediate as nextTurn } from 'node:timers/promises'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { cfAccess, type CfAccessIdentity, type CfAccessOptions, type CfAccessUser } from '../../lib/index.js'
import { stopClock } from '../fixtures/clock.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from '../fixtures/index.js'
import { until } from '../fixtures/key-endpoint.js'
import { signatureChecks } from '../fixtures/signature-checks.js'
import { Verification } from '../fixtures/verification.js'

const CERTS = '/cdn-cgi/access/certs'
const verification = await Verification.start(t)
const { team } = verification

async function start (t: Test, options: Partial<CfAccessOptions> = {}): Promise<FastifyInstance> {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
  app.get('/', async () => 'in')
  return app
}

const ask = async (app: FastifyInstance, token: string): Promise<number> =>
  (await app.inject({ url: '/', headers: bearing(token) })).statusCode

t.test('a token is verified once', async t => {
  const app = await start(t)
  const token = verification.token()
  t.equal(await signatureChecks(async () => {
    for (let i = 0; i < 5; i++) t.equal(await ask(app, token), 200)
  }), 1)
})

t.test('D-07 a hundred requests with one new token verify it once', async t => {
  const app = await start(t)
  const token = verification.token()
  t.equal(await signatureChecks(async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, async () => await ask(app, token)))
    t.ok(answers.every(status => status === 200))
  }), 1)
})

t.test('D-07 H-05 a verification for one audience or policy is not used for another', async t => {
  const app = createApp(t)
  app.register(async scope => {
    scope.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    scope.get('/a', async () => 'in')
    scope.get('/a/strict', { config: { cfAccess: { include: { email: 'other@acme.com' } } } }, async () => 'in')
  })
  app.register(async scope => {
    scope.register(cfAccess, { teamDomain: team.domain, audience: OTHER_AUD })
    scope.get('/b', async () => 'in')
  })
  const headers = bearing(verification.token())
  const answers =
    await Promise.all(['/a', '/a/strict', '/b', '/a'].map(async url => (await app.inject({ url, headers })).statusCode))
  t.strictSame(answers, [200, 403, 401, 200])
})

t.test('H-01 the whole token is the key', async t => {
  const token = verification.token()
  await verification.expectAdmitted(t, token)
  const at = token.length - 100
  const other = (letter: string | undefined): string => letter === 'A' ? 'B' : 'A'
  await verification.expectRejected(t, token.slice(0, at) + other(token[at]) + token.slice(at + 1), 'signature',
    { name: 'one letter of the signature' })
  const [header, , signature] = token.split('.')
  const payload = verification.token({ email: 'bob@acme.com' }).split('.')[1]
  await verification.expectRejected(t, [header, payload, signature].join('.'), 'signature',
    { name: 'another payload between the same ends' })
  await verification.expectAdmitted(t, token)
})

t.test('H-01 H-05 a verification is not used for another token with the same end', async t => {
  const app = await start(t)
  await app.ready()
  const token = verification.token()
  const at = token.length - 100
  const forged = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
  for (const tokens of [[token, forged, token], [forged, token, forged]]) {
    const asked = tokens.map(async token => await ask(app, token))
    t.strictSame(await Promise.all(asked), tokens.map(one => one === token ? 200 : 401))
  }
  t.equal(await signatureChecks(async () => t.equal(await ask(app, token), 200)), 0,
    'what is remembered of the good one stays')
  t.equal(await ask(app, forged), 401)
})

t.test('H-02 H-03 a token cached by one registration is not a hit for another one', async t => {
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, issuedIn: '-2m' })
  const separated = team.userToken({ email: 'a@acme.com', audience: 'a:b' })
  const strangers = await startTeam(t)
  const app = createApp(t)
  const add = (prefix: string, options: Partial<CfAccessOptions>): void => {
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix, ...options })
    app.get(prefix, async () => 'in')
  }
  add('/same', {})
  add('/both', { audience: [OTHER_AUD, AUD] })
  add('/other', { audience: OTHER_AUD })
  add('/young', { maxTokenAge: '1m' })
  add('/team', { teamDomain: strangers.domain })
  add('/joined', { audience: ['a:b', 'c'] })
  add('/apart', { audience: ['a', 'b:c'] })
  const status = async (url: string, token: string): Promise<number> =>
    (await app.inject({ url, headers: bearing(token) })).statusCode
  for (let times = 0; times < 2; times++) {
    for (const [url, expected] of [['/same', 200], ['/both', 200], ['/other', 401], ['/young', 401],
      ['/team', 401]] as const) {
      t.equal(await status(url, token), expected, url)
    }
    t.equal(await status('/joined', separated), 200)
    t.equal(await status('/apart', separated), 401)
  }
})

t.test('H-06 a remembered token ends when it says', async t => {
  const app = await start(t, { clockTolerance: '0s' })
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '1m' })
  t.equal(await ask(app, token), 200)
  const { expiresAt } = await app.cfAccess.verify(token)
  let clock = expiresAt - 1
  t.intercept(Date, 'now', { value: () => clock })
  t.equal(await ask(app, token), 200)
  clock = expiresAt
  await t.rejects(app.cfAccess.verify(token), { code: 'FST_CF_ACCESS_TOKEN_EXPIRED' })
})

t.test('H-07 a token of a month is remembered without a timer', async t => {
  const app = await start(t)
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '31d' })
  t.equal(await signatureChecks(async () => {
    for (let i = 0; i < 3; i++) t.equal(await ask(app, token), 200)
  }), 1)
})

t.test('H-08 a token is not remembered beyond its key', async t => {
  const clock = stopClock(t)
  const own = await Verification.start(t, { keys: { maxAge: '1s', cooldown: '1s' } })
  const token = own.token()
  await own.expectAdmitted(t, token)
  await own.team.rotateKeys()
  await own.team.rotateKeys()
  const asked = new Promise<() => void>(resolve => {
    own.team.outage((_request, response, body) => resolve(() => response.end(body)))
  })
  clock.move(1000)
  await own.expectAdmitted(t, token, 'served while the refresh it starts is under way')
  const answer = await asked
  own.team.outage(null)
  answer()
  await until(() => own.app.cfAccess.status()[0]!.lastSuccess === clock.now)
  t.equal(await ask(own.app, token), 401)
})

t.test('H-09 a token is not remembered beyond a key that changed under its kid', async t => {
  const clock = stopClock(t)
  const own = await Verification.start(t, { keys: { maxAge: '1s', cooldown: '1s' } })
  const token = own.token()
  await own.expectAdmitted(t, token)
  const [before] = own.team.certs.keys
  await own.team.rotateKeys()
  const [after] = own.team.certs.keys
  const keys = JSON.stringify({ keys: [{ ...after, kid: before!['kid'] }] })
  const asked = new Promise<() => void>(resolve => {
    own.team.outage((_request, response) => resolve(() => response.end(keys)))
  })
  clock.move(1000)
  await own.expectAdmitted(t, token)
  const answer = await asked
  answer()
  await until(() => own.app.cfAccess.status()[0]!.lastSuccess === clock.now)
  t.equal(await ask(own.app, token), 401)
})

t.test('H-13 requests that wait for the keys with one token verify it once, with a published key', async t => {
  for (const [which, status, checks] of [['both', 200, 1], ['previous', 401, 0]] as const) {
    const own = await startTeam(t)
    const app = createApp(t)
    await app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
    app.get('/', async () => 'in')
    const token = own.userToken({ email: 'a@acme.com', audience: AUD })
    const published = JSON.stringify({ keys: which === 'both' ? own.certs.keys : own.certs.keys.slice(1) })
    const asked =
      new Promise<() => void>(resolve => own.outage((_request, response) => resolve(() => response.end(published))))
    const waiting = signatureChecks(async () => {
      t.strictSame(await Promise.all([1, 2, 3].map(async () => await ask(app, token))), [status, status, status], which)
    })
    const release = await asked
    own.outage((_request, response) => response.end(published))
    release()
    t.equal(await waiting, checks, which)
  }
})

t.test('H-10 the cache is bounded, and a token in use stays in it', async t => {
  const app = await start(t, { cache: { max: 10 } })
  const hot = verification.token({ jti: 'hot' })
  await ask(app, hot)
  const others = Array.from({ length: 30 }, (_, i) => verification.token({ jti: i }))
  for (const token of others) {
    t.equal(await ask(app, token), 200)
    t.equal(await signatureChecks(async () => await ask(app, hot)), 0)
  }
  t.equal(await signatureChecks(async () => await ask(app, others[0]!)), 1, 'the first is forgotten')
  t.equal(await signatureChecks(async () => await ask(app, others[29]!)), 0, 'the last is not')
})

t.test('H-11 a rejected token is not remembered', async t => {
  const app = await start(t, { cache: { max: 1 } })
  const good = verification.token()
  const forged = `${verification.token().slice(0, -8)}AAAAAAAA`
  t.equal(await ask(app, good), 200)
  t.equal(await ask(app, forged), 401)
  t.equal(await signatureChecks(async () => t.equal(await ask(app, good), 200)), 0)
  t.equal(await signatureChecks(async () => t.equal(await ask(app, forged), 401)), 1)
})

t.test('H-12 cache: false remembers nothing', async t => {
  const app = await start(t, { cache: false })
  const token = verification.token()
  t.equal(await signatureChecks(async () => {
    for (let i = 0; i < 3; i++) t.equal(await ask(app, token), 200)
  }), 3)
})

t.test('D-12 a token longer than a cookie can be is admitted and not remembered', async t => {
  const app = await start(t)
  for (const [length, checks] of [[2000, 0], [4096, 0], [4097, 1], [5000, 1]] as const) {
    const token = tokenOfLength(length)
    t.equal(await ask(app, token), 200)
    t.equal(await signatureChecks(async () => t.equal(await ask(app, token), 200)), checks, `${length} characters`)
  }
})

/**
 * Not every length can be had by the payload alone, since base64url has none of one character more than a multiple of
 * four.
 */
function tokenOfLength (length: number): string {
  for (const pad of ['', 'x', 'xx', 'xxx']) {
    const tokenOf = (fill: number): string => verification.token({ custom: { text: 'x'.repeat(fill) } }, { pad })
    for (let fill = Math.floor((length - tokenOf(0).length) * 3 / 4) - 2, tries = 0; tries < 6; fill++, tries++) {
      if (tokenOf(fill).length === length) return tokenOf(fill)
    }
  }
  throw new Error(`no token has ${length} characters`)
}

t.test('D-11 at most four signatures are checked for a request, however many cookies it has', async t => {
  const app = await start(t)
  const forged = Array.from({ length: 7 },
    (_, i) => `CF_Authorization=${verification.token({ jti: i }).slice(0, -8)}AAAAAAAA`)
  t.equal(await signatureChecks(async () => {
    t.equal((await app.inject({ url: '/', headers: { cookie: forged.join('; ') } })).statusCode, 401)
  }), 4)
})

t.test('D-08 a client that goes away does not affect the answers of others', async t => {
  const own = await startTeam(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
  app.get('/', async () => 'in')
  const asked =
    new Promise<() => void>(resolve => own.outage((_request, response, body) => resolve(() => response.end(body))))
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const headers = bearing(own.userToken({ email: 'a@acme.com', audience: AUD }))
  const leaving = new AbortController()
  const arrived = new Promise<void>(resolve => app.server.once('request', () => resolve()))
  const first = t.rejects(fetch(origin, { headers, signal: leaving.signal }), { name: 'AbortError' })
  await arrived
  const others = Array.from({ length: 5 }, async () => (await fetch(origin, { headers })).status)
  leaving.abort()
  await first
  const answer = await asked
  answer()
  t.strictSame(await Promise.all(others), [200, 200, 200, 200, 200])
  t.equal(own.requests.filter(({ path }) => path === CERTS).length, 1)
})

t.test('H-14 what is remembered cannot be looked at', async t => {
  const app = await start(t)
  const token = verification.token()
  t.equal(await ask(app, token), 200)
  const shown = inspect(app, { depth: 8, showHidden: true }) + app.printPlugins() + inspect(app.cfAccess, {
    depth: 8,
    showHidden: true
  })
  t.notOk(token.split('.').some(part => shown.includes(part)))
})

t.test('M-09 what a handler does to any kind of identity changes nothing for the next request', async t => {
  const kinds = {
    user: [verification.token({ custom: { roles: ['reader'] } }), 'email', 'subject', 'country'],
    service: [team.serviceToken({ clientId: 'k.access', audience: AUD, claims: { custom: { roles: ['reader'] } } }), 'clientId'],
    certificate: [team.certificateToken({ commonName: 'pump 7', audience: AUD, claims: { custom: { roles: ['reader'] } } }), 'commonName']
  } as const
  for (const [kind, [token, ...own]] of Object.entries(kinds)) {
    const app = createApp(t)
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    app.get('/', async request => {
      const identity = request.cfAccess as object
      const before = JSON.stringify(identity)
      for (const member of ['kind', 'claims', 'issuedAt', 'expiresAt', 'details', 'extra', ...own]) {
        t.notOk(Reflect.set(identity, member, 'x'), `${kind}.${member}`)
        t.notOk(Reflect.defineProperty(identity, member, { value: 'x' }), `${kind}.${member}`)
      }
      const { roles } = request.cfAccess!.claims['custom'] as { roles: string[] }
      t.notOk(Reflect.set(request.cfAccess!.claims, 'common_name', 'x'), `${kind}.claims.common_name`)
      t.throws(() => roles.push('admin'), TypeError, `${kind}.claims.custom.roles`)
      t.notOk(Reflect.setPrototypeOf(identity, {}), kind)
      t.equal(JSON.stringify(identity), before, kind)
      return identity
    })
    const ask = async (): Promise<unknown> => (await app.inject({ url: '/', headers: bearing(token) })).json()
    const first = await ask()
    t.match(first, { kind })
    t.strictSame(await ask(), first, kind)
  }
})

t.test('X-22 a remembered token does not keep its Cookie header in memory', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const count = 200
  const header = 60_000 // far more than all else that is kept for a token
  const used = async (): Promise<number> => {
    await nextTurn() // what a request leaves to be done in the next turn keeps the request until then
    collect()
    collect()
    return process.memoryUsage().heapUsed
  }
  type Ask = (identity: CfAccessIdentity) => Promise<unknown>
  const kept = async (options: Partial<CfAccessOptions>, ask: Ask): Promise<number> => {
    const app = await start(t, options)
    app.get('/ask', async request => { await ask(request.cfAccess!) })
    const request = async (i: number): Promise<void> => {
      const cookie = `CF_Authorization=${verification.token({ jti: i })}; other=`
      t.equal((await app.inject(
        { url: '/ask', headers: { cookie: cookie + 'x'.repeat(header - cookie.length) } })).statusCode, 200)
    }
    for (let i = 0; i < 100; i++) await request(i) // so that what is made once is there before
    const before = await used()
    for (let i = 0; i < count; i++) await request(100 + i)
    const after = await used()
    await app.close()
    return (after - before) / count
  }
  const perToken = await kept({}, async () => {})
  t.ok(perToken < header / 3, `${Math.round(perToken)} bytes for each token`)
  const perAnswer = await kept({ cache: false, details: { max: 10_000 } },
    async identity => await (identity as CfAccessUser).details())
  t.ok(perAnswer < header / 3, `${Math.round(perAnswer)} bytes for each answer about a token`)
})
