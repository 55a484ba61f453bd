import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { NEVER, stopClock, type Clock } from '../fixtures/clock.js'
import { listen, startTeam } from '../fixtures/index.js'
import {
  ask, inMilliseconds, renamed, startApp, startEndpoint, until, type KeyEndpoint
} from '../fixtures/key-endpoint.js'
import { countChecks } from '../fixtures/signature-checks.js'

const team = await startTeam(t)
const [current, previous] = team.certs.keys

const KEYS = { maxAge: 60_000, maxStale: 600_000, cooldown: 5_000, timeout: NEVER }

/** Well-formed tokens with unknown kids. */
function madeUp (endpoint: KeyEndpoint, length: number): string[] {
  const token = endpoint.token()
  return Array.from({ length }, (_, index) => renamed(token, `made-up-${index}`))
}

/** Tokens in good order whose signature is another's. */
function forged (endpoint: KeyEndpoint, length: number): string[] {
  const [header, payload = '', signature] = endpoint.token().split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  return Array.from({ length }, (_, index) =>
    [header, Buffer.from(JSON.stringify({ ...claims, index })).toString('base64url'), signature].join('.'))
}

/** How often each status came, all asked at once. */
async function askAll (app: FastifyInstance, tokens: string[]): Promise<Record<number, number>> {
  const counts: Record<number, number> = {}
  await Promise.all(tokens.map(async token => {
    const { statusCode } = await ask(app, token)
    counts[statusCode] = (counts[statusCode] ?? 0) + 1
  }))
  return counts
}

/** Lets the wait of a failing endpoint pass, or all of it but a millisecond. */
function moveToNextTry (clock: Clock, app: FastifyInstance, short = 0): void {
  clock.move(app.cfAccess.status()[0]!.nextTry! - clock.now - short)
}

t.test('D-01 2,000 made-up kids in a burst cost one fetch a cooldown, and the known are served meanwhile', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  for (const [bursts, size] of [2000, 200, 200].entries()) {
    t.same(await askAll(app, [...madeUp(endpoint, size), endpoint.token()]), { 200: 1, 401: size })
    t.equal(endpoint.requests.length, 2 + bursts)
    clock.move(KEYS.cooldown - 1)
    t.same(await askAll(app, madeUp(endpoint, 10)), { 401: 10 }, 'just before the cooldown ends')
    t.equal(endpoint.requests.length, 2 + bursts)
    clock.move(1)
  }
})

t.test('D-01 made-up kids one after the other cost one fetch a cooldown', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  for (const token of madeUp(endpoint, 200)) {
    t.equal((await ask(app, token)).statusCode, 401)
    clock.move(KEYS.cooldown / 50)
  }
  t.equal(endpoint.requests.length, 1 + 200 / 50)
})

t.test('D-01 a burst of made-up kids before the keys are there costs two fetches: the first, and one to make sure', async t => {
  stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.same(await askAll(app, [...madeUp(endpoint, 200), endpoint.token()]), { 200: 1, 401: 200 })
  t.equal(endpoint.requests.length, 2)
})

t.test('D-02 made-up kids while the endpoint is down cost one fetch a wait, and the known are served', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  await endpoint.outage('down')
  for (let bursts = 1; bursts <= 6; bursts++) {
    t.same(await askAll(app, [...madeUp(endpoint, 500), endpoint.token()]), { 200: 1, 503: 500 })
    moveToNextTry(clock, app, 1)
    t.same(await askAll(app, [...madeUp(endpoint, 10), endpoint.token()]), { 200: 1, 503: 10 }, 'just before the retry')
    t.equal(endpoint.requests.length, 1 + bursts)
    clock.move(1)
  }
  await endpoint.outage(null)
  t.same(await askAll(app, madeUp(endpoint, 100)), { 401: 100 }, 'restored')
  clock.move(KEYS.cooldown - 1)
  t.same(await askAll(app, madeUp(endpoint, 100)), { 401: 100 }, 'once more one fetch a cooldown')
  t.equal(endpoint.requests.length, 8)
})

t.test('D-03 unknown kids share one fetch of an endpoint that hangs, and delay no other request', async t => {
  stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  let giveUp = (): void => {}
  await endpoint.outage((_request, response) => { giveUp = () => response.destroy() })
  let over = false
  const flood = askAll(app, madeUp(endpoint, 500)).finally(() => { over = true })
  await until(() => endpoint.requests.length === 2)
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  t.notOk(over, 'the flood still waits')
  giveUp()
  t.same(await flood, { 503: 500 })
  t.equal(endpoint.requests.length, 2)
})

t.test('D-04 500 requests while the endpoint is down from the start cost one fetch a wait', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('down')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const token = endpoint.token()
  const start = clock.now
  for (let tries = 1; tries <= 5; tries++) {
    t.same(await askAll(app, Array(50).fill(token)), { 503: 50 })
    t.same(await askAll(app, madeUp(endpoint, 50)), { 503: 50 })
    t.equal(endpoint.requests.length, tries)
    moveToNextTry(clock, app)
  }
  while (clock.now < start + 50_000) {
    await ask(app, token)
    clock.move(100)
  }
  t.ok(endpoint.requests.length <= 5 + 50 / 2.5, 'no wait is shorter than half a cooldown')
  await endpoint.outage(null)
  moveToNextTry(clock, app)
  t.same(await askAll(app, Array(50).fill(token)), { 200: 50 }, 'mended')
})

t.test('K-17 a real rotation amid made-up kids is noticed within a cooldown, and for good', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [previous] }
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  t.equal((await ask(app, endpoint.token({ which: 'previous' }))).statusCode, 200)
  t.same(await askAll(app, madeUp(endpoint, 200)), { 401: 200 })
  endpoint.published = { keys: [current, previous] }
  clock.move(KEYS.cooldown - 1)
  t.same(await askAll(app, [...madeUp(endpoint, 200), endpoint.token()]), { 401: 201 },
    'the flood has used up this cooldown')
  clock.move(1)
  t.same(await askAll(app, [...madeUp(endpoint, 200), endpoint.token()]), { 200: 1, 401: 200 })
  t.equal(endpoint.requests.length, 3)
  t.same(await askAll(app, [...madeUp(endpoint, 200), endpoint.token(), endpoint.token({ which: 'previous' })]),
    { 200: 2, 401: 200 })
  t.equal(endpoint.requests.length, 3)
})

t.test('D-05 tokens for another issuer, audience, algorithm or time cost no signature check and no fetch', async t => {
  stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const checks = countChecks()
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  t.equal(checks(), 1)
  const now = Math.floor(Date.now() / 1000)
  const wrong = [
    { claims: { iss: 'https://other.cloudflareaccess.com' } }, { claims: { iss: `${endpoint.domain}/` } },
    { claims: { aud: ['another'] } }, { claims: { aud: [] } }, { claims: { type: 'meta' } },
    { claims: { exp: now - 60, iat: now - 120 } }, { claims: { iat: now + 60, exp: now + 120 } }, { claims: { nbf: now + 60 } },
    { header: { alg: 'HS256' } }, { header: { alg: 'none' } }, { header: { kid: '' } }, { header: { crit: ['exp'] } }
  ]
  for (const options of wrong) {
    const token = endpoint.token(options)
    t.same(await askAll(app, Array(100).fill(token)), { 401: 100 }, JSON.stringify(options))
  }
  t.equal(checks(), 1)
  t.equal(endpoint.requests.length, 1)
})

t.test('D-06 garbage signatures are checked once each, rejected, and keep no valid token out', async t => {
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const checks = countChecks()
  t.same(await askAll(app, [...forged(endpoint, 300), endpoint.token()]), { 200: 1, 401: 300 })
  t.equal(checks(), 301)
  t.equal(endpoint.requests.length, 1)
})

t.test('D-10 at most four tokens are tried, however many cookies there are', async t => {
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const url = `http://127.0.0.1:${await listen(app)}/`
  const bring = async (cookie: string): Promise<number> => (await fetch(url, { headers: { cookie } })).status
  const good = endpoint.token()
  t.equal(await bring(`CF_Authorization=${good}`), 200)
  const checks = countChecks()
  const named = (tokens: string[]): string => tokens.map(token => `CF_Authorization=${token}`).join('; ')
  const bad = forged(endpoint, 16)
  const floods: Array<[cookie: string, status: number, checks: number]> = [
    [named(bad), 401, 4],
    [named([...bad.slice(0, 3), good]), 200, 3],
    [named([...bad.slice(0, 4), good]), 401, 4],
    [named(Array(500).fill('')), 401, 0],
    [named([...Array(4).fill(''), good]), 401, 0],
    ['a=b; '.repeat(2000), 401, 0],
    [`${'a=b; '.repeat(2000)}${named([good])}`, 200, 0],
    [';'.repeat(15_000), 401, 0],
    [`${';'.repeat(10_000)}${named([good])}`, 200, 0],
    ['='.repeat(15_000), 401, 0],
    ['CF_Authorization'.repeat(900), 401, 0],
    ['CF_Authorization;'.repeat(900), 401, 0]
  ]
  for (const [cookie, status, expected] of floods) {
    const before = checks()
    t.equal(await bring(cookie), status, cookie.slice(0, 40))
    t.equal(checks() - before, expected, cookie.slice(0, 40))
  }
  t.equal(endpoint.requests.length, 1)
})
