import { createHash, createPublicKey, verify, type JsonWebKey } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { createAccessTeam, type AccessTeam, type Outage } from '../../lib/testing/index.js'
import { AUD, CERTS_PATH, startTeam } from '../fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await startTeam(t)

type Json = Record<string, unknown>

const read =
  (token: string, part: number): Json => JSON.parse(Buffer.from(token.split('.')[part]!, 'base64url').toString())
const fetchKeys = async ({ domain }: AccessTeam, signal?: AbortSignal): Promise<Response> =>
  await fetch(domain + CERTS_PATH, { redirect: 'manual', ...(signal === undefined ? {} : { signal }) })

t.test('a user\'s token has the claims of a real one, in its order', async t => {
  const now = Math.floor(Date.now() / 1000)
  const token = team.userToken({ email: 'alice@acme.com', audience: AUD })
  t.strictSame(Object.keys(read(token, 1)),
    ['aud', 'email', 'exp', 'iat', 'nbf', 'iss', 'type', 'identity_nonce', 'sub', 'country'])
  t.match(read(token, 1), {
    aud: [AUD],
    email: 'alice@acme.com',
    iss: team.domain,
    type: 'app',
    identity_nonce: /^[\w-]{16}$/,
    sub: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    country: 'DE'
  })
  const { exp, iat, nbf } = read(token, 1) as { exp: number, iat: number, nbf: number }
  t.ok(iat >= now && iat <= Date.now() / 1000)
  t.strictSame([exp - iat, nbf], [3600, iat])
  t.strictSame(read(token, 0), { alg: 'RS256', kid: team.certs.keys[0]!['kid'], typ: 'JWT' })
})

t.test('a user keeps their subject', async t => {
  const subject = (email: string): unknown => read(team.userToken({ email, audience: AUD }), 1)['sub']
  t.equal(subject('alice@acme.com'), subject('alice@acme.com'))
  t.not(subject('alice@acme.com'), subject('bob@acme.com'))
})

t.test('a machine\'s token has the claims of a real one', async t => {
  const token = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
  t.strictSame(Object.keys(read(token, 1)), ['type', 'aud', 'exp', 'iat', 'iss', 'common_name', 'sub'])
  t.match(read(token, 1), { type: 'app', aud: [AUD], common_name: CLIENT_ID, sub: '' })
  t.match(read(team.certificateToken({ commonName: 'pump 7', audience: AUD }), 1), { common_name: 'pump 7', sub: '' })
})

t.test('times, claims and header can be set', async t => {
  const token = team.userToken({
    email: 'a@acme.com',
    audience: ['x', AUD],
    country: 'FR',
    expiresIn: '1m',
    issuedIn: '-10s',
    claims: { nbf: undefined, level: 7 },
    header: { typ: undefined, x: 1 }
  })
  const { aud, exp, iat, country, level } = read(token,
    1) as { aud: string[], exp: number, iat: number, country: string, level: number }
  t.strictSame([aud, exp - iat, country, level, 'nbf' in read(token, 1)], [['x', AUD], 70, 'FR', 7, false])
  t.strictSame(Object.keys(read(token, 0)).sort(), ['alg', 'kid', 'x'])
  const expired = read(team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '-1m' }),
    1) as { exp: number, iat: number }
  t.ok(expired.iat < expired.exp, 'one that has expired was issued before it did')
})

t.test('a time without its unit is an error', async t => {
  for (const [name, value] of [['expiresIn', 60], ['issuedIn', '60'], ['expiresIn', '1 h']] as const) {
    t.throws(() => team.userToken({ email: 'a@acme.com', audience: AUD, [name]: value }),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: `Option "${name}" is ` }, `${name}: ${value}`)
  }
})

t.test('meta, match and org tokens look like those of Access', async t => {
  const meta = read(team.metaToken({ audience: AUD }), 1)
  t.match(meta, { type: 'meta', aud: AUD, hostname: String, redirect_url: '/', auth_status: 'NONE' })
  t.notOk('iss' in meta || 'exp' in meta)
  t.match(read(team.matchToken({ audience: AUD }), 1), {
    type: 'match',
    aud: AUD,
    auth_domain: team.domain.slice('http://'.length),
    app_hostname: String
  })
  t.match(read(team.orgToken({ email: 'a@acme.com', audience: 'x' }), 1), {
    type: 'org',
    aud: ['x'],
    email: 'a@acme.com',
    iss: team.domain,
    account_id: /^[0-9a-f]{32}$/
  })
})

t.test('sign() signs any payload, with either key', async t => {
  for (const [i, which] of (['current', 'previous'] as const).entries()) {
    const token = team.sign('not JSON', { alg: 'none' }, which)
    const [header, payload, signature] = token.split('.') as [string, string, string]
    const key = createPublicKey({ key: team.certs.keys[i] as JsonWebKey, format: 'jwk' })
    t.ok(verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')))
    t.match(read(token, 0), { alg: 'none', kid: team.certs.keys[i]!['kid'] })
    t.equal(Buffer.from(payload, 'base64url').toString(), 'not JSON')
  }
})

t.test('the endpoint publishes two keys, named as Access names them', async t => {
  const response = await fetchKeys(team)
  t.match(response.headers.get('content-type'), /json/)
  t.strictSame(await response.json(), team.certs)
  t.equal(team.certs.keys.length, 2)
  for (const jwk of team.certs.keys) {
    const spki = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'der' })
    t.equal(jwk['kid'], createHash('sha256').update(spki).digest('hex'))
    t.match(jwk, { kty: 'RSA', alg: 'RS256', use: 'sig', e: 'AQAB' })
    t.notOk('d' in jwk)
  }
})

t.test('a rotation makes a new current key and keeps the last one', async t => {
  const [before] = team.certs.keys
  await team.rotateKeys()
  const [after, previous] = team.certs.keys
  t.strictSame(previous, before)
  t.not(after!['kid'], before!['kid'])
  t.equal(read(team.userToken({ email: 'a@acme.com', audience: AUD }), 0)['kid'], after!['kid'])
})

t.test('requests can be counted', async t => {
  const before = team.requests.length
  await fetchKeys(team)
  t.equal((await fetch(`${team.domain}/elsewhere?x=1`, { headers: { 'x-mine': '1' } })).status, 404)
  t.match(team.requests.slice(before),
    [{ method: 'GET', path: CERTS_PATH }, { method: 'GET', path: '/elsewhere?x=1', headers: { 'x-mine': '1' } }])
})

t.test('X-27 get-identity answers 400 to any malformed token, also one that it signed itself', async t => {
  const payloads = ['', 'not JSON', 'null', '[]', '7', '"x"', '{}', '{"exp":null}', '{"exp":"9999999999"}', '{"exp":0}']
  const signed = payloads.map(text => team.sign(text))
  const others = ['', '.', '..', 'x.y.z', 'a.b', `${signed[0]}.x`, '%zz', '%00', '__proto__', 'ÿ', 'x'.repeat(8000)]
  for (const token of [...signed, ...others]) {
    const headers = { cookie: `CF_Authorization=${token}` }
    const response = await fetch(`${team.domain}/cdn-cgi/access/get-identity`, { headers })
    t.equal(response.status, 400, token.slice(0, 40))
    t.match(await response.json(), { err: 'unable to find app token' })
  }
})

const ANSWERS: Partial<Record<string, [status: number, body: RegExp]>> = {
  redirect: [302, /^$/],
  error: [500, /^\{\}$/],
  unknown: [404, /^<!doctype html>/],
  html: [200, /^<!doctype html>/],
  null: [200, /^null$/],
  empty: [200, /^\{"keys":\[\]\}$/],
  broken: [200, /^\{"keys":\[\{"kid":"[0-9a-f]+","kty":"RSA","e":"AQAB"/]
}

t.test('an outage that answers', async t => {
  t.teardown(() => team.outage(null))
  for (const [outage, [status, body]] of Object.entries(ANSWERS) as Array<[Outage & string, [number, RegExp]]>) {
    team.outage(outage)
    const response = await fetchKeys(team)
    t.equal(response.status, status, outage)
    t.match(await response.text(), body, outage)
  }
  team.outage((_request, response, body) => { response.writeHead(418).end(body.length.toString()) })
  t.equal((await fetchKeys(team)).status, 418, 'an answer of one\'s own')
  team.outage(null)
  t.equal((await fetchKeys(team)).status, 200)
})

t.test('an outage that does not answer, or never ends', async t => {
  t.teardown(() => team.outage(null))
  for (const outage of ['down', 'truncated'] as const) {
    team.outage(outage)
    await t.rejects(async () => await (await fetchKeys(team)).text(), { name: 'TypeError' }, outage)
  }
  for (const outage of ['slow', 'silent', 'stalled', 'drip', 'endless'] as const) {
    team.outage(outage)
    const stop = new AbortController()
    const answer = fetchKeys(team, stop.signal).then(async response => {
      for await (const chunk of response.body!) if (chunk.length > 0) stop.abort()
      return 'ended'
    })
    if (outage !== 'endless' && outage !== 'drip') setImmediate(() => stop.abort())
    await t.rejects(answer, { name: 'AbortError' }, outage)
  }
  team.outage('huge')
  let bytes = 0
  for await (const chunk of (await fetchKeys(team)).body!) bytes += chunk.length
  t.equal(bytes, 64 * 1024 * 1024)
})

t.test('it listens on the given port, on loopback', async t => {
  const own = await createAccessTeam()
  const port = Number(new URL(own.domain).port)
  await own.close()
  const again = await createAccessTeam({ port })
  t.equal(again.domain, `http://127.0.0.1:${port}`)
  await t.rejects(createAccessTeam({ port }), { code: 'EADDRINUSE' })
  await again.close()
})

t.test('closing ends open connections', async t => {
  const own = await createAccessTeam()
  const socket = connect(Number(new URL(own.domain).port), '127.0.0.1')
  await once(socket, 'connect')
  own.outage('silent')
  const asked = t.rejects(fetchKeys(own))
  const gone = once(socket, 'close')
  await own.close()
  await Promise.all([asked, gone])
})

t.test('a misspelled option of a token is an error', async t => {
  const team = await startTeam(t)
  type Method = 'userToken' | 'serviceToken' | 'certificateToken' | 'metaToken' | 'matchToken' | 'orgToken'
  const make = (method: Method, options: object) => () => team[method](options as never)
  const user = { email: 'a@acme.com', audience: AUD }
  for (const [call, message] of [
    [make('userToken', { ...user, aud: AUD }), /^In userToken\(options\), "aud" is not known; did you mean "audience"\?/],
    [make('userToken', { ...user, expires: '1h' }), /"expires" is not known; did you mean "expiresIn"\?/],
    [make('userToken', { ...user, clientId: 'x' }), /"clientId" is not known/],
    [make('userToken', { ...user, expiresIn: '1.5h' }), /^Option "expiresIn" is '1\.5h'; it takes a duration/],
    [make('userToken', { ...user, expiresIn: 60 }), /^Option "expiresIn" is 60; it takes .*write "60s"/],
    [make('userToken', { audience: AUD }), /^Option "email" is missing; it takes text/],
    [make('userToken', { ...user, email: 7 }), /^Option "email" is 7; it takes text/],
    [make('userToken', { ...user, country: undefined }), /^Option "country" is undefined; it takes text/],
    [make('userToken', { email: 'a@acme.com' }), /^Option "audience" is missing; it takes an AUD tag or a list of them/],
    [make('userToken', { ...user, audience: [] }), /^Option "audience" is \[\]; it takes an AUD tag/],
    [make('userToken', { ...user, audience: '' }), /^Option "audience" is ''; it takes an AUD tag/],
    [make('serviceToken', { audience: AUD }), /^Option "clientId" is missing/],
    [make('certificateToken', { audience: AUD, clientId: 'x' }), /^In certificateToken\(options\), "clientId" is not known/],
    [make('metaToken', { audience: AUD, email: 'x' }), /^In metaToken\(options\), "email" is not known/],
    [make('matchToken', {}), /^Option "audience" is missing/],
    [make('orgToken', { audience: AUD }), /^Option "email" is missing/]
  ] as const) {
    t.throws(call, { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message }, String(message))
  }
})
