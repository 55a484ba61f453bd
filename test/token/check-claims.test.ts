import t, { type Test } from 'tap'
import { cfAccess, type CfAccessOptions } from '../../lib/index.js'
import { stopClock } from '../fixtures/clock.js'
import { AUD, bearing, createApp, OTHER_AUD } from '../fixtures/index.js'
import { Verification } from '../fixtures/verification.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

stopClock(t)
const verification = await Verification.start(t)
const { team } = verification
const now = (): number => Math.floor(Date.now() / 1000)

/** Each of these values of one claim is rejected, for this reason. `undefined` leaves the claim out. */
async function rejectsEach (t: Test, claim: string, values: readonly unknown[], reason: string): Promise<void> {
  for (const value of values) {
    await verification.expectRejected(t, verification.token({ [claim]: value }), reason,
      { name: `${claim}: ${JSON.stringify(value)?.slice(0, 60)}` })
  }
}

/** Signs a payload just as it is written. */
const signText = (payload: string): string => team.sign(payload)

/** A good payload as text, with this text put in place of the value of one of its members. */
function withText (claim: string, text: string): string {
  const [, payload = ''] = verification.token({ [claim]: 'HERE' }).split('.')
  return signText(Buffer.from(payload, 'base64url').toString().replace('"HERE"', text))
}

/** The status another registration answers a token with. */
async function statusOf (t: Test, options: Partial<CfAccessOptions>, token: string): Promise<number> {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
  app.get('/', async () => 'in')
  return (await app.inject({ url: '/', headers: bearing(token) })).statusCode
}

t.test('C-01 a token for another application of the team is rejected', async t => {
  await verification.expectRejected(t, team.userToken({ email: 'a@acme.com', audience: OTHER_AUD }), 'audience')
})

t.test('C-02 one AUD tag in common is enough, as text or in a list', async t => {
  for (const aud of [AUD, [AUD], [OTHER_AUD, AUD]]) await verification.expectAdmitted(t, verification.token({ aud }))
  t.equal(await statusOf(t, { audience: [OTHER_AUD, AUD] }, verification.token()), 200)
  t.equal(await statusOf(t, { audience: [OTHER_AUD] }, verification.token()), 401)
})

t.test('C-03 an audience that is missing, of another type or not quite ours is rejected', async t => {
  await rejectsEach(t, 'aud',
    [undefined, null, 7, true, '', [], [''], [[AUD]], { 0: AUD, length: 1 }, [AUD, 7], [AUD, null], AUD.toUpperCase(),
      AUD.slice(1), `${AUD}a`,
    `${AUD}\0`, ` ${AUD}`, `${OTHER_AUD},${AUD}`, `["${AUD}"]`], 'audience')
  await verification.expectRejected(t, signText(JSON.stringify({
    iss: team.domain,
    type: 'app',
    sub: 'x',
    email: 'a@acme.com',
    iat: now(),
    exp: now() + 60
  })
    .replace('{', `{"__proto__":{"aud":"${AUD}"},`)), 'audience', { name: 'in __proto__' })
})

t.test('C-04 an issuer that is missing, of another type or not quite ours is rejected', async t => {
  const { domain } = team
  await rejectsEach(t, 'iss',
    [undefined, null, '', [domain], { iss: domain }, `${domain}/`, domain.toUpperCase(), domain.replace('http', 'https'),
      'https://acme.cloudflareaccess.com', `${domain}.evil`, `${domain}\0`, domain.slice(0, -1), ['evil', domain]],
    'issuer')
})

t.test('C-05 C-06 other tokens signed by the team\'s key are rejected', async t => {
  const kinds = {
    meta: team.metaToken({ audience: AUD }),
    match: team.matchToken({ audience: AUD }),
    org: team.orgToken({ email: 'a@acme.com', audience: AUD })
  }
  await verification.expectRejected(t, kinds.meta, 'issuer', { name: 'meta, as it is sent' })
  await verification.expectRejected(t, kinds.match, 'issuer', { name: 'match, as it is sent' })
  await verification.expectRejected(t, kinds.org, 'type', { name: 'org, as it is sent, with our AUD tag' })
  const dressed = { iss: team.domain, iat: now(), exp: now() + 3600, sub: 'x', email: 'a@acme.com' }
  await verification.expectRejected(t, team.metaToken({ audience: AUD, claims: dressed }), 'type',
    { name: 'meta, in full dress' })
  await verification.expectRejected(t, team.matchToken({ audience: AUD, claims: dressed }), 'type',
    { name: 'match, in full dress' })
})

t.test('C-07 a missing type, or one other than app, is rejected', async t => {
  await rejectsEach(t, 'type', [undefined, null, '', 7, ['app'], 'APP', 'app ', 'meta', 'match', 'org', 'saml'], 'type')
})

t.test('C-10 C-11 a token without a valid exp is rejected', async t => {
  await rejectsEach(t, 'exp', [undefined, null, '9999999999', true, [now() + 60], {}, now() + 60.5, -1, 0, 2 ** 53],
    'time')
  for (const text of ['1e999', '-1e999', '1e30', '-0', '9007199254740993']) {
    await verification.expectRejected(t, withText('exp', text), 'time', { name: `exp: ${text}` })
  }
})

t.test('C-13 a token that was issued never, later, or after its end is rejected', async t => {
  await rejectsEach(t, 'iat', [undefined, null, '1', true, [], -1, 0.5, now() + 40, now() + 4000], 'time')
  await verification.expectRejected(t, withText('iat', '-1e999'), 'time')
})

t.test('C-14 nbf may be missing; where it is, it holds', async t => {
  await verification.expectAdmitted(t, verification.token({ nbf: undefined }))
  await rejectsEach(t, 'nbf', [null, '1', true, [], -1, 0.5, now() + 40], 'time')
  await verification.expectRejected(t, withText('nbf', '1e999'), 'time')
})

t.test('C-12 a token ends at its exp and the tolerance, to the millisecond', async t => {
  let clock = Math.floor(Date.now() / 1000) * 1000
  t.intercept(Date, 'now', { value: () => clock })
  const start = clock
  const token = verification.token({ exp: start / 1000 + 60 })
  for (const [at, isGood] of [[0, true], [60_000, true], [89_999, true], [90_000, false], [90_001, false],
    [89_999, true]] as const) {
    clock = start + at
    if (isGood) await verification.expectAdmitted(t, token, `at ${at} ms`)
    else await verification.expectRejected(t, token, 'expired', { code: 'FST_CF_ACCESS_TOKEN_EXPIRED', name: `at ${at} ms` })
  }
  clock = start + 60_000
  t.equal(await statusOf(t, { clockTolerance: '0s' }, token), 401)
  clock--
  t.equal(await statusOf(t, { clockTolerance: '0s' }, token), 200)
})

t.test('X-24 a session that ends as it begins is good for the tolerance', async t => {
  const clock = stopClock(t)
  const at = clock.now / 1000
  const token = verification.token({ iat: at, nbf: at, exp: at })
  t.match(await verification.expectAdmitted(t, token), { issuedAt: clock.now, expiresAt: clock.now })
  t.equal(await statusOf(t, { clockTolerance: '0s' }, token), 401)
  clock.now += 29_999
  await verification.expectAdmitted(t, token)
  clock.now += 1
  await verification.expectRejected(t, token, 'expired', { code: 'FST_CF_ACCESS_TOKEN_EXPIRED' })
  await verification.expectRejected(t, verification.token({ iat: at, exp: at - 1 }), 'time',
    { name: 'it ends before it begins' })
  await verification.expectRejected(t, verification.token({ iat: 0, exp: 0 }), 'expired', {
    code: 'FST_CF_ACCESS_TOKEN_EXPIRED',
    name: 'long ago'
  })
})

t.test('M-18 iat and nbf hold to the second, under a clock that stands still', async t => {
  const clock = stopClock(t)
  const at = clock.now / 1000
  for (const claim of ['iat', 'nbf']) {
    await verification.expectAdmitted(t, verification.token({ [claim]: at + 30 }), `${claim}: 30 s ahead`)
    await verification.expectRejected(t, verification.token({ [claim]: at + 31 }), 'time', { name: `${claim}: 31 s ahead` })
    t.equal(await statusOf(t, { clockTolerance: '0s' }, verification.token({ [claim]: at })), 200, `${claim}: now`)
    t.equal(await statusOf(t, { clockTolerance: '0s' }, verification.token({ [claim]: at + 1 })), 401,
      `${claim}: 1 s ahead`)
  }
  const token = verification.token({ iat: at + 31, nbf: undefined })
  clock.now += 999
  await verification.expectRejected(t, token, 'time', { name: 'a millisecond early' })
  clock.now += 1
  await verification.expectAdmitted(t, token, 'then it begins')
})

t.test('M-18 maxTokenAge holds to the millisecond, under a clock that stands still', async t => {
  const clock = stopClock(t)
  const token = verification.token({ iat: clock.now / 1000 })
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, maxTokenAge: '10m' })
  await app.cfAccess.verify(token)
  clock.now += 629_999
  t.match(await app.cfAccess.verify(token), { kind: 'user' })
  t.equal(await statusOf(t, { maxTokenAge: '10m' }, token), 200, 'not remembered')
  clock.now += 1
  await t.rejects(app.cfAccess.verify(token), { code: 'FST_CF_ACCESS_TOKEN_EXPIRED', reason: 'age' })
  t.equal(await statusOf(t, { maxTokenAge: '10m' }, token), 401, 'not remembered')
})

t.test('C-13 C-14 a token begins as much sooner as the tolerance allows', async t => {
  for (const claim of ['iat', 'nbf']) {
    await verification.expectAdmitted(t, verification.token({ [claim]: now() + 29 }))
    t.equal(await statusOf(t, { clockTolerance: '0s' }, verification.token({ [claim]: now() + 29 })), 401)
    t.equal(await statusOf(t, { clockTolerance: '1m' }, verification.token({ [claim]: now() + 55 })), 200)
  }
})

t.test('maxTokenAge ends a token sooner than its exp', async t => {
  const token = (age: number): string => team.userToken({ email: 'a@acme.com', audience: AUD, issuedIn: `${-age}s` })
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, maxTokenAge: '10m' })
  t.match(await app.cfAccess.verify(token(600)), { kind: 'user' })
  await t.rejects(app.cfAccess.verify(token(631)), { code: 'FST_CF_ACCESS_TOKEN_EXPIRED', reason: 'age' })
  const issued = now() - 631
  for (const [lifetime, reason] of [[599, 'expired'], [600, 'expired'], [601, 'age']] as const) {
    const old = verification.token({ iat: issued, exp: issued + lifetime })
    await t.rejects(app.cfAccess.verify(old), { code: 'FST_CF_ACCESS_TOKEN_EXPIRED', reason }, `${lifetime} s`)
  }
  const remembered = token(0)
  await app.cfAccess.verify(remembered)
  const later = Date.now() + 630_000
  t.intercept(Date, 'now', { value: () => later })
  await t.rejects(app.cfAccess.verify(remembered), { code: 'FST_CF_ACCESS_TOKEN_EXPIRED' })
})

t.test('C-15 a clock set back makes no token good for longer than it says', async t => {
  let clock = Date.now()
  t.intercept(Date, 'now', { value: () => clock })
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '1m' })
  await verification.expectAdmitted(t, token)
  clock += 100_000
  await verification.expectRejected(t, token, 'expired', { code: 'FST_CF_ACCESS_TOKEN_EXPIRED' })
  clock -= 24 * 3_600_000
  await t.rejects(verification.app.cfAccess.verify(token), { code: 'FST_CF_ACCESS_TOKEN_INVALID' },
    'it is not valid yet')
})

t.test('C-20 a payload that is not a JSON object is rejected', async t => {
  const texts = ['null', '[]', '"x"', '7', 'true', '{', 'NaN', 'Infinity', '// {}', '{"a":1}\0', '{"a":1}x', '{a:1}',
    '[{}]']
  for (const text of texts) await verification.expectRejected(t, signText(text), 'malformed', { name: text })
  const [, payload = ''] = verification.token().split('.')
  const text = Buffer.from(payload, 'base64url').toString()
  await verification.expectRejected(t, signText(`\uFEFF${text}`), 'malformed', { name: 'a byte order mark' })
  await verification.expectRejected(t, signText(`${text}\0`), 'malformed', { name: 'a NUL' })
  await verification.expectRejected(t, signText(`[${text}]`), 'malformed', { name: 'a list of good claims' })
})

t.test('C-21 of a claim that is there twice the last one counts, everywhere', async t => {
  const twice = (first: string, second: string): string => withText('email', `"${first}","email":"${second}"`)
  t.match(await verification.expectAdmitted(t, twice('first@acme.com', 'last@acme.com')), {
    email: 'last@acme.com',
    claims: { email: 'last@acme.com' }
  })
  await verification.expectRejected(t, withText('exp', `${now() + 60},"exp":${now() - 600}`), 'time')
})

t.test('C-22 claims named like members of objects are claims like any other', async t => {
  const token =
    signText(Buffer.from(
      verification.token({ constructor: 'x', toString: 'y', then: 'z', hasOwnProperty: 1 }).split('.')[1]!,
      'base64url').toString()
      .replace('{', '{"__proto__":{"admin":true},'))
  const identity = await verification.expectAdmitted(t, token)
  t.equal(identity.kind, 'user')
  t.equal(identity.claims['then'], 'z')
  t.notOk('admin' in identity.claims)
  t.notOk('admin' in {})
})

t.test('C-23 claims nested deeply or very long do no harm', async t => {
  for (const depth of [40, 5000]) {
    await verification.expectRejected(t, withText('custom', '['.repeat(depth) + ']'.repeat(depth)), 'identity',
      { name: `${depth} deep` })
  }
  const nest = (levels: number): string => withText('custom', '['.repeat(levels) + ']'.repeat(levels))
  await verification.expectAdmitted(t, nest(31))
  await verification.expectRejected(t, nest(32), 'identity', { name: '32 levels in the payload' })
  await verification.expectAdmitted(t, verification.token({ custom: { deep: { er: [[[{}]]] } } }))
  await verification.expectAdmitted(t, verification.token({ custom: { text: 'x'.repeat(9000) } }))
  await t.rejects(verification.app.cfAccess.verify(verification.token({ custom: { text: 'x'.repeat(20_000) } })),
    { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
})

t.test('C-24 a user has one e-mail address in plain text', async t => {
  for (const email of ['a', 'a'.repeat(320)]) await verification.expectAdmitted(t, verification.token({ email }))
  await rejectsEach(t, 'email',
    [undefined, null, '', 7, true, ['a@acme.com'], { email: 'a@acme.com' }, 'a'.repeat(321), 'a@acme.com\n', 'a\r\n@acme.com', 'a b@acme.com', 'a\0@acme.com', '\u001b[31ma@acme.com'], 'identity')
  await rejectsEach(t, 'sub', [undefined, null, 7, ['x']], 'identity')
  await rejectsEach(t, 'country', [null, '', 7, ['DE'], 'D\nE'], 'identity')
})

t.test('C-25 a machine is what has an empty sub and a common name, and nothing else', async t => {
  const machine = (claims: object): string => team.serviceToken({
    clientId: CLIENT_ID,
    audience: AUD,
    claims: { ...claims }
  })
  t.match(await verification.expectAdmitted(t, machine({})), { kind: 'service', clientId: CLIENT_ID })
  t.match(await verification.expectAdmitted(t, machine({ common_name: 'pump 7' })), {
    kind: 'certificate',
    commonName: 'pump 7'
  })
  t.match(await verification.expectAdmitted(t, machine({ aud: AUD })), { kind: 'service' },
    'an AUD tag as text, as in older tokens')
  for (const claims of [{ common_name: undefined }, { common_name: '' }, { common_name: [CLIENT_ID] },
    { common_name: 7 }, { common_name: 'a\nb' },
    { email: 'a@acme.com' }, { email: '' }, { email: null }, { sub: undefined }, { sub: null }, { sub: ' ' },
    { sub: 'x' }]) {
    await verification.expectRejected(t, machine(claims), 'identity', { name: JSON.stringify(claims) })
  }
})

t.test('M-18 a common name is text without control characters', async t => {
  const machine = (name: string): string => team.serviceToken({
    clientId: CLIENT_ID,
    audience: AUD,
    claims: { common_name: name }
  })
  const controls = [...Array(0x20).keys(), 0x7F, ...Array.from({ length: 0x20 }, (_, i) => 0x80 + i)].map(
    code => String.fromCharCode(code))
  for (const control of controls) {
    for (const name of [control, `pump${control}7`, `${control}pump`, `pump${control}`, `k${control}.access`]) {
      await verification.expectRejected(t, machine(name), 'identity', { name: JSON.stringify(name) })
    }
  }
  for (const name of ['pump 7', 'P\u00FCmpe', '\u6C34', '*.example.com', 'CN=pump, O="Acme"', 'x', 'x'.repeat(320)]) {
    t.match(await verification.expectAdmitted(t, machine(name)), { commonName: name })
  }
  await verification.expectRejected(t, machine('x'.repeat(321)), 'identity')
})
