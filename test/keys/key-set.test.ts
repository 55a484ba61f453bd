import { createHmac, generateKeyPairSync } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import cfAccess, { type CfAccessOptions } from '../../lib/index.js'
import type { AccessTeam } from '../../lib/testing/index.js'
import { holdTimers, NEVER, stopClock, type Clock } from '../fixtures/clock.js'
import { expectAdmitted, expectRejected, expectUnavailable } from '../fixtures/expect.js'
import { AUD, bearing, CERTS_PATH, createApp, startTeam } from '../fixtures/index.js'
import {
  answering, ask, inMilliseconds, renamed, startApp, startEndpoint, until, type KeyEndpoint, type Outage
} from '../fixtures/key-endpoint.js'

const team = await startTeam(t)
const [current, previous] = team.certs.keys as unknown as [Jwk, Jwk]
interface Jwk { readonly kid: string, readonly n: string }

const KEYS = { maxAge: 60_000, maxStale: 600_000, cooldown: 5_000, timeout: NEVER }
const KIB_256 = 256 * 1024

const CLAIMS = { aud: [AUD], type: 'app', sub: 'alice', email: 'alice@acme.com' }

const LATE = /^no whole answer within \d+ ms$/

interface LogLine { readonly url?: string }

interface Fault {
  readonly outage: Outage
  readonly why: RegExp
}

const FAULTS: Record<string, Fault> = {
  refusing: { outage: 'refusing', why: /ECONNREFUSED/ },
  down: { outage: 'down', why: /^fetch failed: / },
  slow: { outage: 'slow', why: LATE },
  silent: { outage: 'silent', why: LATE },
  stalled: { outage: 'stalled', why: LATE },
  drip: { outage: 'drip', why: LATE },
  redirect: { outage: 'redirect', why: /status is 302$/ },
  error: { outage: 'error', why: /status is 500$/ },
  unknown: { outage: 'unknown', why: /status is 404$/ },
  html: { outage: 'html', why: /not JSON$/ },
  truncated: { outage: 'truncated', why: /^terminated/ },
  'chunks cut short': { outage: (_request, response, body) => { response.write(body.slice(1), () => response.destroy()) }, why: /^terminated|not JSON$/ },
  null: { outage: 'null', why: /not a JWK Set$/ },
  empty: { outage: 'empty', why: /no usable key$/ },
  broken: { outage: 'broken', why: /no usable key$/ },
  huge: { outage: 'huge', why: /over 262144 bytes$/ },
  endless: { outage: 'endless', why: /over 262144 bytes$/ },
  'gzip bomb': { outage: answering(gzipSync(Buffer.alloc(16 * 1024 * 1024, ' ')), 200, { 'content-encoding': 'gzip' }), why: /over 262144 bytes$/ },
  'no such encoding': { outage: answering('{}', 200, { 'content-encoding': 'gzip' }), why: /^terminated/ },
  'the keys, but forbidden': { outage: answering(JSON.stringify(team.certs), 403), why: /status is 403$/ },
  'the keys, but in part': { outage: answering(JSON.stringify(team.certs), 206), why: /status is 206$/ },
  'no content': { outage: answering('', 204), why: /status is 204$/ },
  'too many requests': { outage: answering('', 429, { 'retry-after': 3600 }), why: /status is 429$/ },
  nothing: { outage: answering(''), why: /not JSON$/ },
  'no list': { outage: answering('{"keys":{}}'), why: /not a JWK Set$/ },
  'no name': { outage: answering(JSON.stringify(team.certs.keys)), why: /not a JWK Set$/ },
  'a JWK alone': { outage: answering(JSON.stringify(current)), why: /not a JWK Set$/ },
  'members that are none': { outage: answering('{"keys":[null,7,"k",[],{},true]}'), why: /no usable key$/ }
}

interface Failing extends Fault {
  readonly kind: string
  readonly endpoint: KeyEndpoint
  readonly app: FastifyInstance
  /** Ends the wait for an answer that is late, once the endpoint has been asked this often. */
  giveUp (requests: number): Promise<void>
}

/** For each kind of fault an endpoint and an application of its own, so that all of them can wait at the same time. */
async function startEach (
  t: Test, prepare: (endpoint: KeyEndpoint, fault: Fault) => Promise<void>
): Promise<Failing[]> {
  const fire = holdTimers(t)
  return await Promise.all(Object.entries(FAULTS).map(async ([kind, fault], index) => {
    const endpoint = await startEndpoint(t, team)
    await prepare(endpoint, fault)
    const timeout = NEVER + index // a length of its own, so that each can be fired alone
    const giveUp = async (requests: number): Promise<void> => {
      if (fault.why !== LATE) return
      await until(() => endpoint.requests.length === requests)
      fire(timeout)
    }
    return {
      kind,
      ...fault,
      endpoint,
      giveUp,
      app: await startApp(t, endpoint, { keys: inMilliseconds({ ...KEYS, timeout }) })
    }
  }))
}

/** The wait is at most this long, and at least half of it. */
function isNextTryWithin (t: Test, app: FastifyInstance, clock: Clock, wait: number): void {
  const { nextTry } = app.cfAccess.status()[0]!
  t.ok(nextTry! >= clock.now + wait / 2 && nextTry! <= clock.now + wait, `${nextTry! - clock.now} ms of ${wait}`)
}

/** Makes the keys old, sends a request that notices it, and waits for the new fetch. */
async function refresh (clock: Clock, app: FastifyInstance, endpoint: KeyEndpoint): Promise<void> {
  clock.move(KEYS.maxAge)
  await ask(app, endpoint.token())
  await until(() => app.cfAccess.status()[0]!.lastSuccess === clock.now)
}

t.test('K-01 K-02 K-03 K-05 K-06 K-07 K-10 an app starts without keys, rejects, and recovers', async t => {
  const clock = stopClock(t)
  const failing = await startEach(t, (endpoint, { outage }) => endpoint.outage(outage))
  await Promise.all(failing.map(async ({ kind, why, endpoint, app, giveUp }) => {
    await Promise.all([expectUnavailable(t, app, endpoint.token(), kind), giveUp(1)])
    const lastFailure = { at: clock.now, reason: why }
    t.match(app.cfAccess.status()[0]!, { state: 'unavailable', kids: [], lastFailure }, kind)
    isNextTryWithin(t, app, clock, 500)
    await endpoint.outage(null)
    const { length } = endpoint.requests
    t.equal(length, kind === 'refusing' ? 0 : 1, kind)
    await expectUnavailable(t, app, endpoint.token(), `${kind}, mended a moment ago`)
    t.equal(endpoint.requests.length, length, kind)
  }))
  clock.move(500)
  await Promise.all(failing.map(async ({ kind, endpoint, app }) => {
    await expectAdmitted(t, app, endpoint.token(), `${kind}, mended`)
    t.match(app.cfAccess.status()[0]!, { state: 'fresh', nextTry: null }, kind)
  }))
})

t.test('K-03 K-05 K-06 K-07 K-18 K-19 known keys outlast a failure, until they are too old', async t => {
  const clock = stopClock(t)
  const failing = await startEach(t, async () => {})
  const remembered = new Map<string, string>()
  await Promise.all(failing.map(async ({ kind, endpoint, app, outage }) => {
    remembered.set(kind, endpoint.token())
    await expectAdmitted(t, app, remembered.get(kind)!, kind)
    await endpoint.outage(outage)
  }))
  clock.move(KEYS.maxAge)
  await Promise.all(failing.map(async ({ kind, endpoint, app, why, giveUp }) => {
    const unheard = app.cfAccess.status()[0]!.lastFailure
    await expectAdmitted(t, app, remembered.get(kind)!, `${kind}, a token that is remembered`)
    await expectAdmitted(t, app, endpoint.token(), `${kind}, a new token`)
    if (why === LATE) t.equal(app.cfAccess.status()[0]!.lastFailure, unheard, `${kind}: no request waited for the refresh`)
    const unknown = renamed(endpoint.token(), 'unknown')
    await Promise.all([expectUnavailable(t, app, unknown, `${kind}, an unknown key`), giveUp(2)])
    const kids = [current.kid, previous.kid]
    t.match(app.cfAccess.status()[0]!, { state: 'stale', kids, lastFailure: { reason: why } },
      kind)
    await expectAdmitted(t, app, endpoint.token(), `${kind}, after the failed refresh`)
    await expectAdmitted(t, app, endpoint.token({ which: 'previous' }), `${kind}, the other key`)
    t.equal(endpoint.requests.length, kind === 'refusing' ? 1 : 2, `${kind}: one refresh`)
  }))
  clock.move(KEYS.maxStale - KEYS.maxAge)
  await Promise.all(failing.map(async ({ kind, endpoint, app, giveUp }) => {
    await Promise.all(
      [expectUnavailable(t, app, remembered.get(kind)!, `${kind}, a token that was remembered`), giveUp(3)])
    await expectUnavailable(t, app, endpoint.token(), `${kind}, a new token`)
    t.equal(app.cfAccess.status()[0]!.state, 'unavailable', kind)
    t.equal(endpoint.requests.length, kind === 'refusing' ? 1 : 3, `${kind}: one more try`)
    await endpoint.outage(null)
  }))
  clock.move(1000)
  await Promise.all(failing.map(async ({ kind, app }) => {
    await expectAdmitted(t, app, remembered.get(kind)!, `${kind}, mended`)
  }))
})

t.test('K-01 an endpoint that does not speak TLS leaves the start alone', async t => {
  const { domain } = await startEndpoint(t, team)
  const secure = { domain: domain.replace('http:', 'https:') }
  const app = await startApp(t, secure)
  const endpoint = await startEndpoint(t, team)
  await expectUnavailable(t, app, endpoint.token({ claims: { iss: secure.domain } }))
  t.match(app.cfAccess.status()[0]!.lastFailure, { reason: /SSL|TLS/i })
})

t.test('K-02 a fetch that takes too long is broken off, and the next requests do not wait', async t => {
  stopClock(t)
  const fire = holdTimers(t)
  const endpoint = await startEndpoint(t, team)
  const gone = new Promise<void>(resolve => {
    endpoint.outage((_request, response) => { response.on('close', resolve) })
  })
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const waiting = expectUnavailable(t, app, endpoint.token())
  await until(() => endpoint.requests.length === 1)
  fire(NEVER)
  await waiting
  await gone
  await expectUnavailable(t, app, endpoint.token())
  t.equal(endpoint.requests.length, 1)
})

const follow: CfAccessOptions['fetch'] = (url, init) => fetch(url, { ...init, redirect: 'follow' })

t.test('K-04 a redirect is not followed, and an answer that came by one is not trusted', async t => {
  for (const fetch of [undefined, follow]) {
    for (const status of [301, 302, 303, 307, 308]) {
      const endpoint = await startEndpoint(t, team)
      await endpoint.outage(({ url }, response, body) => {
        if (url === CERTS_PATH) response.writeHead(status, { location: '/inner' }).end()
        else response.end(body)
      })
      const app = await startApp(t, endpoint, fetch === undefined ? {} : { fetch })
      await expectUnavailable(t, app, endpoint.token(), String(status))
      t.same(endpoint.requests.map(({ url }) => url), fetch === undefined ? [CERTS_PATH] : [CERTS_PATH, '/inner'])
    }
  }
})

t.test('K-04 an answer that came by a redirect is not read', async t => {
  const endpoint = await startEndpoint(t, team)
  const letGo = new Promise<void>(resolve => {
    endpoint.outage(({ url }, response, body) => {
      if (url === CERTS_PATH) response.writeHead(302, { location: '/inner' }).end()
      else response.on('close', resolve).write(body)
    })
  })
  await expectUnavailable(t, await startApp(t, endpoint, { fetch: follow }), endpoint.token())
  await letGo
})

t.test('K-05 an answer may have 256 KiB and not a byte more, whether or not it says so beforehand', async t => {
  const fill = (length: number): string => JSON.stringify(team.certs).padEnd(length)
  const chunked = (text: string): Outage => (_request, response) => { response.write(text); response.end() }
  for (const send of [answering, chunked]) {
    const endpoint = await startEndpoint(t, team)
    await endpoint.outage(send(fill(KIB_256)))
    await expectAdmitted(t, await startApp(t, endpoint), endpoint.token())
    const over = await startEndpoint(t, team)
    await over.outage(send(fill(KIB_256 + 1)))
    await expectUnavailable(t, await startApp(t, over), over.token())
  }
})

t.test('K-05 a body without an end is broken off long before it fills the memory', async t => {
  const endpoint = await startEndpoint(t, team)
  const sent = new Promise<number>(resolve => {
    endpoint.outage((request, response) => {
      const more = (error?: Error | null): void => { if (!error) response.write(Buffer.alloc(KIB_256, ' '), more) }
      response.on('close', () => resolve(request.socket.bytesWritten))
      more()
    })
  })
  await expectUnavailable(t, await startApp(t, endpoint), endpoint.token())
  t.ok(await sent < 32 * 1024 * 1024)
})

t.test('K-08 the keys are kept, whatever text the endpoint answers', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectAdmitted(t, app, endpoint.token())
  const good = JSON.stringify(team.certs)
  const texts = [' ', '{', '[', '"', '[]', '{}', '7', '1e999', 'true', 'NaN', '"keys"', '{"keys":null}', '{"keys":"k"}',
    '{"keys":[}',
    '{keys:[]}', "{'keys':[]}", '{"keys":[],}', '{"keys":[1,]}', '//', `${good},`, `${good}${good}`, `/**/${good}`,
      `${good}\0`,
    `\u001e${good}`, '['.repeat(100_000), '{"keys":'.repeat(10_000), `{"keys":${'['.repeat(500)}${']'.repeat(500)}}`,
    '{"__proto__":{"keys":[]}}',
    '{"Keys":[]}', '{"keys":{"length":1,"0":{}}}', JSON.stringify(good), Buffer.from(good, 'utf16le'),
    Buffer.from([0xff, 0xfe, 0x00]), Buffer.from([0xed, 0xa0, 0x80])]
  for (const [index, text] of texts.entries()) {
    await endpoint.outage(answering(text))
    clock.move(KEYS.cooldown)
    await expectUnavailable(t, app, renamed(endpoint.token(), 'unknown'), `text ${index}`, /^[1-5]$/)
    await expectAdmitted(t, app, endpoint.token())
    t.equal(endpoint.requests.length, index + 2)
  }
  t.same(app.cfAccess.status()[0]!.kids, [current.kid, previous.kid])
})

/** What is published beside the current key, and vouches for nothing. */
const USELESS: Record<string, unknown> = {
  'K-09 null': null,
  'K-09 a number': 7,
  'K-09 a text': 'key',
  'K-09 a list': [previous],
  'K-09 an empty member': {},
  'K-09 n missing': { ...previous, n: undefined },
  'K-09 e missing': { ...previous, e: undefined },
  'K-12 a private key': { ...previous, d: 'AQAB' },
  'K-12 another kty': { ...previous, kty: 'EC' },
  'K-12 a shared secret': { kty: 'oct', kid: previous.kid, k: 'c2VjcmV0', alg: 'HS256' },
  'K-12 an elliptic curve': { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }), kid: previous.kid },
  'K-12 for encryption': { ...previous, use: 'enc' },
  'K-12 key_ops for encryption': { ...previous, key_ops: ['encrypt'] },
  'K-12 key_ops for nothing': { ...previous, key_ops: [] },
  'K-12 alg RS512': { ...previous, alg: 'RS512' },
  'K-12 alg none': { ...previous, alg: 'none' },
  'K-14 1024 bits': { ...generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }), kid: previous.kid },
  'K-14 e 1': { ...previous, e: 'AQ' },
  'K-14 e 2': { ...previous, e: 'Ag' },
  'K-14 e 0': { ...previous, e: 'AA' },
  'K-14 an even e': { ...previous, e: 'AQAA' },
  'K-14 an even n': { ...previous, n: even(previous.n) },
  'K-14 n empty': { ...previous, n: '' },
  'K-14 n a number': { ...previous, n: 65537 },
  'K-14 n no base64url': { ...previous, n: '*' },
  'K-15 without kid': { ...previous, kid: undefined },
  'K-15 kid a number': { ...previous, kid: 7 },
  'K-15 kid empty': { ...previous, kid: '' },
  'K-15 kid too long': { ...previous, kid: 'k'.repeat(129) }
}

function even (n: string): string {
  const bytes = Buffer.from(n, 'base64url')
  bytes[bytes.length - 1]! &= 0xfe
  return bytes.toString('base64url')
}

for (const [name, member] of Object.entries(USELESS)) {
  t.test(`${name}: such a member is ignored, and a good key beside it works`, async t => {
    const endpoint = await startEndpoint(t, team)
    endpoint.published = { keys: [member, current] }
    const app = await startApp(t, endpoint)
    await expectAdmitted(t, app, endpoint.token())
    t.same(app.cfAccess.status()[0]!.kids, [current.kid])
    await expectRejected(t, app, endpoint.token({ which: 'previous' }), 401, 'TOKEN_INVALID')
    const named = (member as Partial<Jwk> | null)?.kid
    if (typeof named === 'string') {
      await expectRejected(t, app, endpoint.token({ which: 'previous', header: { kid: named } }), 401, 'TOKEN_INVALID')
    }
  })
}

t.test('K-12 a published secret signs nothing', async t => {
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [{ kty: 'oct', kid: 'secret', k: 'c2VjcmV0', alg: 'HS256' }, current] }
  const app = await startApp(t, endpoint)
  const [, payload] = endpoint.token().split('.')
  const signed = `${Buffer.from('{"alg":"HS256","kid":"secret"}').toString('base64url')}.${payload}`
  await expectRejected(t, app, `${signed}.${createHmac('sha256', 'secret').update(signed).digest('base64url')}`, 401,
    'TOKEN_INVALID')
  await expectAdmitted(t, app, endpoint.token())
})

t.test('K-15 a key needs no alg and no use, and extra members are ignored', async t => {
  const endpoint = await startEndpoint(t, team)
  endpoint.published = {
    keys: [{ ...current, alg: undefined, use: undefined }, { ...previous, key_ops: ['verify'], x5c: ['?'], more: null }],
    public_cert: { kid: current.kid, cert: '' },
    public_certs: []
  }
  const app = await startApp(t, endpoint)
  await expectAdmitted(t, app, endpoint.token())
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
  await expectRejected(t, app, endpoint.token({ header: { alg: 'RS512' } }), 401, 'TOKEN_INVALID')
})

t.test('K-11 one key published twice is one key', async t => {
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [current, current] }
  await expectAdmitted(t, await startApp(t, endpoint), endpoint.token())
})

t.test('K-11 two different keys with one kid are both ignored, in any order and number', async t => {
  const twin = { ...previous, kid: current.kid }
  for (const twins of [[twin, current], [current, twin], [current, twin, current]]) {
    const endpoint = await startEndpoint(t, team)
    endpoint.published = { keys: [...twins, previous] }
    const app = await startApp(t, endpoint)
    await expectRejected(t, app, endpoint.token(), 401, 'TOKEN_INVALID')
    await expectRejected(t, app, endpoint.token({ which: 'previous', header: { kid: current.kid } }), 401,
      'TOKEN_INVALID')
    await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
  }
})

t.test('K-13 of very many keys the first 32 count', async t => {
  const endpoint = await startEndpoint(t, team)
  const others = Array.from({ length: 31 }, (_, index) => ({ ...previous, kid: `other-${index}` }))
  endpoint.published = { keys: [...others, current, previous] }
  const app = await startApp(t, endpoint)
  await expectAdmitted(t, app, endpoint.token())
  t.equal(app.cfAccess.status()[0]!.kids.length, 32)
  await expectRejected(t, app, endpoint.token({ which: 'previous' }), 401, 'TOKEN_INVALID')
})

t.test('K-24 the keys of another team verify no token', async t => {
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [previous] }
  const app = await startApp(t, endpoint)
  await expectRejected(t, app, endpoint.token(), 401, 'TOKEN_INVALID')
  await expectRejected(t, app, endpoint.token({ which: 'previous', claims: { iss: team.domain } }), 401,
    'TOKEN_INVALID')
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
})

t.test('either of the two published keys verifies', async t => {
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint)
  await expectAdmitted(t, app, endpoint.token({ which: 'current' }))
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
  await expectRejected(t, app, endpoint.token({ which: 'previous', header: { kid: current.kid } }), 401,
    'TOKEN_INVALID')
  t.equal(endpoint.requests.length, 1)
})

t.test('K-16 a new key is known with its first token, and an old one that is gone no longer counts', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [previous] }
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
  endpoint.published = { keys: [current, previous] }
  await expectAdmitted(t, app, endpoint.token(), 'the new key')
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }), 'the old key')
  t.equal(endpoint.requests.length, 2)
  endpoint.published = { keys: [current] }
  await refresh(clock, app, endpoint)
  await expectRejected(t, app, endpoint.token({ which: 'previous' }), 401, 'TOKEN_INVALID', 'the old key, gone')
  await expectAdmitted(t, app, endpoint.token(), 'the new key, still there')
})

const SUCCESSORS = { 'H-08 withdrawn': [previous], 'H-09 replaced under its kid': [{ ...previous, kid: current.kid }] }

for (const [name, keys] of Object.entries(SUCCESSORS)) {
  t.test(`${name}: a key takes the tokens with it that are remembered, one refresh after maxAge at the latest`, async t => {
    const clock = stopClock(t)
    const endpoint = await startEndpoint(t, team)
    const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
    const remembered = endpoint.token()
    await expectAdmitted(t, app, remembered)
    endpoint.published = { keys }
    clock.move(KEYS.maxAge * 0.9 - 1)
    await expectAdmitted(t, app, remembered)
    t.equal(endpoint.requests.length, 1, 'the keys are young')
    await refresh(clock, app, endpoint)
    await expectRejected(t, app, remembered, 401, 'TOKEN_INVALID')
    await expectRejected(t, app, endpoint.token(), 401, 'TOKEN_INVALID')
  })
}

t.test('K-18 stale keys are used at once for every request, while one refresh runs', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectAdmitted(t, app, endpoint.token())
  let release = (): void => {}
  await endpoint.outage((_request, response, body) => { release = () => response.end(body) })
  clock.move(KEYS.maxAge)
  await Promise.all(Array.from({ length: 50 }, () => expectAdmitted(t, app, endpoint.token())))
  await until(() => endpoint.requests.length > 1)
  clock.move(KEYS.cooldown)
  await expectAdmitted(t, app, endpoint.token(), 'a cooldown later, the refresh still under way')
  t.equal(app.cfAccess.status()[0]!.state, 'stale')
  release()
  await until(() => app.cfAccess.status()[0]!.state === 'fresh')
  t.equal(endpoint.requests.length, 2)
})

t.test('K-19 a failing endpoint is left alone for 500 ms, then twice as long each time, up to the cooldown', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const remembered = endpoint.token()
  await expectAdmitted(t, app, remembered)
  for (let outages = 1; outages <= 2; outages++) {
    await endpoint.outage('error')
    clock.move(KEYS.maxStale)
    for (const wait of [500, 1000, 2000, 4000, 5000, 5000]) {
      const { length } = endpoint.requests
      await Promise.all(Array.from({ length: 20 }, () => expectUnavailable(t, app, remembered, '', /^[1-5]$/)))
      t.equal(endpoint.requests.length, length + 1)
      isNextTryWithin(t, app, clock, wait)
      const left = app.cfAccess.status()[0]!.nextTry! - clock.now
      t.equal((await ask(app, remembered)).headers['retry-after'], String(Math.ceil(left / 1000)))
      clock.move(left - 1)
      await expectUnavailable(t, app, remembered)
      t.equal(endpoint.requests.length, length + 1, 'just before the next try')
      clock.move(1)
    }
    await endpoint.outage(null)
    await expectAdmitted(t, app, remembered, 'restored; the next outage starts from 500 ms')
  }
})

t.test('K-19 the wait is random in its second half, so that a fleet does not come back at once', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  for (const [random, wait] of [[0, 250], [0.5, 375], [1 - Number.EPSILON, 500]] as const) {
    t.intercept(Math, 'random', { value: () => random })
    const app = await startApp(t, endpoint, { keys: inMilliseconds({ ...KEYS, timeout: NEVER + wait }) })
    await expectUnavailable(t, app, endpoint.token())
    t.equal(app.cfAccess.status()[0]!.nextTry, clock.now + wait)
  }
})

t.test('K-19 a failure long past does not make the next wait longer', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  for (const wait of [500, 1000, 2000]) {
    await expectUnavailable(t, app, endpoint.token(), '', /^[12]$/)
    isNextTryWithin(t, app, clock, wait)
    clock.move(wait)
  }
  clock.move(2 * KEYS.cooldown)
  await expectUnavailable(t, app, endpoint.token())
  isNextTryWithin(t, app, clock, 500)
})

t.test('M-14 after a failed fetch a clock set back by an hour delays the next try by nothing', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectUnavailable(t, app, endpoint.token())
  await endpoint.outage(null)
  clock.move(-3_600_000)
  await expectAdmitted(t, app, endpoint.token())
  t.equal(endpoint.requests.length, 2)
})

t.test('an application that starts before its emulator recovers within half a second, without any option', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const app = await startApp(t, endpoint)
  await expectUnavailable(t, app, endpoint.token())
  await endpoint.outage(null)
  clock.move(500)
  await expectAdmitted(t, app, endpoint.token())
})

t.test('an emulator that restarts again and again costs a second at most, without any option', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint)
  for (const which of ['current', 'previous', 'current', 'previous'] as const) {
    endpoint.published = { keys: [which === 'current' ? current : previous] }
    clock.move(1000)
    await expectAdmitted(t, app, endpoint.token({ which }))
  }
  t.equal(endpoint.requests.length, 4)
})

t.test('without options an unknown kid costs one fetch in 30 seconds, and one a second for a loopback team', async t => {
  const clock = stopClock(t)
  const cooldowns = {
    'https://acme.cloudflareaccess.com': 30_000,
    'http://127.0.0.1:1': 1000,
    'http://localhost:1': 1000,
    'https://[::1]:1': 1000
  }
  for (const [domain, cooldown] of Object.entries(cooldowns)) {
    const kids: string[] = []
    const app = await startApp(t, { domain }, {
      fetch: async () => Response.json({ keys: kids.map(kid => ({ ...current, kid })) })
    })
    const verify = async (kid: string): Promise<unknown> => {
      const iat = Math.floor(clock.now / 1000)
      return await app.cfAccess.verify(team.sign({ ...CLAIMS, iss: domain, iat, exp: iat + 3600 }, { kid }))
    }
    kids.push('first')
    await verify('first')
    await t.rejects(verify('second'), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
    kids.push('second')
    clock.move(cooldown - 1)
    await t.rejects(verify('second'), { code: 'FST_CF_ACCESS_TOKEN_INVALID' }, `${domain}: just before its end`)
    clock.move(1)
    await t.resolves(verify('second'), domain)
  }
})

t.test('status() in a readiness route starts the fetch for an app that gets no requests yet', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await until(() => app.cfAccess.status()[0]!.lastFailure !== null)
  await endpoint.outage(null)
  t.equal(app.cfAccess.status()[0]!.state, 'unavailable')
  t.equal(endpoint.requests.length, 1, 'the wait is not over')
  clock.move(500)
  await until(() => app.cfAccess.status()[0]!.state === 'fresh')
  t.equal(endpoint.requests.length, 2)
})

t.test('M-16 a kid published just after a running fetch was answered costs its request one more fetch', async t => {
  stopClock(t)
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [previous] }
  let release = (): void => {}
  await endpoint.outage((_request, response, body) => { release = () => response.end(body) })
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const waiting = expectAdmitted(t, app, endpoint.token())
  await until(() => endpoint.requests.length === 1)
  endpoint.published = { keys: [current, previous] }
  await endpoint.outage(null)
  release()
  await waiting
  t.equal(endpoint.requests.length, 2)
})

for (const [name, answer, requests] of [
  ['does not bring costs one more fetch', [previous], 3],
  ['brings costs none', [current, previous], 2]
] as const) {
  t.test(`a kid that a refresh under way ${name}`, async t => {
    const clock = stopClock(t)
    const endpoint = await startEndpoint(t, team)
    endpoint.published = { keys: [previous] }
    const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
    await expectAdmitted(t, app, endpoint.token({ which: 'previous' }))
    let release = (): void => {}
    const body = JSON.stringify({ keys: answer })
    await endpoint.outage((_request, response) => { release = () => response.end(body) })
    clock.move(KEYS.maxAge)
    const waiting = expectAdmitted(t, app, endpoint.token())
    await until(() => endpoint.requests.length === 2)
    endpoint.published = { keys: [current, previous] }
    await endpoint.outage(null)
    release()
    await waiting
    t.equal(endpoint.requests.length, requests)
  })
}

t.test('M-12 a token that expires while the keys are awaited has expired', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  let release = (): void => {}
  await endpoint.outage((_request, response, body) => { release = () => response.end(body) })
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS), clockTolerance: '0s' })
  const exp = Math.floor(clock.now / 1000) + 60
  const waiting = ask(app, endpoint.token({ claims: { exp } }))
  await until(() => endpoint.requests.length === 1)
  clock.move(exp * 1000 - clock.now)
  release()
  t.match(await waiting, { statusCode: 401, body: '"code":"FST_CF_ACCESS_TOKEN_EXPIRED"' })
})

t.test('a clock that is set back does not keep keys fresh for ever, and does not make them unavailable', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectAdmitted(t, app, endpoint.token())
  clock.move(-2 * KEYS.maxAge)
  await expectAdmitted(t, app, endpoint.token())
  await until(() => app.cfAccess.status()[0]!.lastSuccess === clock.now)
  t.equal(endpoint.requests.length, 2)
})

t.test('K-20 an old answer that comes after a newer one changes nothing', async t => {
  const clock = stopClock(t)
  const fire = holdTimers(t)
  const endpoint = await startEndpoint(t, team)
  let isAsked = false
  let answerLate = (_answer: Response): void => {}
  let late: Promise<Response> | null = new Promise(resolve => { answerLate = resolve })
  const heedless: CfAccessOptions['fetch'] = async () => {
    isAsked = true
    const answer = late ?? Response.json({ keys: [current] })
    late = null
    return await answer
  }
  const app = await startApp(t, endpoint, { fetch: heedless, keys: inMilliseconds(KEYS) })
  const waiting = expectUnavailable(t, app, endpoint.token())
  await until(() => isAsked)
  fire(NEVER)
  await waiting
  clock.move(KEYS.cooldown)
  await expectAdmitted(t, app, endpoint.token())
  await new Promise<void>(resolve => {
    const pull = (body: ReadableStreamDefaultController): void => {
      body.enqueue(Buffer.from(JSON.stringify({ keys: [previous] })))
      body.close()
      resolve()
    }
    answerLate(new Response(new ReadableStream({ pull }, { highWaterMark: 0 })))
  })
  await expectAdmitted(t, app, endpoint.token())
  t.same(app.cfAccess.status()[0]!.kids, [current.kid])
})

t.test('K-21 registrations for one team fetch its keys once, also on several servers', async t => {
  const endpoint = await startEndpoint(t, team)
  const registration = { teamDomain: endpoint.domain, audience: AUD }
  const apps = [1, 2].map(() => {
    const app = createApp(t)
    for (const prefix of ['/a', '/b', '/c']) {
      app.register(cfAccess, { ...registration, prefix })
      app.get(prefix, async () => 'in')
    }
    return app
  })
  const headers = bearing(endpoint.token())
  const answers = await Promise.all(apps.flatMap(app => ['/a', '/b', '/c'].map(url => app.inject({ url, headers }))))
  t.same(answers.map(({ statusCode }) => statusCode), Array(6).fill(200))
  t.equal(endpoint.requests.length, 1)
  await apps[0]!.close()
  t.equal((await apps[1]!.inject({ url: '/a', headers: bearing(endpoint.token()) })).statusCode, 200,
    'one server closed')
  t.equal(endpoint.requests.length, 1)
})

t.test('K-21 a server that starts later takes the keys that are there, unless they are old', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  let fetches = 0
  const counting: CfAccessOptions['fetch'] = (url, init) => {
    fetches++
    return fetch(url, init)
  }
  for (const [later, expected] of [[0, 1], [KEYS.maxAge * 0.9 - 1, 1], [KEYS.maxAge * 0.1 + 1, 2]] as const) {
    clock.move(later)
    const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS), fetch: counting })
    await nextTurn() // the start does not wait for the fetch to begin
    t.equal(fetches, expected)
    await expectAdmitted(t, app, endpoint.token())
  }
})

t.test('processes that have started together refresh their keys apart', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  let fetches = 0
  // A fetch of its own makes a key set of its own, as in another process.
  const start = async (): Promise<FastifyInstance> => await startApp(t, endpoint, {
    keys: inMilliseconds(KEYS),
    fetch: async (url, init) => { fetches++; return await fetch(url, init) }
  })
  const apps = await Promise.all(Array.from({ length: 40 }, start))
  const refreshed = (): number => apps.filter(app => app.cfAccess.status()[0]!.lastSuccess === clock.now).length
  await until(() => refreshed() === apps.length)
  fetches = 0
  clock.move(KEYS.maxAge * 0.95)
  await Promise.all(apps.map(async app => await expectAdmitted(t, app, endpoint.token())))
  t.ok(fetches > 0 && fetches < apps.length, `${fetches} of ${apps.length} at 95 % of maxAge`)
  await until(() => refreshed() === fetches)
})

t.test('registrations that keep their keys otherwise do not share them', async t => {
  stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const others = [{ keys: inMilliseconds({ ...KEYS, maxAge: 1 }) },
    { keys: inMilliseconds({ ...KEYS, maxStale: 700_000 }) }, { keys: inMilliseconds({ ...KEYS, cooldown: 1 }) },
    { keys: inMilliseconds({ ...KEYS, timeout: NEVER - 1 }) },
    { keys: inMilliseconds(KEYS), fetch: (url: string, init: RequestInit) => fetch(url, init) }]
  for (const options of [{ keys: inMilliseconds(KEYS) }, ...others]) {
    await expectAdmitted(t, await startApp(t, endpoint, options), endpoint.token())
  }
  t.equal(endpoint.requests.length, 1 + others.length)
})

t.test('K-21 a server that closes takes the keys from no other one', async t => {
  const endpoint = await startEndpoint(t, team)
  const [first, second] = [await startApp(t, endpoint), await startApp(t, endpoint)]
  await expectAdmitted(t, second, endpoint.token())
  await first.close()
  await expectAdmitted(t, await startApp(t, endpoint), endpoint.token(), 'a third server')
  t.equal(endpoint.requests.length, 1)
})

t.test('keys without any observer are released', async t => {
  const endpoint = await startEndpoint(t, team)
  for (let starts = 1; starts <= 2; starts++) {
    const app = await startApp(t, endpoint)
    await expectAdmitted(t, app, endpoint.token())
    await app.close()
    t.equal(endpoint.requests.length, starts)
  }
})

const never = new Promise<never>(() => {})

/** What a fetch of the application's own may come to. */
const HOSTILE: Record<string, () => unknown> = {
  'throws at once': () => { throw new Error('no') },
  'throws what is no error': () => { throw null }, // eslint-disable-line no-throw-literal
  'rejects with nothing': () => Promise.reject(undefined), // eslint-disable-line prefer-promise-reject-errors
  'returns nothing': () => undefined,
  'resolves with null': async () => null,
  'resolves with a text': async () => '{"keys":[]}',
  'resolves with a Response without body': async () => new Response(null),
  'resolves with a Response that was read': async () => {
    const response = new Response(JSON.stringify(team.certs))
    await response.text()
    return response
  },
  'resolves with Response.error()': async () => Response.error(),
  'resolves with a body of texts': async () => new Response(new ReadableStream({ start: body => { body.enqueue('{}' as never); body.close() } })),
  'resolves with a body that breaks': async () => new Response(new ReadableStream({ start: body => { body.error(new Error('no')) } })),
  'resolves with a body that never comes': async () => new Response(new ReadableStream({ pull: () => never })),
  'never settles': () => never
}

for (const [name, hostile] of Object.entries(HOSTILE)) {
  t.test(`K-23 a custom fetch that ${name} is a failure like any other`, async t => {
    const clock = stopClock(t)
    const endpoint = await startEndpoint(t, team)
    const fire = holdTimers(t)
    let well = false
    let isAsked = false
    const fitful = (): unknown => {
      isAsked = true
      return well ? Promise.resolve(Response.json(team.certs)) : hostile()
    }
    const app = await startApp(t, endpoint, { fetch: fitful as never, keys: inMilliseconds(KEYS) })
    const waiting = expectUnavailable(t, app, endpoint.token())
    await until(() => isAsked)
    if (name.includes('never')) fire(NEVER)
    await waiting
    t.match(app.cfAccess.status()[0]!.lastFailure?.reason, /\w/)
    well = true
    clock.move(KEYS.cooldown)
    await expectAdmitted(t, app, endpoint.token())
  })
}

t.test('K-23 a body that takes too long is dropped, even if the custom fetch ignores the signal', async t => {
  const fire = holdTimers(t)
  const endpoint = await startEndpoint(t, team)
  let isAsked = false
  let letGo = false
  const body = new ReadableStream({
    pull: async controller => {
      isAsked = true
      await nextTurn()
      if (!letGo) controller.enqueue(Buffer.from(' '))
    },
    cancel: () => { letGo = true }
  })
  t.teardown(() => { letGo = true })
  const app = await startApp(t, endpoint, { fetch: async () => new Response(body), keys: inMilliseconds(KEYS) })
  const waiting = expectUnavailable(t, app, endpoint.token())
  await until(() => isAsked)
  fire(NEVER)
  await waiting
  await until(() => letGo)
})

t.test('S-10 a custom fetch gets the address of the keys, and nothing of any request', async t => {
  const endpoint = await startEndpoint(t, team)
  const calls: Array<[string, RequestInit]> = []
  const app = await startApp(t, endpoint, {
    fetch: (...call) => {
      calls.push(call)
      return fetch(...call)
    }
  })
  await expectAdmitted(t, app, endpoint.token())
  t.equal(calls.length, 1)
  const [url, { signal, ...init }] = calls[0]!
  t.equal(url, `${endpoint.domain}${CERTS_PATH}`)
  t.type(signal, AbortSignal)
  t.strictSame(init, { method: 'GET', headers: { accept: 'application/json' }, redirect: 'manual' })
})

t.test('S-10 the request to the key endpoint has no headers except accept', async t => {
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint)
  await app.inject({
    url: '/?secret',
    headers: { cookie: `CF_Authorization=${endpoint.token()}`, authorization: 'Bearer secret' }
  })
  const { method, url, headers } = endpoint.requests[0]!
  t.match({ method, url }, { method: 'GET', url: CERTS_PATH })
  t.equal(headers.accept, 'application/json')
  for (const name of ['cookie', 'authorization', 'referer', 'origin', 'cf-access-jwt-assertion']) {
    t.equal(headers[name], undefined, name)
  }
})

t.test('keys that are too old as soon as they are there are not used', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  // The line that tells of new keys is written once they are accepted, and before they are used.
  const stream = { write: (line: string) => { if (line.includes('keys changed')) clock.move(KEYS.maxStale) } }
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) }, { logger: { stream } })
  await expectUnavailable(t, app, endpoint.token())
  t.match(app.cfAccess.status()[0]!, { state: 'unavailable', lastFailure: null, nextTry: null })
})

t.test('status() has the state of the keys, their age, the last failure and the next try', async t => {
  const clock = stopClock(t)
  t.intercept(Math, 'random', { value: () => 1 - Number.EPSILON })
  const start = clock.now
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('error')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  const status = (): unknown => {
    const [{ team: issuer, ...keys } = { team: undefined }, ...others] = app.cfAccess.status()
    t.strictSame([issuer, others], [endpoint.domain, []])
    return keys
  }
  const kids = [current.kid, previous.kid]
  t.strictSame(status(),
    { state: 'unavailable', kids: [], age: null, lastSuccess: null, lastFailure: null, nextTry: null }, 'before the first answer')

  await expectUnavailable(t, app, endpoint.token())
  const firstFailure = { at: start, reason: 'the answer\'s status is 500' }
  const none = { state: 'unavailable', kids: [], age: null, lastSuccess: null }
  t.strictSame(status(), { ...none, lastFailure: firstFailure, nextTry: start + 500 }, 'failed')
  clock.move(500)
  t.strictSame(status(), { ...none, lastFailure: firstFailure, nextTry: clock.now }, 'due')
  await until(() => app.cfAccess.status()[0]!.nextTry !== clock.now)

  await endpoint.outage(null)
  const lastFailure = { at: clock.now, reason: firstFailure.reason }
  clock.move(KEYS.cooldown)
  const lastSuccess = clock.now
  await expectAdmitted(t, app, endpoint.token())
  t.strictSame(status(), { state: 'fresh', kids, age: 0, lastSuccess, lastFailure, nextTry: null }, 'recovered')

  clock.move(KEYS.maxAge - 1)
  t.strictSame(status(), { state: 'fresh', kids, age: KEYS.maxAge - 1, lastSuccess, lastFailure, nextTry: null },
    'just before maxAge')
  clock.move(1)
  t.strictSame(status(), { state: 'stale', kids, age: KEYS.maxAge, lastSuccess, lastFailure, nextTry: null },
    'at maxAge')

  await endpoint.outage('html')
  await ask(app, endpoint.token())
  await until(() => app.cfAccess.status()[0]!.nextTry !== null)
  const newFailure = { at: clock.now, reason: 'the answer is not JSON' }
  const stale = { state: 'stale', kids, age: KEYS.maxAge, lastSuccess }
  t.strictSame(status(), { ...stale, lastFailure: newFailure, nextTry: clock.now + 500 }, 'stale and failing')

  clock.move(KEYS.maxStale - KEYS.maxAge)
  t.match(status(), { state: 'unavailable', kids, age: KEYS.maxStale, lastSuccess, lastFailure: newFailure },
    'at maxStale')
})

t.test('each change of the keys and each failed refresh is logged once a server', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  const servers = [1, 2].map(() => {
    const lines: LogLine[] = []
    const app = createApp(t,
      { logger: { base: null, timestamp: false, stream: { write: line => { lines.push(JSON.parse(line)) } } } })
    const register = async (scope: FastifyInstance): Promise<void> => {
      await scope.register(cfAccess, { teamDomain: endpoint.domain, audience: AUD, keys: inMilliseconds(KEYS) })
    }
    register(app)
    for (const prefix of ['/a', '/b']) app.register(register, { prefix })
    return { app, lines }
  })
  for (const { app } of servers) await app.ready()
  const [{ app }] = servers as [typeof servers[0]]
  /** What every server has logged about keys since it was asked last. */
  const logged = (): unknown => {
    const [one, other] = servers.map(({ lines }) => lines.splice(0).filter(({ url }) => url !== undefined))
    t.same(one, other)
    return one
  }
  const url = `${endpoint.domain}${CERTS_PATH}`
  const verify = async (token: string): Promise<unknown> => await app.cfAccess.verify(token).catch(() => null)
  const changed = { level: 30, msg: 'Cloudflare Access keys changed', url }
  const failed = { level: 40, msg: 'Cloudflare Access keys could not be refreshed', url }
  endpoint.published = { keys: [previous] }

  await verify(endpoint.token({ which: 'previous' }))
  t.same(logged(), [{ ...changed, kids: [previous.kid] }])
  endpoint.published = team.certs
  t.ok(await verify(endpoint.token()))
  t.same(logged(), [{ ...changed, kids: [current.kid, previous.kid] }])
  await endpoint.outage('html')
  clock.move(KEYS.cooldown)
  for (let time = 1; time <= 3; time++) await verify(renamed(endpoint.token(), 'made-up'))
  t.same(logged(), [{ ...failed, reason: 'the answer is not JSON' }])
  await endpoint.outage(null)
  clock.move(KEYS.maxAge)
  await verify(endpoint.token())
  await until(() => app.cfAccess.status()[0]!.state === 'fresh')
  t.same(logged(), [], 'the same keys as before')
})

t.test('a failed first fetch does not use up the refresh for an unknown kid', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const app = await startApp(t, endpoint, { keys: inMilliseconds(KEYS) })
  await expectUnavailable(t, app, endpoint.token())
  await endpoint.outage(null)
  endpoint.published = { keys: [current] }
  clock.move(500)
  await expectAdmitted(t, app, endpoint.token(), 'restored')
  endpoint.published = { keys: [current, previous] }
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }), 'a key that is new')
})

t.test('initial keys admit while the endpoint is down, and for no longer than stale keys', async t => {
  const clock = stopClock(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const start = async (): Promise<FastifyInstance> =>
    await startApp(t, endpoint, { keys: { ...inMilliseconds(KEYS), initial: team.certs } })
  const app = await start()
  await expectAdmitted(t, app, endpoint.token(), 'at the start')
  await expectAdmitted(t, app, endpoint.token({ which: 'previous' }), 'by the other key')
  const kids = [current.kid, previous.kid]
  t.match(app.cfAccess.status()[0]!, { state: 'stale', kids, age: KEYS.maxAge, lastSuccess: null })
  await expectUnavailable(t, app, renamed(endpoint.token(), 'unknown'), 'an unknown key')
  clock.move(KEYS.maxStale - KEYS.maxAge - 1)
  await expectAdmitted(t, app, endpoint.token(), 'until they are too old')
  clock.move(1)
  await expectUnavailable(t, app, endpoint.token(), 'too old', /^\d+$/)
  t.match(app.cfAccess.status()[0]!, { state: 'unavailable' })
  await endpoint.outage(null)
  clock.move(KEYS.cooldown)
  await expectAdmitted(t, app, endpoint.token(), 'fetched')
  t.match(app.cfAccess.status()[0]!, { state: 'fresh', age: 0, lastSuccess: clock.now })
})

t.test('initial keys are replaced by those of the endpoint, without a request that waits', async t => {
  const other = await startTeam(t)
  const endpoint = await startEndpoint(t, team)
  const initial = { keys: [...other.certs.keys, current] }
  const app = await startApp(t, endpoint, { keys: { ...inMilliseconds(KEYS), initial } })
  await expectAdmitted(t, app, endpoint.token(), 'an initial key')
  await until(() => app.cfAccess.status()[0]!.state === 'fresh')
  t.same(app.cfAccess.status()[0]!.kids, [current.kid, previous.kid])
  const [foreign] = other.certs.keys
  await expectRejected(t, app, renamed(endpoint.token(), String(foreign!['kid'])), 401, 'TOKEN_INVALID')
})

t.test('applications with different initial keys share no keys', async t => {
  const other = await startTeam(t)
  const endpoint = await startEndpoint(t, team)
  await endpoint.outage('refusing')
  const startWith = async ({ certs }: AccessTeam): Promise<FastifyInstance> =>
    await startApp(t, endpoint, { keys: { ...inMilliseconds(KEYS), initial: certs } })
  await expectAdmitted(t, await startWith(team), endpoint.token(), 'the team\'s')
  await expectUnavailable(t, await startWith(other), endpoint.token(), 'another team\'s')
})

t.test('initial keys that contradict each other are no keys', async t => {
  const other = await startTeam(t)
  const endpoint = await startEndpoint(t, team)
  const [foreign] = other.certs.keys
  const initial = { keys: [current, { ...foreign, kid: current.kid }] }
  const app = await startApp(t, endpoint, { keys: { ...inMilliseconds(KEYS), initial } })
  await until(() => app.cfAccess.status()[0]!.lastFailure !== null || app.cfAccess.status()[0]!.state === 'fresh')
  t.match(app.cfAccess.status()[0]!.lastFailure, { reason: /no usable key/ })
})

t.test('initial keys are for one team', async t => {
  const app = createApp(t)
  const options = { teamDomain: ['acme', 'acme-old'], audience: AUD, keys: { initial: team.certs } }
  await t.rejects(async () => await app.register(cfAccess, options),
    { message: 'Option "keys.initial" is for one team; "teamDomain" has several.' })
})
