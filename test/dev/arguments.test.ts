import fc from 'fast-check'
import t from 'tap'
import { stopClock } from '../fixtures/clock.js'
import { ask, BROWSER, serveEcho, signIn, startEdge } from '../fixtures/edge.js'
import { sendRaw } from '../fixtures/index.js'

stopClock(t)
const edge = await startEdge(t, {
  to: await serveEcho(t),
  applications: [{ path: '/' }, { path: '/open' }, { path: '/closed', policy: { include: { email: 'root@acme.com' } } }]
})
const port = Number(new URL(edge.url).port)
const { cookie } = await signIn(edge, 'alice@acme.com')

const ACCESS = '/cdn-cgi/access'
const FORM = 'application/x-www-form-urlencoded'
const BIG = 'x'.repeat(2 * 1024 * 1024)

interface Posting {
  readonly type?: string
  readonly body?: string
  readonly status: number
}

const POSTINGS: Readonly<Record<string, Posting>> = {
  'no body': { status: 400 },
  'no body, but the type of a form': { type: FORM, status: 400 },
  'an empty form': { type: FORM, body: '&', status: 400 },
  'a form without its fields': { type: FORM, body: 'a=b', status: 400 },
  'a form without an address': { type: FORM, body: 'email=', status: 400 },
  'two addresses, the first one no address': { type: FORM, body: 'email=x&email=a@acme.com', status: 400 },
  'a broken escape': { type: FORM, body: 'email=%zz%', status: 400 },
  'overlong UTF-8': { type: FORM, body: 'email=%c0%af', status: 400 },
  'control characters': { type: FORM, body: 'email=a%00%0d%0a@acme.com', status: 400 },
  'half a surrogate pair in the address': { type: FORM, body: 'email=%ed%a0%80', status: 400 },
  'names of every object': { type: FORM, body: '__proto__=1&constructor=2&toString=3', status: 400 },
  'not a form, in spite of its type': { type: FORM, body: '{"email":"a@acme.com"}', status: 400 },
  'a form too large': { type: FORM, body: `email=${BIG}`, status: 413 },
  'a form in another charset': { type: `${FORM}; charset=utf-16`, body: 'email=a%40acme.com', status: 303 },
  'a form, its type in capitals': { type: FORM.toUpperCase(), body: 'email=a%40acme.com', status: 303 },
  JSON: { type: 'application/json', body: '{"email":"a@acme.com"}', status: 415 },
  'JSON null': { type: 'application/json', body: 'null', status: 415 },
  'broken JSON': { type: 'application/json', body: '{', status: 415 },
  text: { type: 'text/plain', body: 'email=a@acme.com', status: 415 },
  'many parts': { type: 'multipart/form-data; boundary=x', body: '--x--', status: 415 },
  bytes: { type: 'application/octet-stream', body: '\0\xff', status: 415 },
  'a type that is none': { type: ';;;', body: 'email=a@acme.com', status: 415 },
  'the empty type': { type: '', body: 'email=a@acme.com', status: 415 },
  'no type': { body: 'email=a@acme.com', status: 415 },
  'JSON too large': { type: 'application/json', body: `"${BIG}"`, status: 415 }
}

t.test('X-27 the login takes a form with an address, and answers any other body with a 4xx and no session', async t => {
  for (const [name, { type, body = '', status }] of Object.entries(POSTINGS)) {
    const answer = await ask(`${edge.domain}${ACCESS}/login`, {
      method: 'POST',
      headers: {
        ...BROWSER,
        origin: edge.domain,
        'content-length': String(body.length),
        ...(type !== undefined && { 'content-type': type })
      },
      body: Buffer.from(body, 'latin1')
    })
    t.equal(answer.status, status, name)
    t.equal(answer.headers['set-cookie'] !== undefined, status === 303, name)
  }
})

const odd = fc.oneof(
  fc.string(),
  fc.stringMatching(/^[\x21-\x7e]{0,20}$/),
  fc.constantFrom('', '%', '%zz', '%00', '%c0%af', '%ed%a0%80', '%2f..%2f', '..', '//', '\\', ';', '#', '?', '[', ']',
    '&', '=', '__proto__', 'constructor', '😀', 'ÿ', 'x'.repeat(300))
).map(text => Buffer.from(text.replace(/[\s\p{Cc}]/gu, '')).toString('latin1'))

const PAGES = ['certs', 'get-identity', 'login', 'login/', 'login/127.0.0.1', 'login/other', 'authorized', 'logout',
  'emulator.css', 'x']

const HEADERS = ['accept', 'content-type', 'origin', 'sec-fetch-site', 'sec-fetch-mode', 'cf-access-client-id',
  'cf-access-client-secret', 'x-forwarded-host', 'authorization']

const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'QUERY', 'PROPFIND']

const target = fc.tuple(
  fc.constantFrom('', 'http://', 'http://[', 'http://any', '//', '//[:', '*'),
  fc.constantFrom('/', '/open', '/closed', '/cdn-cgi', '/cdn-cgi/', ...PAGES.map(name => `${ACCESS}/${name}`)),
  fc.constantFrom('', '?', '?redirect_url=', '?kid=', '?code=', '?returnTo=', '?returnTo=/&returnTo=',
    '?returnTo[x]=', '/', ';', '#'),
  odd
).map(parts => parts.join(''))

const question = fc.record({
  method: fc.constantFrom(...METHODS),
  target,
  headers: fc.dictionary(
    fc.constantFrom(...HEADERS),
    fc.oneof(odd, fc.constantFrom('text/html', FORM, 'application/json', `http://localhost:${port}`))
  ),
  cookie: fc.oneof(
    fc.constantFrom(cookie, 'CF_Authorization=a.b.c', `${cookie}; ${cookie}x`),
    odd.map(text => `CF_Authorization=${text}`),
    odd
  ),
  body: fc.oneof(fc.constant(''), odd)
})

t.test('X-27 no route of the emulator answers malformed input with 500', async t => {
  await fc.assert(fc.asyncProperty(question, async ({ method, target, headers, cookie, body }) => {
    const sent = { ...headers, cookie, ...(body !== '' && { 'content-length': String(body.length) }) }
    const { status } = await sendRaw(port, target, { method, headers: sent, body })
    if (status >= 500 || status === 0) throw new Error(`${method} ${target} answered ${status}`)
  }), { numRuns: 1500 })
  t.equal((await ask(edge.url, { headers: await signIn(edge, 'alice@acme.com') })).status, 200, 'it is still there')
})
