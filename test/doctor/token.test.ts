import type { FastifyInstance } from 'fastify'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { cfAccess } from '../../lib/index.js'
import type { Check } from '../../lib/doctor/check.js'
import { verdictOn } from '../../lib/doctor/verdict.js'
import type { AccessTeam } from '../../lib/testing/index.js'
import { stopClock } from '../fixtures/clock.js'
import { checksOf, runDoctor } from '../fixtures/doctor.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from '../fixtures/index.js'

const EMAIL = 'alice@acme.com'

/** Two teams, one of which an app trusts, and the app's own answer to a token. */
class GuardedApp {
  readonly team: AccessTeam
  readonly other: AccessTeam
  readonly app: FastifyInstance
  readonly #lines: string[]

  private constructor (team: AccessTeam, other: AccessTeam, app: FastifyInstance, lines: string[]) {
    this.team = team
    this.other = other
    this.app = app
    this.#lines = lines
  }

  static async start (t: Test): Promise<GuardedApp> {
    const [team, other] = await Promise.all([startTeam(t), startTeam(t)])
    const lines: string[] = []
    const stream = { write: (line: string) => { lines.push(line) } }
    const app = createApp(t, { logger: { level: 'info', stream } })
    await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    app.get('/', async request => request.cfAccess!.kind)
    return new GuardedApp(team, other, app, lines)
  }

  get args (): string[] {
    return ['--team', this.team.domain, '--audience', AUD]
  }

  async checks (token: string): Promise<Readonly<Record<string, Check>>> {
    return checksOf([...this.args, '--token', '-'], { token })
  }

  user (claims: Readonly<Record<string, unknown>> = {}, header: Readonly<Record<string, unknown>> = {}): string {
    return this.team.userToken({ email: EMAIL, audience: AUD, claims, header })
  }

  /** What the app itself does with a token: the reason that it logs, or the kind of identity that it admits. */
  async outcome (token: string): Promise<string> {
    this.#lines.length = 0
    const { statusCode, body } = await this.app.inject({ url: '/', headers: bearing(token) })
    if (statusCode === 200) return body
    const reasons = this.#lines.map(line => JSON.parse(line).reason).filter(reason => reason !== undefined)
    return String(reasons[0])
  }
}

/** Every kind of token that the testing kit makes, by what it tries. */
function tokensOf (guarded: GuardedApp): Record<string, string> {
  const { team, other } = guarded
  const user = guarded.user.bind(guarded)
  const good = user()
  const [header, payload, signature] = good.split('.') as [string, string, string]
  const options = { email: EMAIL, audience: AUD }
  const soon = Math.floor(Date.now() / 1000)
  const encode = (text: string): string => Buffer.from(text).toString('base64url')
  return {
    'a user': good,
    'a user in two applications': team.userToken({ ...options, audience: [OTHER_AUD, AUD] }),
    'a service': team.serviceToken({ clientId: 'x.access', audience: AUD }),
    'a certificate': team.certificateToken({ commonName: 'machine 7', audience: AUD }),
    'the previous key': team.sign(JSON.parse(Buffer.from(payload, 'base64url').toString()), { kid: team.certs.keys[1]!['kid'] }, 'previous'),
    'exp within the tolerance': user({ exp: soon - 10, iat: soon - 60, nbf: soon - 60 }),
    'iat within the tolerance': user({ iat: soon + 15, nbf: soon + 15 }),
    'no nbf': user({ nbf: undefined }),
    'another application': team.userToken({ ...options, audience: OTHER_AUD }),
    'an aud of another form': user({ aud: 'an application' }),
    'an aud that is a number': user({ aud: 5 }),
    'an aud with a number': user({ aud: [AUD, 5] }),
    'no aud': user({ aud: undefined }),
    'an empty aud': user({ aud: [] }),
    'another team': other.userToken(options),
    'another team and application': other.userToken({ ...options, audience: OTHER_AUD }),
    'an iss with a slash': user({ iss: `${team.domain}/` }),
    'an iss of no team': user({ iss: 'https://evil.example' }),
    'an iss that is a list': user({ iss: [team.domain] }),
    'the team name as iss': user({ iss: 'acme' }),
    meta: team.metaToken({ audience: AUD }),
    'meta with iss and exp': team.metaToken({ audience: AUD, claims: { iss: team.domain, exp: soon + 60 } }),
    match: team.matchToken({ audience: AUD }),
    org: team.orgToken(options),
    'another type': user({ type: 'application' }),
    'no type': user({ type: undefined }),
    expired: team.userToken({ ...options, expiresIn: '-3m' }),
    'expired long ago': team.userToken({ ...options, expiresIn: '-72h' }),
    'not valid yet': team.userToken({ ...options, issuedIn: '5m' }),
    'nbf in the future': user({ nbf: soon + 300 }),
    'exp before iat': user({ exp: soon - 20, iat: soon }),
    'no exp': user({ exp: undefined }),
    'an exp without end': user({ exp: 1e300 }),
    'an exp with a fraction': user({ exp: soon + 60.5 }),
    'an iat that is a text': user({ iat: String(soon) }),
    'no iat': user({ iat: null }),
    'an nbf that is a list': user({ nbf: [soon] }),
    'an unknown kid': user({}, { kid: 'f'.repeat(64) }),
    'a kid of another form': user({}, { kid: 'key-of-alice@acme.com' }),
    'no kid': user({}, { kid: undefined }),
    'a kid that is too long': user({}, { kid: 'f'.repeat(200) }),
    'the key of another team': other.sign(JSON.parse(Buffer.from(payload, 'base64url').toString())),
    'the wrong key of the team': team.sign(JSON.parse(Buffer.from(payload, 'base64url').toString()), { kid: team.certs.keys[1]!['kid'] }),
    'a changed payload': [header, encode(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), email: 'bob@acme.com' })), signature].join('.'),
    'a signature that is cut off': good.slice(0, -40),
    'alg none': user({}, { alg: 'none' }),
    'alg none without a signature': `${encode('{"alg":"none"}')}.${payload}.`,
    'alg HS256': user({}, { alg: 'HS256' }),
    'an alg of another form': user({}, { alg: EMAIL }),
    'no alg': user({}, { alg: undefined }),
    crit: user({}, { crit: ['exp'] }),
    'another typ': user({}, { typ: 'at+jwt' }),
    'no sub': user({ sub: undefined }),
    'an empty sub and an email': user({ sub: '' }),
    'no email': user({ email: undefined }),
    'an email with blanks': user({ email: 'alice @acme.com' }),
    'a country that is a number': user({ country: 7 }),
    'claims that are too deep': user({ custom: JSON.parse('['.repeat(40) + ']'.repeat(40)) }),
    'a service without a name': team.serviceToken({ clientId: '', audience: AUD }),
    'Bearer before it': `Bearer ${good}`,
    'quotes around it': `"${good}"`,
    'the cookie whole': `CF_Authorization=${good}; Path=/`,
    'the header whole': `Cf-Access-Jwt-Assertion: ${good}`,
    'two joined': `${good}, ${good}`,
    'a line break in it': `${good.slice(0, 100)} ${good.slice(100)}`,
    'one part': header,
    'two parts': `${header}.${payload.slice(0, 40)}`,
    'four parts': `${good}.x`,
    'five parts': `${good}.x.y`,
    'an opaque token': 'oauth:abcdefgh',
    'a word': 'zzyzx',
    'an empty header': `.${payload}.${signature}`,
    'an empty payload': `${header}..${signature}`,
    'no signature': `${header}.${payload}.`,
    'a header that is not JSON': `${encode('{')}.${payload}.${signature}`,
    'a header that is a list': `${encode('[]')}.${payload}.${signature}`,
    'a payload that is not JSON': `${header}.${payload.slice(0, -6)}.${signature}`,
    'a payload that is null': `${header}.${encode('null')}.${signature}`,
    'a payload with padding': `${header}.${payload}=.${signature}`,
    'a signature in base64': `${header}.${payload}.${signature.slice(0, -2)}+/`,
    'too long': user({ custom: 'x'.repeat(17_000) }),
    'too long, and of another application': team.userToken({ ...options, audience: OTHER_AUD, claims: { custom: 'x'.repeat(17_000) } })
  }
}

t.test('its verdict is the plugin\'s own, its checks agree with it, and it shows no secret', async t => {
  const guarded = await GuardedApp.start(t)
  for (const [name, token] of Object.entries(tokensOf(guarded))) {
    const outcome = await guarded.outcome(token)
    const { verdict, ...checks } = await guarded.checks(token)
    const faults = Object.values(checks).filter(({ ok }) => !ok)
    if (['user', 'service', 'certificate'].includes(outcome)) {
      t.match(verdict, { ok: true, text: new RegExp(outcome) }, `${name}: admitted`)
      t.strictSame(faults, [], `${name}: each check passes`)
    } else {
      t.match(verdict, { ok: false, reason: outcome, todo: /./ }, `${name}: ${outcome}`)
      t.ok(faults.some(({ reason }) => reason === outcome), `${name}: a check says why`)
    }
    const { out } = await runDoctor([...guarded.args, '--token', '-'], { token })
    const parts = token.split('.').filter(part => part.length > 20)
    for (const part of [...parts, parts.at(-1)?.slice(0, 20) ?? token]) {
      t.notMatch(out.replace('Bearer', ''), part.slice(0, 30), `${name}: no part of the token`)
    }
    t.notMatch(out, /@|alice|acme\.com|evil/, `${name}: no e-mail address and no unknown name`)
  }
})

const CASES: ReadonlyArray<readonly [token: string, check: string, text: RegExp, todo?: RegExp]> = [
  ['another application', 'aud', /aud is b{64}; the settings have a{64}/, /AUD/],
  ['an aud of another form', 'aud', /aud is a text of 14 characters;/],
  ['an aud with a number', 'aud', /aud is a{64} and of type number/],
  ['no aud', 'aud', /aud is missing/],
  ['an empty aud', 'aud', /aud is none/],
  ['another team', 'iss', /iss is http:\/\/127\.0\.0\.1:\d+; the settings have http:\/\/127\.0\.0\.1:\d+\./],
  ['an iss with a slash', 'iss', /not spelled as Access spells it: its iss is http:\/\/127\.0\.0\.1:\d+\/;/],
  ['an iss of no team', 'iss', /iss is a text of 20 characters/],
  ['an iss that is a list', 'iss', /iss is a list/],
  ['the team name as iss', 'iss', /iss is a text of 4 characters/],
  ['meta', 'type', /meta\. It was copied from the URL of the login page/, /Cf-Access-Jwt-Assertion/],
  ['meta', 'iss', /no iss/, /check of the type/],
  ['meta', 'verdict', /"issuer".*It was copied from the URL/, /Cf-Access-Jwt-Assertion/],
  ['match', 'type', /cf-access-metadata/],
  ['org', 'type', /of the team domain/],
  ['another type', 'type', /a text of 11 characters/],
  ['no type', 'type', /missing/],
  ['expired', 'exp', /expired 3 minutes ago/, /the clock of this machine is right/],
  ['expired long ago', 'exp', /expired 3 days ago/],
  ['not valid yet', 'iat', /not valid yet: its iat is (?:299|300) s in the future/, /so not by Access/],
  ['not valid yet', 'verdict', /"time"/, /so not by Access/],
  ['nbf in the future', 'nbf', /its nbf is (?:299|300) s in the future/],
  ['exp before iat', 'lifetime', /before/],
  ['an exp without end', 'exp', /1e\+300, not whole seconds/],
  ['no exp', 'exp', /missing/],
  ['no iat', 'iat', /null/],
  ['an iat that is a text', 'iat', /a text of 10 characters/],
  ['an unknown kid', 'kid', /f{64}/, /rotated/],
  ['an unknown kid', 'signature', /without its key/, /kid/],
  ['a kid of another form', 'kid', /a text of 21 characters/],
  ['no kid', 'kid', /names no key/],
  ['the wrong key of the team', 'signature', /does not match/],
  ['a signature that is cut off', 'signature', /has 226 bytes instead of 256/],
  ['alg none', 'alg', /but none/],
  ['alg HS256', 'alg', /HS256/],
  ['an alg of another form', 'alg', /a text of 14 characters/],
  ['crit', 'header', /crit/],
  ['no sub', 'identity', /sub is missing, email is a text of 14 characters/],
  ['an empty sub and an email', 'identity', /sub is empty/],
  ['a country that is a number', 'identity', /country is of type number/],
  ['Bearer before it', 'form', /begins with "Bearer"/, /without Bearer/],
  ['Bearer before it', 'verdict', /"malformed"/],
  ['quotes around it', 'form', /has quotes/],
  ['the cookie whole', 'form', /name of the cookie/],
  ['the header whole', 'form', /name of the header/],
  ['two joined', 'form', /comma/],
  ['a line break in it', 'form', /line breaks/],
  ['one part', 'form', /1 part instead of 3: it is cut off/],
  ['two parts', 'form', /2 parts/],
  ['five parts', 'form', /5 parts instead of 3: it is encrypted/],
  ['an opaque token', 'form', /Managed OAuth/],
  ['an empty header', 'form', /an empty header/],
  ['no signature', 'form', /no signature/],
  ['a header that is a list', 'form', /a header that is not a JSON object/],
  ['a payload that is not JSON', 'form', /a payload that is not a JSON object/],
  ['a payload with padding', 'form', /a payload that is not canonical base64url/],
  ['a signature in base64', 'form', /a signature that is not canonical base64url/],
  ['too long', 'form', /more than 16384/],
  ['too long, and of another application', 'aud', /b{64}/]
]

t.test('it says what is wrong with each part, and what to do', async t => {
  const guarded = await GuardedApp.start(t)
  const tokens = tokensOf(guarded)
  for (const [name, check, text, todo = /./] of CASES) {
    t.match((await guarded.checks(tokens[name]!))[check], { ok: false, text, todo }, `${name}: ${check}`)
  }
})

t.test('it says what is right', async t => {
  const guarded = await GuardedApp.start(t)
  stopClock(t)
  const tokens = tokensOf(guarded)
  const right: ReadonlyArray<readonly [token: string, check: string, text: RegExp]> = [
    ['a user', 'identity', /a user/],
    ['a user', 'exp', /expires in 60 minutes/],
    ['a user', 'lifetime', /valid for 60 minutes/],
    ['a user', 'nbf', /became valid 0 seconds ago/],
    ['a user', 'kid', /[\da-f]{64}/],
    ['a service', 'identity', /a service token/],
    ['a certificate', 'identity', /a client certificate/],
    ['exp within the tolerance', 'exp', /expired 10 seconds ago, within the clock tolerance/],
    ['iat within the tolerance', 'iat', /15 seconds in the future, within the clock tolerance/],
    ['Bearer before it', 'signature', /matches/]
  ]
  for (const [name, check, text] of right) {
    t.match((await guarded.checks(tokens[name]!))[check], { ok: true, text }, `${name}: ${check}`)
  }
  t.notOk('nbf' in await guarded.checks(tokens['a service']!), 'what need not be there is not named')
})

t.test('the clock tolerance is the one of the command line', async t => {
  const guarded = await GuardedApp.start(t)
  const token = guarded.team.userToken({ email: EMAIL, audience: AUD, expiresIn: '-1m' })
  const args = [...guarded.args, '--token', '-', '--clock-tolerance']
  t.match(await checksOf([...args, '0s'], { token }), { exp: { ok: false }, verdict: { ok: false, reason: 'expired' } })
  t.match(await checksOf([...args, '5m'], { token }), { exp: { ok: true }, verdict: { ok: true } })
})

t.test('times are told by the clock that is wrong', async t => {
  const guarded = await GuardedApp.start(t)
  const clock = stopClock(t)
  const token = guarded.user()
  clock.move(-270_000)
  t.match(await guarded.checks(token), {
    clock: { ok: false, reason: 'time', text: /2[67]\d seconds behind/ },
    iat: { ok: false, text: /270 s in the future/, todo: /The clock of this machine is 4 minutes behind/ },
    verdict: { reason: 'time', todo: /behind: synchronize/ }
  })
  clock.move(270_000 + 2 * 3_600_000 + 600_000)
  t.match(await guarded.checks(token), {
    clock: { ok: false, reason: 'expired', text: /ahead of/ },
    exp: { ok: false, text: /expired 70 minutes ago/, todo: /The clock of this machine is 2 hours ahead/ },
    verdict: { reason: 'expired', todo: /ahead: synchronize/ }
  })
})

t.test('without keys it says what the text alone tells', async t => {
  const guarded = await GuardedApp.start(t)
  guarded.team.outage('down')
  const checks = await guarded.checks(guarded.user())
  t.match(checks, {
    keys: { ok: false },
    kid: { ok: false, text: /cannot be looked up/, todo: /keys/ },
    signature: { ok: false },
    aud: { ok: true },
    verdict: { ok: false, text: /503/, todo: /keys/ }
  })
  t.notOk('clock' in checks, 'no clock to compare with')
  const soon = guarded.team.userToken({ email: EMAIL, audience: AUD, issuedIn: '5m' })
  t.match((await guarded.checks(soon))['iat'], { todo: /is behind/ }, 'whose clock is wrong is not known')
  const late = guarded.team.userToken({ email: EMAIL, audience: AUD, expiresIn: '-5m' })
  t.match((await guarded.checks(late))['exp'], { todo: /If new tokens are rejected too/ })
})

t.test('of several teams the token\'s own counts', async t => {
  const guarded = await GuardedApp.start(t)
  const args = ['--team', `${guarded.team.domain},${guarded.other.domain}`, '--audience', AUD, '--token', '-']
  for (const team of [guarded.team, guarded.other]) {
    const { code } = await runDoctor(args, { token: team.userToken({ email: EMAIL, audience: AUD }) })
    t.equal(code, 0, team.domain)
  }
  const token = guarded.other.sign({ iss: guarded.team.domain })
  t.match((await checksOf(args, { token }))['kid'], { ok: false, reason: 'kid' })
})

t.test('the plugin\'s own cure is given where no check knows more', async t => {
  const options = { teamDomain: 'acme', audience: AUD, fetch }
  const settings = { checks: [], teams: [], tags: [], clockTolerance: 30, options }
  t.match(await verdictOn('zzyzx', settings, []), { ok: false, reason: 'malformed', todo: /a proxy/ })
})

t.test('for any claims and headers, its verdict is the plugin\'s own and its checks agree', async t => {
  const guarded = await GuardedApp.start(t)
  const soon = Math.floor(Date.now() / 1000)
  const time = fc.oneof(fc.constantFrom(soon, soon - 10, soon - 100, soon + 10, soon + 100, 0, -1, 1.5, 1e300, null),
    fc.constant(String(soon)))
  const claims = fc.record({
    aud: fc.constantFrom(AUD, [AUD], OTHER_AUD, [OTHER_AUD, AUD], [], [AUD, 1], 7, null),
    iss: fc.constantFrom(guarded.team.domain, guarded.other.domain, '', null),
    type: fc.constantFrom('app', 'app', 'meta', 'match', 'org', 'APP', null),
    sub: fc.constantFrom('5c9af144', '', null, 7),
    email: fc.constantFrom(EMAIL, '', 'x', null),
    common_name: fc.constantFrom('x.access', 'machine', '', null),
    country: fc.constantFrom('DE', '', null),
    exp: time,
    iat: time,
    nbf: time
  }, { requiredKeys: [] })
  const header = fc.record({
    alg: fc.constantFrom('RS256', 'RS512', 'none', null),
    kid: fc.constantFrom(guarded.team.certs.keys[1]!['kid'], 'x', '', null),
    typ: fc.constantFrom('JWT', 'jwt', 'at+jwt', null),
    zip: fc.constant('DEF')
  }, { requiredKeys: [] })
  // Mostly as they should be, so that each later check gets its turn.
  const seldom = <Value extends object> (values: fc.Arbitrary<Value>): fc.Arbitrary<Partial<Value>> =>
    fc.tuple(values, fc.array(fc.nat(9), { maxLength: 2 })).map(([all, kept]) =>
      Object.fromEntries(Object.entries(all).filter((_, i) => kept.includes(i))) as Partial<Value>)
  await fc.assert(fc.asyncProperty(seldom(claims), seldom(header), async (own, ownHeader) => {
    const token = guarded.user(own, ownHeader)
    const outcome = await guarded.outcome(token)
    const { verdict, ...checks } = await guarded.checks(token)
    const faults = Object.values(checks).filter(({ ok }) => !ok)
    return verdict!.ok
      ? outcome === 'user' && faults.length === 0
      : verdict!.reason === outcome && faults.some(({ reason }) => reason === outcome)
  }), { numRuns: 150 })
})
