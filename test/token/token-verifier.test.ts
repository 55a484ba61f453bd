import {
  constants, createHmac, createPublicKey, generateKeyPairSync, publicEncrypt, sign, type KeyObject
} from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { cfAccess } from '../../lib/index.js'
import type { AccessTeam } from '../../lib/testing/index.js'
import { AUD, bearing, createApp, listen, sendRaw, startTeam } from '../fixtures/index.js'
import { Verification } from '../fixtures/verification.js'

const verification = await Verification.start(t)
const { team } = verification
const good = verification.token()
const [header, payload, signature] = good.split('.') as [string, string, string]
const [current] = team.certs.keys as unknown as [{ kid: string, n: string, e: string }]
const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 })

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** The good payload under another header, signed as the function says. */
function forge (head: object, signer: (text: string) => Buffer): string {
  const text = `${encode({ alg: 'RS256', kid: current.kid, ...head })}.${payload}`
  return `${text}.${signer(text).toString('base64url')}`
}

const byForeignKey = (text: string): Buffer => sign('sha256', Buffer.from(text), foreign.privateKey)

t.test('T-01 a token without a signature algorithm is rejected', async t => {
  for (const alg of ['none', 'None', 'nOnE', '', null, 5, ['RS256'], { RS256: 1 }, true, undefined]) {
    await verification.expectRejected(t, forge({ alg }, byForeignKey), 'algorithm',
      { name: `alg ${JSON.stringify(alg)}` })
    await verification.expectRejected(t, forge({ alg }, () => Buffer.alloc(0)), 'malformed',
      { name: `alg ${JSON.stringify(alg)}, unsigned` })
  }
})

t.test('T-02 a token signed with a rendering of the public key as a secret is rejected', async t => {
  const key = createPublicKey({ key: current, format: 'jwk' })
  const spki = String(key.export({ type: 'spki', format: 'pem' }))
  const secrets = [spki, spki.trim(), spki.replaceAll('\n', '\r\n'), ` ${spki}`, `\uFEFF${spki}`, key.export({
    type: 'pkcs1',
    format: 'pem'
  }),
  key.export({ type: 'spki', format: 'der' }), current.n, JSON.stringify(current), JSON.stringify(team.certs), '']
  for (const secret of secrets) {
    const mac = (text: string): Buffer => createHmac('sha256', secret).update(text).digest()
    await verification.expectRejected(t, forge({ alg: 'HS256' }, mac), 'algorithm')
    await verification.expectRejected(t, forge({}, mac), 'signature', { name: 'the same, calling itself RS256' })
  }
})

t.test('T-03 another algorithm is rejected, whichever key signs', async t => {
  for (const alg of ['RS384', 'RS512', 'PS256', 'PS384', 'ES256', 'ES512', 'EdDSA', 'HS512', 'rs256', 'RS256 ']) {
    await verification.expectRejected(t, team.userToken({ email: 'a@acme.com', audience: AUD, header: { alg } }),
      'algorithm')
  }
})

t.test('T-04 a key in the token itself is not trusted and not fetched', async t => {
  let hits = 0
  const server = createServer((_request, response) => { hits++; response.end(JSON.stringify({ keys: [jwk] })) }).listen(
    0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  const jwk = { ...foreign.publicKey.export({ format: 'jwk' }), kid: current.kid, alg: 'RS256', use: 'sig' }
  const x5c = [foreign.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')]
  for (const head of [{}, { jwk }, { jku: url }, { x5u: url }, { x5c }, { jwk, jku: url, x5u: url, x5c }]) {
    await verification.expectRejected(t, forge(head, byForeignKey), 'signature', { name: Object.keys(head).join() })
  }
  t.equal(hits, 0)
})

t.test('T-05 T-06 a token without three non-empty parts is rejected', async t => {
  const jwe = [encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', zip: 'DEF', p2c: 2 ** 31, p2s: 'AAAA' }), 'AAAA',
    'AAAA', 'AAAA', 'AAAA']
  const rsaJwe = [encode({ alg: 'RSA-OAEP', enc: 'A128GCM', kid: current.kid }),
    encryptedFor(createPublicKey({ key: current, format: 'jwk' })), 'AAAA', 'AAAA', 'AAAA']
  const shapes = ['x', '.', '..', '...', header, `${header}.${payload}`, `${header}.${payload}.`,
    `.${payload}.${signature}`, `${header}..${signature}`,
    `${good}.`, `.${good}`, `${good}.${signature}`, `${good}.${good}`, jwe.join('.'), rsaJwe.join('.')]
  for (const token of shapes) await verification.expectRejected(t, token, 'malformed')
  await t.rejects(verification.app.cfAccess.verify(''), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
})

function encryptedFor (key: KeyObject): string {
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING }, Buffer.alloc(16)).toString('base64url')
}

t.test('T-07 a token as long as headers may be is rejected', async t => {
  for (const token of ['.'.repeat(15_000), 'a'.repeat(15_000), `${'a'.repeat(15_000)}.${payload}.${signature}`,
    `${header}.${'e'.repeat(15_000)}.${signature}`, 'a'.repeat(1 << 20)]) {
    await t.rejects(verification.app.cfAccess.verify(token), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  }
})

t.test('T-08 a blank, a padding or another alphabet anywhere is rejected', async t => {
  for (const stray of [' ', '\t', '\n', '=', '==', '+', '/', '\0', 'é', '%0a', '\u200b', '\uFEFF']) {
    for (const at of [0, 5, header.length, header.length + 1, header.length + 9, good.length - signature.length,
      good.length - 9, good.length]) {
      await t.rejects(verification.app.cfAccess.verify(good.slice(0, at) + stray + good.slice(at)),
        { code: 'FST_CF_ACCESS_TOKEN_INVALID' }, `${JSON.stringify(stray)} at ${at}`)
    }
  }
})

t.test('T-09 a part has one spelling only', async t => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (const email of ['a@acme.com', 'ab@acme.com', 'abc@acme.com']) {
    const parts = verification.token({ email }).split('.')
    await verification.expectAdmitted(t, parts.join('.'))
    for (const [i, part] of parts.entries()) {
      for (const last of alphabet) {
        const twin = part.slice(0, -1) + last
        if (twin === part || !Buffer.from(twin, 'base64url').equals(Buffer.from(part, 'base64url'))) continue
        await verification.expectRejected(t, parts.with(i, twin).join('.'), 'malformed')
      }
    }
  }
})

t.test('T-10 a header that holds more or other than the token is rejected', async t => {
  for (const value of [`Bearer ${good}`, `bearer ${good}`, `"${good}"`, `{"token":"${good}"}`, 'null', 'undefined',
    '[object Object]']) {
    await verification.expectRejected(t, value, 'malformed')
  }
})

t.test('T-11 a repeated header is rejected, whatever the cookie is', async t => {
  const port = await listen(verification.app)
  const headers = { Cookie: `CF_Authorization=${good}` }
  t.equal((await sendRaw(port, '/', { headers })).status, 200, 'the cookie is good')
  for (const [first, second] of [[good, good], [good, 'x'], ['x', good], ['', good], [good, '']] as const) {
    const response = await sendRaw(port, '/',
      { headers: { ...headers, 'Cf-Access-Jwt-Assertion': first, 'cf-access-jwt-assertion': second } })
    t.equal(response.status, 401)
  }
})

t.test('T-12 T-13 T-18 a header parameter that changes how a token is read is rejected', async t => {
  const heads = [...[[], 'x', ['x'], ['alg'], ['exp'], ['b64'], [['b64']], null, {}].map(crit => ({ crit })),
    { crit: ['b64'], b64: true }, { crit: ['b64'], b64: false },
    { b64: false }, { b64: true }, { zip: 'DEF' }, { zip: 'none' }, { cty: 'JWT' }]
  for (const head of heads) {
    await verification.expectRejected(t, verification.token({}, head), 'header', { name: JSON.stringify(head) })
  }
  const polluted = team.sign(Buffer.from(payload, 'base64url').toString(), JSON.parse('{"__proto__":{"crit":["x"]}}'))
  t.match(await verification.expectAdmitted(t, polluted), { kind: 'user' },
    'a parameter named __proto__ is one like any other')
})

t.test('T-14 a header that is not a JSON object is rejected', async t => {
  const texts = ['null', '[]', '["RS256"]', '"x"', '7', 'true', '', '{', '{}x',
    `{"alg":"RS256","kid":"${current.kid}",}`, '['.repeat(5000) + ']'.repeat(5000), '\uFEFF{"alg":"RS256"}']
  for (const text of texts) {
    if (text !== '') {
      await verification.expectRejected(t, `${encode(text)}.${payload}.${signature}`, 'malformed',
        { name: text.slice(0, 30) })
    }
  }
  await verification.expectRejected(t,
    `${Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')}.${payload}.${signature}`,
    'malformed', { name: 'no UTF-8' })
})

t.test('T-15 of a parameter that is there twice the last one counts, for us and for jose', async t => {
  const sign = (head: string): string => {
    const text = `${encode(head)}.${payload}`
    return `${text}.${byForeignKey(text).toString('base64url')}`
  }
  await verification.expectRejected(t, sign(`{"alg":"RS256","kid":"${current.kid}","alg":"none"}`), 'algorithm')
  await verification.expectRejected(t, sign(`{"alg":"none","kid":"${current.kid}","alg":"RS256"}`), 'signature')
})

t.test('T-16 a kid that names no key is rejected without asking for keys', async t => {
  for (const kid of [undefined, '', null, 7, [current.kid], { kid: current.kid }, true, 'k'.repeat(129),
    'k'.repeat(10_000), 'a\0b', 'a\nb', 'a b', ` ${current.kid}`,
    `${current.kid.slice(0, 10)}\uFF41`, `\u0430${current.kid.slice(1)}`]) {
    await verification.expectRejected(t, verification.token({}, { kid }), 'kid',
      { name: JSON.stringify(kid)?.slice(0, 30) })
  }
})

t.test('T-17 an unusual kid is an unknown kid, and costs one fetch in each cooldown', async t => {
  const now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const before = verification.fetches
  for (const kid of ['constructor', '__proto__', 'toString', 'hasOwnProperty', '../../etc/passwd', "'or'1'='1", 'a:b',
    current.kid.toUpperCase(), `${current.kid}0`, current.kid.slice(1)]) {
    await t.rejects(verification.app.cfAccess.verify(verification.token({}, { kid })),
      { code: 'FST_CF_ACCESS_TOKEN_INVALID' }, kid)
  }
  t.equal(verification.fetches - before, 1)
})

t.test('T-19 typ may be missing or JWT, and nothing else', async t => {
  for (const typ of [undefined, 'JWT', 'jwt', 'application/jwt']) {
    await verification.expectAdmitted(t, verification.token({}, { typ }), String(typ))
  }
  for (const typ of ['at+jwt', 'JOSE', 'dpop+jwt', 'JWT+x', 'JWT ', 'application/application/jwt', '', null, 7,
    ['JWT']]) {
    await verification.expectRejected(t, verification.token({}, { typ }), 'header',
      { name: `typ ${JSON.stringify(typ)}` })
  }
})

t.test('T-20 no mutation of a good token passes', async () => {
  const twin = verification.token({ email: 'bob@acme.com' }).split('.')
  const at = fc.nat(good.length - 1)
  const mutations = fc.oneof(
    fc.tuple(at, fc.integer({ min: 0, max: 6 })).map(
      ([i, bit]) => good.slice(0, i) + String.fromCharCode(good.charCodeAt(i) ^ (1 << bit)) + good.slice(i + 1)),
    fc.tuple(at, fc.constantFrom(...'Aaz09-_.=+/ \n')).map(([i, letter]) => good.slice(0, i) + letter + good.slice(i)),
    at.map(i => good.slice(0, i) + good.slice(i + 1)),
    fc.tuple(at, at).map(([i, j]) => good.slice(0, Math.min(i, j)) + good.slice(Math.max(i, j))),
    fc.shuffledSubarray([header, payload, signature, ...twin], { minLength: 3, maxLength: 3 }).map(
      parts => parts.join('.')),
    fc.shuffledSubarray([header, payload, signature, ...twin]).map(parts => parts.join('.')),
    fc.constantFrom(good.toUpperCase(), good.toLowerCase(), good + good, `${good},${good}`,
      [...good].reverse().join('')),
    fc.string({ maxLength: 40 })
  ).filter(token => token !== good && token !== twin.join('.'))
  await fc.assert(fc.asyncProperty(mutations, async token => {
    const outcome = await verification.app.cfAccess.verify(token).then(() => 'let in', error => error.code)
    return outcome === 'FST_CF_ACCESS_TOKEN_INVALID'
  }), { numRuns: 3000 })
})

t.test('T-21 a signature of another length, or one more than the modulus, is rejected', async t => {
  const bytes = Buffer.from(signature, 'base64url')
  const modulus = BigInt(`0x${Buffer.from(current.n, 'base64url').toString('hex')}`)
  const sum = (BigInt(`0x${bytes.toString('hex')}`) + modulus).toString(16)
  const unreduced = Buffer.from(sum.padStart(sum.length + sum.length % 2, '0'), 'hex')
  for (const forged of [unreduced, bytes.subarray(1), bytes.subarray(0, -1), Buffer.concat([Buffer.alloc(1), bytes]),
    Buffer.concat([bytes, Buffer.alloc(1)]), Buffer.alloc(256), Buffer.alloc(1)]) {
    await verification.expectRejected(t, `${header}.${payload}.${forged.toString('base64url')}`, 'signature',
      { name: `${forged.length} bytes` })
  }
})

t.test('a token of another team is rejected', async t => {
  const strangers: AccessTeam = await startTeam(t)
  await verification.expectRejected(t, strangers.userToken({ email: 'alice@acme.com', audience: AUD }), 'issuer')
})

t.test('X-09 verify() accepts only the text of a token', async t => {
  for (const value of [undefined, null, 5, Buffer.from(good), {}, Object(good), [good], `Bearer ${good}`,
    { toString: () => good }]) {
    await t.rejects(verification.app.cfAccess.verify(value as string), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  }
})

const cookieOutcomes: Array<[header: string, status: number]> = [
  [`CF_Authorization=${good}`, 200],
  [`a=1; CF_Authorization=${good}; b=2`, 200],
  [`a=1;CF_Authorization=${good};b=2`, 200],
  [`CF_Authorization=stale; CF_Authorization=${good}`, 200],
  [`CF_Authorization=${good}; CF_Authorization=stale`, 200],
  [`CF_Authorization=; CF_Authorization=${good}`, 200],
  [`${'CF_Authorization=stale; '.repeat(3)}CF_Authorization=${good}`, 200],
  [`${'CF_Authorization=stale; '.repeat(4)}CF_Authorization=${good}`, 401],
  [`${'x=CF_Authorization; '.repeat(4)}CF_Authorization=stale; CF_Authorization=${good}`, 200],
  [`CF_Authorization=${encodeURIComponent(good)}`, 200],
  [`other=%zz; CF_Authorization=${good}`, 200],
  [`CF_Authorization=%zz${good}`, 401],
  [`cf_authorization=${good}`, 401],
  [`CF_AUTHORIZATION=${good}`, 401],
  [`XCF_Authorization=${good}`, 401],
  [`CF_AuthorizationX=${good}`, 401],
  [`__Host-CF_Authorization=${good}`, 401],
  [`CF_AppSession=${good}`, 401],
  [`\u00a0CF_Authorization=${good}`, 401],
  [`x="; CF_Authorization=${good}"`, 401],
  [`x=CF_Authorization=${good}`, 401],
  [`CF_Authorization${good}`, 401],
  ['', 401]
]

t.test('X-12 X-13 X-14 the cookie is the one of that exact name, tried up to four times', async t => {
  for (const [cookie, status] of cookieOutcomes) {
    const response = await verification.app.inject({ url: '/', headers: { cookie } })
    t.equal(response.statusCode, status, cookie.replaceAll(good, 'GOOD').slice(0, 60))
  }
})

t.test('X-12 of several rejected cookies, the error closest to success is reported', async t => {
  const expired = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })
  for (const cookies of [['x', expired], [expired, 'x'], ['x', 'y', expired]]) {
    const cookie = cookies.map(token => `CF_Authorization=${token}`).join('; ')
    t.equal((await verification.app.inject({ url: '/', headers: { cookie } })).json().code,
      'FST_CF_ACCESS_TOKEN_EXPIRED')
  }
})

t.test('X-12 of several cookies that are rejected for the same reason, the first one is reported', async t => {
  const reasons: unknown[] = []
  const app = createApp(t)
  app.addHook('onError', async (_request, _reply, error) => { reasons.push((error as { reason?: string }).reason) })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async () => 'in')
  const other = team.userToken({ email: 'a@acme.com', audience: 'f'.repeat(64) })
  for (const cookies of [['x', other], [other, 'x']]) {
    await app.inject({ url: '/', headers: { cookie: cookies.map(token => `CF_Authorization=${token}`).join('; ') } })
  }
  t.strictSame(reasons, ['malformed', 'audience'])
})

t.test('M-13 X-12 while keys are unavailable, a malformed or an expired cookie does not hide that a good one cannot be verified', async t => {
  const down = await startTeam(t)
  down.outage('down')
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: down.domain, audience: AUD })
  app.get('/', async () => 'in')
  const token = down.userToken({ email: 'a@acme.com', audience: AUD })
  const expired = down.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })
  for (const cookies of [['x', token], [token, 'x'], ['x', token, 'y'], ['', token], [expired, token],
    [token, expired]]) {
    const cookie = cookies.map(token => `CF_Authorization=${token}`).join('; ')
    const response = await app.inject({ url: '/', headers: { cookie } })
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'FST_CF_ACCESS_KEYS_UNAVAILABLE')
  }
})

t.test('X-15 a request with the header never falls back to a cookie', async t => {
  const cookie = `CF_Authorization=${good}`
  for (const token of ['x', '', 'undefined',
    team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' })]) {
    t.equal((await verification.app.inject({ url: '/', headers: { ...bearing(token), cookie } })).statusCode, 401)
  }
})

t.test('with cookie: false the header alone is read', async t => {
  const own = await Verification.start(t, { cookie: false })
  const response = await own.app.inject({ url: '/', headers: { cookie: `CF_Authorization=${own.token()}` } })
  t.equal(response.json().code, 'FST_CF_ACCESS_TOKEN_MISSING')
})
