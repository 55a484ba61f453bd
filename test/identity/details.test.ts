import type { ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import {
  cfAccess, channels, type CfAccessDetails, type CfAccessIdentity, type CfAccessOptions, type CfAccessUserDetails
} from '../../lib/index.js'
import type { AccessTeam, Outage } from '../../lib/testing/index.js'
import { stopClock } from '../fixtures/clock.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'
import { until } from '../fixtures/key-endpoint.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'
const IDENTITY_PATH = '/cdn-cgi/access/get-identity'

const team = await startTeam(t)

const user = (identity: Record<string, unknown> = {}, options = {}): string =>
  team.userToken({ email: 'alice@acme.com', audience: AUD, identity, ...options })

/** An identity as a handler has it. */
async function identityOf (t: Test, token: string, options: Partial<CfAccessOptions> = {}): Promise<CfAccessIdentity> {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
  return await app.cfAccess.verify(token)
}

/** As a function, so that the kinds of identity need not be told apart. */
const detailsOf = async (identity: CfAccessIdentity): Promise<CfAccessDetails> => await identity.details()

function askedOf ({ requests }: AccessTeam): number {
  return requests.filter(({ path }) => path === IDENTITY_PATH).length
}

/** How many questions to get-identity an action costs. */
async function cost (action: () => Promise<unknown>): Promise<number> {
  const before = askedOf(team)
  await action()
  return askedOf(team) - before
}

t.test('a user\'s details are what Access knows of them', async t => {
  const posture = { f6f9391e: { type: 'disk_encryption', success: false } }
  const identity = await identityOf(t, user({
    name: 'Alice',
    amr: ['pwd', 'mfa'],
    groups: ['staff', { id: '7', name: 'Admins', email: 'admins@acme.com' }],
    idp: { id: 'b9f4d68e', type: 'azureAD' },
    geo: { country: 'FR' },
    devicePosture: posture,
    is_warp: true
  }))
  t.match(await detailsOf(identity), {
    email: 'alice@acme.com',
    name: 'Alice',
    userId: /^[0-9a-f-]{36}$/,
    groups: [{ name: 'staff' }, { id: '7', name: 'Admins', email: 'admins@acme.com' }],
    identityProvider: { id: 'b9f4d68e', type: 'azureAD' },
    authMethods: ['pwd', 'mfa'],
    country: 'FR',
    devicePosture: posture,
    answer: { is_warp: true }
  })
})

t.test('members that Access does not send are undefined', async t => {
  const nothing = {
    name: undefined,
    user_uuid: '',
    groups: null,
    idp: undefined,
    amr: undefined,
    geo: undefined,
    devicePosture: undefined,
    ip: '',
    is_warp: null,
    is_gateway: undefined
  }
  const { answer, ...details } = await (await identityOf(t, user(nothing))).details()
  const { email, ...others } = details as CfAccessUserDetails
  t.equal(email, 'alice@acme.com')
  t.equal(Object.keys(others).length, 12)
  t.ok(Object.values(others).every(value => value === undefined))
})

t.test('a machine\'s details have another shape', async t => {
  const service = await identityOf(t, team.serviceToken({ clientId: CLIENT_ID, audience: AUD }))
  t.match(await service.details(), {
    serviceTokenId: CLIENT_ID,
    commonName: undefined,
    answer: { service_token_status: true }
  })
  const certificate = await identityOf(t, team.certificateToken({ commonName: 'pump 7', audience: AUD }))
  t.match(await certificate.details(), { serviceTokenId: undefined, commonName: 'pump 7' })
})

t.test('details are deeply frozen', async t => {
  const details = await (await identityOf(t, user({ groups: [{ name: 'staff' }] }))).details() as any
  for (const change of [() => { details.email = 'x' }, () => { details.groups[0].name = 'x' },
    () => { details.answer.groups.push('x') }]) {
    t.throws(change, TypeError)
  }
})

t.test('only the token is sent, as the one cookie', async t => {
  const token = user()
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async request => (await request.cfAccess!.details()).answer)
  const headers = { ...bearing(token), authorization: 'Bearer secret', cookie: 'session=secret', 'x-secret': 'secret' }
  t.equal((await app.inject({ url: '/', headers })).statusCode, 200)
  const asked = team.requests.findLast(({ path }) => path === IDENTITY_PATH)!
  t.equal(asked.method, 'GET')
  t.equal(asked.headers.cookie, `CF_Authorization=${token}`)
  t.equal(asked.headers.accept, 'application/json')
  t.notMatch(JSON.stringify(asked.headers), /secret/)
})

t.test('one question at a time, remembered for maxAge', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const identity = await identityOf(t, user(), { details: { maxAge: '10s' } })
  t.equal(await cost(async () => await Promise.all([identity.details(), identity.details(), identity.details()])), 1)
  now += 9_999
  t.equal(await cost(async () => await detailsOf(identity)), 0)
  now += 1
  t.equal(await cost(async () => await detailsOf(identity)), 1)
})

t.test('P-09 nothing is remembered beyond the token\'s own end', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const identity = await identityOf(t, user({}, { expiresIn: '5s' }))
  t.equal(await cost(async () => await detailsOf(identity)), 1)
  now += 36_000
  t.equal(await cost(async () => await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })), 1,
    'then Access decides')
})

t.test('P-09 an answer is remembered to the token\'s last millisecond', async t => {
  const clock = stopClock(t)
  const identity = await identityOf(t, user({}, { expiresIn: '5s' }))
  t.equal(await cost(async () => await detailsOf(identity)), 1)
  clock.now = identity.expiresAt + 29_999
  t.equal(await cost(async () => await detailsOf(identity)), 0)
  clock.now += 1
  t.equal(await cost(async () => await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })), 1)
})

t.test('D-25 answers about a token past its exp are remembered to the end of the tolerance', async t => {
  const own = await startTeam(t)
  // The emulator's get-identity rejects at exp; Access's own tolerance is not known, so one that still answers is
  // played.
  own.outage((_request, response) => { response.end('{"email":"alice@acme.com"}') }, 'get-identity')
  const clock = stopClock(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: own.domain, audience: AUD, recheck: '1m', clockTolerance: '30s' })
  app.get('/', async request => await request.cfAccess!.details())
  const headers = bearing(own.userToken({ email: 'alice@acme.com', audience: AUD, expiresIn: '5s' }))
  const ask = async (): Promise<number> => (await app.inject({ url: '/', headers })).statusCode
  clock.now += 5001
  for (let i = 0; i < 3; i++) t.equal(await ask(), 200)
  t.equal(askedOf(own), 1)
  clock.now += 30_000
  t.equal(await ask(), 401)
  t.equal(askedOf(own), 1)
})

t.test('P-09 two tokens of one user have details of their own', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  for (const name of ['Alice A', 'Alice B']) {
    const identity = await app.cfAccess.verify(user({ name }, { claims: { jti: name } }))
    t.match(await detailsOf(identity), { name })
  }
})

t.test('details.max bounds what is remembered', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, details: { max: 1 } })
  const [first, second] =
    await Promise.all(['a', 'b'].map(async jti => await app.cfAccess.verify(user({}, { claims: { jti } }))))
  t.equal(await cost(
    async () => { await first!.details(); await second!.details(); await second!.details(); await first!.details() }),
  3)
})

const BAD_ANSWERS: Record<string, Outage> = {
  'status 500': 'error',
  'a page, status 404': 'unknown',
  'a page, status 200': 'html',
  'a redirect': 'redirect',
  null: 'null',
  'a list': (_request, response) => { response.end('[]') },
  'half an answer': 'truncated',
  'no answer': 'down',
  '64 MiB': 'huge',
  'no end': 'endless',
  silence: 'silent'
}

/** Answers with one member that is not as documented, and the member of the details that it spoils. */
const ODD_MEMBERS: ReadonlyArray<readonly [answer: Record<string, unknown>, spoiled: keyof CfAccessUserDetails]> = [
  [{ name: 7 }, 'name'],
  [{ name: false }, 'name'],
  [{ user_uuid: {} }, 'userId'],
  [{ groups: 'admins' }, 'groups'],
  [{ groups: {} }, 'groups'],
  [{ groups: false }, 'groups'],
  [{ groups: '' }, 'groups'],
  [{ idp: 0 }, 'identityProvider'],
  [{ devicePosture: '' }, 'devicePosture'],
  [{ groups: [7] }, 'groups'],
  [{ groups: ['admins', null] }, 'groups'],
  [{ groups: [{ name: 7 }] }, 'groups'],
  [{ groups: [['admins']] }, 'groups'],
  [{ idp: 'azureAD' }, 'identityProvider'],
  [{ idp: { id: 7 } }, 'identityProvider'],
  [{ idp: [] }, 'identityProvider'],
  [{ amr: 'mfa' }, 'authMethods'],
  [{ amr: ['pwd', 7] }, 'authMethods'],
  [{ geo: 'DE' }, 'country'],
  [{ geo: { country: 7 } }, 'country'],
  [{ devicePosture: [] }, 'devicePosture'],
  [{ ip: 7 }, 'ip'],
  [{ is_warp: 'true' }, 'isWarp'],
  [{ is_gateway: 0 }, 'isGateway'],
  [{ saml_attributes: 'a' }, 'samlAttributes'],
  [{ oidc_fields: [] }, 'oidcFields'],
  [{ deep: JSON.parse('['.repeat(40) + ']'.repeat(40)) }, 'answer']
]

t.test('P-08 an answer that is not valid is rejected', async t => {
  t.teardown(() => team.outage(null))
  for (const [name, outage] of Object.entries(BAD_ANSWERS)) {
    team.outage(outage, 'get-identity')
    const identity = await identityOf(t, user(), { details: { timeout: '300ms' } })
    await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', statusCode: 503 }, name)
  }
  t.notOk(team.requests.some(({ path }) => path === '/elsewhere'), 'and a redirect is not followed')
})

t.test('a member that is null counts as absent', async t => {
  const members = ['name', 'user_uuid', 'groups', 'idp', 'amr', 'geo', 'devicePosture', 'ip', 'is_warp', 'is_gateway',
    'saml_attributes', 'oidc_fields']
  const identity = await identityOf(t, user(Object.fromEntries(members.map(name => [name, null]))))
  const { email, answer, ...others } = await detailsOf(identity) as CfAccessUserDetails
  t.equal(email, 'alice@acme.com')
  for (const [name, value] of Object.entries(others)) t.equal(value, undefined, name)
  t.equal(Object.keys(others).length, 12)
})

t.test('an answer of 32 levels is read, and no deeper one', async t => {
  const nest = (levels: number): unknown => JSON.parse('{"x":'.repeat(levels) + '1' + '}'.repeat(levels))
  const postureOf = async (levels: number): Promise<unknown> =>
    (await detailsOf(await identityOf(t, user({ devicePosture: nest(levels) })))).devicePosture
  t.strictSame(await postureOf(32), nest(32))
  await t.rejects(postureOf(33), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' })
})

t.test('the case of an address does not matter, in the token or in the answer', async t => {
  for (const [own, known] of [['ALICE@acme.com', 'alice@ACME.com'], ['alice@acme.com', 'Alice@acme.com']] as const) {
    const token = team.userToken({ email: own, audience: AUD, identity: { email: known } })
    t.match(await detailsOf(await identityOf(t, token)), { email: known })
  }
})

t.test('P-08 an answer about another identity is not taken', async t => {
  for (const members of [{ email: 'bob@acme.com' }, { email: undefined }, { email: 7 },
    { email: ['alice@acme.com'] }]) {
    const identity = await identityOf(t, user(members))
    await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, inspect(members))
  }
  for (const members of [{ service_token_id: 'other.access' }, { common_name: 'other' }, { common_name: 7 },
    { email: 'alice@acme.com' }]) {
    const service = await identityOf(t, team.serviceToken({
      clientId: CLIENT_ID,
      audience: AUD,
      identity: { service_token_id: '', ...members }
    }))
    await t.rejects(detailsOf(service), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, inspect(members))
  }
})

t.test('M-18 an answer without names is accepted for the identity that was asked about', async t => {
  for (const names of [{ service_token_id: '', common_name: '' }, { service_token_id: null, common_name: undefined }]) {
    const service = await identityOf(t, team.serviceToken({ clientId: CLIENT_ID, audience: AUD, identity: names }))
    t.match(await detailsOf(service), { serviceTokenId: undefined, commonName: undefined }, inspect(names))
  }
})

t.test('P-25 an odd member throws when it is read, and spoils no other', async t => {
  for (const [members, spoiled] of ODD_MEMBERS) {
    const details = await detailsOf(await identityOf(t, user({ amr: ['mfa'], ...members }))) as CfAccessUserDetails
    const name = inspect(members, { depth: 2 })
    t.throws(() => details[spoiled],
      {
        code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE',
        statusCode: 503,
        retryAfter: 60,
        reason: /^the answer(?:'s "\w+" is not as Access documents it| is nested too deeply)$/
      } as unknown as Error, name)
    const readable = Object.getOwnPropertyNames(details).filter(member => member !== spoiled)
    t.equal(readable.length, 13, name)
    for (const member of readable) t.doesNotThrow(() => Reflect.get(details, member), `${name}: ${member}`)
    t.strictSame(Object.keys({ ...details }).sort(), readable.sort(), `${name}: a spread leaves it out`)
    t.strictSame(Object.keys(JSON.parse(JSON.stringify(details))).includes(spoiled), false,
      `${name}: JSON leaves it out`)
    t.doesNotThrow(() => inspect(details, { showHidden: true, depth: Infinity }), name)
    t.ok(Object.isFrozen(details), `${name}: frozen`)
  }
})

t.test('P-25 a malformed member affects only the policy and the handler that read it', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m' })
  app.get('/', async () => 'in')
  app.get('/methods', { config: { cfAccess: { require: { authMethod: 'pwd' } } } }, async () => 'in')
  app.get('/groups', { config: { cfAccess: { exclude: { group: 'contractors' } } } }, async () => 'in')
  app.get('/predicate',
    { config: { cfAccess: async identity => Reflect.get(await identity.details(), 'groups') === undefined } }, async () => 'in')
  app.get('/handler', async request => Reflect.get(await request.cfAccess!.details(), 'groups'))
  const headers = bearing(user({ groups: 'admins' }))
  for (const [url, status] of [['/', 200], ['/methods', 200], ['/groups', 503], ['/predicate', 503], ['/handler', 503],
    ['/', 200]] as const) {
    t.equal((await app.inject({ url, headers })).statusCode, status, url)
  }
})

t.test('M-10 text is read as UTF-8', async t => {
  t.match(await detailsOf(await identityOf(t, user({ groups: ['B\u00FCro', { name: '\u5927\u962A' }] }))),
    { groups: [{ name: 'B\u00FCro' }, { name: '\u5927\u962A' }] })
})

t.test('the case of an e-mail address does not make it another\'s', async t => {
  t.match(await detailsOf(await identityOf(t, user({ email: 'Alice@ACME.com' }))), { email: 'Alice@ACME.com' })
})

t.test('D-26 while get-identity fails it is left alone, twice as long after each failure', async t => {
  const clock = stopClock(t)
  t.intercept(Math, 'random', { value: () => 1 - Number.EPSILON }) // no jitter
  const own = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
  const identities =
    await Promise.all(['a', 'b', 'c'].map(async name => await app.cfAccess.verify(own.userToken({
      email: `${name}@acme.com`,
      audience: AUD
    }))))
  const fails = async (retryAfter: number, asked: number): Promise<void> => {
    const before = askedOf(own)
    for (const identity of identities) {
      await t.rejects(detailsOf(identity),
        { statusCode: 503, retryAfter, reason: 'the answer\'s status is 500' } as unknown as Error)
    }
    t.equal(askedOf(own) - before, asked, `${asked} requests, then Retry-After: ${retryAfter}`)
  }
  own.outage('error', 'get-identity')
  for (const wait of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    await fails(Math.ceil(wait / 1000), 1)
    clock.now += wait - 1
    await fails(1, 0)
    clock.now += 1
  }
  own.outage(null)
  t.match(await detailsOf(identities[2]!), { email: 'c@acme.com' })
  own.outage('error', 'get-identity')
  clock.now += 60_000
  await t.rejects(detailsOf(identities[2]!), { retryAfter: 1 } as unknown as Error, 'the success has ended it')
  clock.now += 3_600_000
  for (const wait of [500, 1000, 2000]) {
    await fails(Math.ceil(wait / 1000), 1)
    clock.now += wait
  }
  clock.now += 30_000
  await fails(4, 1) // the last failure counts for the longest wait after its own
  clock.now += 4000 + 30_001
  await fails(1, 1)
})

t.test('D-26 Retry-After is the longer wait of the endpoint and of the token', async t => {
  const clock = stopClock(t)
  t.intercept(Math, 'random', { value: () => 1 - Number.EPSILON }) // no jitter
  const own = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
  const [first, second] =
    await Promise.all(['a', 'b'].map(async name => await app.cfAccess.verify(own.userToken({
      email: `${name}@acme.com`,
      audience: AUD
    }))))
  const fails = async (identity: CfAccessIdentity, retryAfter: number, asked: number): Promise<void> => {
    const before = askedOf(own)
    await t.rejects(detailsOf(identity), { statusCode: 503, retryAfter } as unknown as Error)
    t.equal(askedOf(own) - before, asked, `${asked} requests, then Retry-After: ${retryAfter}`)
  }
  own.outage('html', 'get-identity') // trouble with one token
  for (const wait of [500, 1000, 2000]) {
    await fails(first!, Math.ceil(wait / 1000), 1)
    clock.now += wait - 1
    await fails(first!, 1, 0)
    clock.now += 1
  }
  await fails(first!, 4, 1)
  clock.now += 2999
  await fails(first!, 2, 0) // 1001 ms
  own.outage('error', 'get-identity')
  clock.now += 1001
  for (const wait of [8000, 16_000]) {
    await fails(first!, wait / 1000, 1)
    clock.now += wait
  }
  await fails(second!, 2, 1) // the third failure of the endpoint, and the first with this token
})

t.test('D-26 during the backoff requests fail at once, even while another request is running', async t => {
  const clock = stopClock(t)
  t.intercept(Math, 'random', { value: () => 1 - Number.EPSILON }) // no jitter
  const own = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD, details: { timeout: '10m' } })
  const [slow, ...others] =
    await Promise.all(['a', 'b', 'c'].map(async name => await app.cfAccess.verify(own.userToken({
      email: `${name}@acme.com`,
      audience: AUD
    }))))
  const held: Array<() => void> = []
  own.outage((_request, response, body) => { held.push(() => response.end(body)) }, 'get-identity')
  const pending = detailsOf(slow!)
  await until(() => held.length === 1)
  own.outage('error', 'get-identity')
  for (const identity of others) await t.rejects(detailsOf(identity), { retryAfter: 1 } as unknown as Error)
  t.equal(askedOf(own), 2)
  clock.now += 499
  await t.rejects(detailsOf(others[1]!), { retryAfter: 1 } as unknown as Error, 'to its last millisecond')
  t.equal(askedOf(own), 2)
  held[0]!()
  t.match(await pending, { email: 'a@acme.com' })
  own.outage(null)
  t.match(await detailsOf(others[1]!), { email: 'c@acme.com' }, 'and the success ends the backoff')
})

t.test('D-26 a clock set back does not make the wait endless', async t => {
  const clock = stopClock(t)
  const own = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
  const identity = await app.cfAccess.verify(own.userToken({ email: 'a@acme.com', audience: AUD }))
  own.outage('error', 'get-identity')
  await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' })
  own.outage(null)
  clock.now -= 3_600_000
  t.match(await detailsOf(identity), { email: 'a@acme.com' })
})

t.test('D-26 two hundred users at once ask a silent endpoint a bounded number of times, without a warning', async t => {
  const own = await startTeam(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: own.domain, audience: AUD, recheck: '1m', details: { timeout: '10m' } })
  app.get('/', async () => 'in')
  await app.ready()
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const held: ServerResponse[] = []
  own.outage((_request, response) => { held.push(response) }, 'get-identity')
  const answers = Array.from({ length: 200 }, async (_, i) =>
    await app.inject({ url: '/', headers: bearing(own.userToken({ email: `user${i}@acme.com`, audience: AUD })) }))
  await until(() => held.length === 32)
  for (const response of held) response.writeHead(503).end()
  const got = await Promise.all(answers)
  t.ok(got.every(({ statusCode, headers }) => statusCode === 503 && headers['retry-after'] === '1'))
  t.equal(askedOf(own), 32)
  t.strictSame(warnings, [])
})

t.test('D-26 once the wait is over one request finds out for all', async t => {
  const clock = stopClock(t)
  t.intercept(Math, 'random', { value: () => 1 - Number.EPSILON }) // no jitter
  const own = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD })
  const identities =
    await Promise.all(['a', 'b', 'c'].map(async name => await app.cfAccess.verify(own.userToken({
      email: `${name}@acme.com`,
      audience: AUD
    }))))
  const askAll =
    async (): Promise<string[]> => (await Promise.allSettled(identities.map(detailsOf))).map(({ status }) => status)
  own.outage('error', 'get-identity')
  await t.rejects(detailsOf(identities[0]!), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' })
  clock.now += 500
  t.strictSame(await askAll(), ['rejected', 'rejected', 'rejected'])
  t.equal(askedOf(own), 2, 'its failure is the others\'')
  clock.now += 1000
  own.outage(null)
  t.strictSame(await askAll(), ['fulfilled', 'fulfilled', 'fulfilled'])
  t.equal(askedOf(own), 5, 'its success lets the others go on')
})

t.test('requests to get-identity wait in order', async t => {
  const own = await startTeam(t)
  const app = createApp(t)
  const asked: string[] = []
  const recording: CfAccessOptions['fetch'] = async (url, init) => {
    if (url.endsWith(IDENTITY_PATH)) asked.push(new Headers(init.headers).get('cookie')!)
    return await fetch(url, init)
  }
  await app.register(cfAccess, { teamDomain: own.domain, audience: AUD, fetch: recording })
  const tokens = Array.from({ length: 40 }, (_, i) => own.userToken({ email: `user${i}@acme.com`, audience: AUD }))
  const identities = await Promise.all(tokens.map(async token => await app.cfAccess.verify(token)))
  await Promise.all(identities.map(detailsOf))
  t.strictSame(asked, tokens.map(token => `CF_Authorization=${token}`))
})

t.test('D-26 trouble with one token keeps no other user waiting', async t => {
  const answers: Record<string, Outage> = {
    'too much': 'huge',
    'no JSON': (_request, response) => { response.end('x') },
    'another identity': (_request, response) => { response.end('{"email":"bob@acme.com"}') },
    'status 400 and a page': (_request, response) => { response.writeHead(400).end('<p>Request Header Or Cookie Too Large') },
    ...Object.fromEntries([413, 414, 431].map((status): [string, Outage] =>
      [`status ${status}`, (_request, response) => { response.writeHead(status).end() }]))
  }
  t.teardown(() => team.outage(null))
  for (const [name, outage] of Object.entries(answers)) {
    const app = createApp(t)
    await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    const [odd, other] =
      await Promise.all(['odd', 'other'].map(async jti => await app.cfAccess.verify(user({}, { claims: { jti } }))))
    team.outage(outage, 'get-identity')
    t.equal(await cost(async () => {
      await t.rejects(detailsOf(odd!), { statusCode: 503, retryAfter: 1 } as unknown as Error, name)
      await t.rejects(detailsOf(odd!), { statusCode: 503, retryAfter: 1 } as unknown as Error, name)
    }), 1, `${name}: and is remembered`)
    team.outage(null)
    t.match(await detailsOf(other!), { email: 'alice@acme.com' }, name)
  }
})

const answering =
  (status: number, text = ''): Outage => (_request, response) => { response.writeHead(status).end(text) }

const ERR = '{"err":"unable to find app token"}'

/** Only these mean that the session is over. */
const REVOCATIONS: ReadonlyArray<readonly [status: number, text: string]> = [[400, ERR], [400, '{"err":""}'], [401, ''],
  [401, ERR], [401, '<p>']]

/** These say nothing about the session. */
const FAILURES: ReadonlyArray<readonly [status: number, text: string]> = [
  [400, ''], [400, '<p>Bad Request'], [400, '{}'], [400, '{"err":null}'], [400, '{"err":7}'], [400, '["err"]'], [400, '"err"'], [400, 'null'],
  [200, ERR], [201, ERR], [202, '{"email":"alice@acme.com"}'], [302, ERR], ...[403, 404, 409, 410, 418, 421, 429, 500, 501, 502, 503, 504, 520, 522].map(status => [status, ERR] as const),
  [404, '<p>'], [429, ''], [503, '{"err":"down"}']
]

t.test('P-24 only status 400 with an error, and 401, mean that the session is over', async t => {
  t.teardown(() => team.outage(null))
  for (const token of [user(), team.serviceToken({ clientId: CLIENT_ID, audience: AUD })]) {
    for (const [status, text] of REVOCATIONS) {
      const app = createApp(t)
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
      const identity = await app.cfAccess.verify(token)
      team.outage(answering(status, text), 'get-identity')
      await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID', statusCode: 401, reason: 'revoked' },
        `${status} ${text}`)
      t.not(await app.cfAccess.verify(token), identity, `${status} ${text}: no longer remembered`)
    }
  }
})

t.test('P-24 M-10 M-18 any other trouble is 503, and the token stays remembered', async t => {
  t.teardown(() => team.outage(null))
  for (const token of [user(), team.serviceToken({ clientId: CLIENT_ID, audience: AUD })]) {
    for (const [status, text] of FAILURES) {
      const app = createApp(t)
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
      const identity = await app.cfAccess.verify(token)
      team.outage(answering(status, text), 'get-identity')
      await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', statusCode: 503 },
        `${status} ${text}`)
      t.equal(await app.cfAccess.verify(token), identity, `${status} ${text}: still remembered`)
    }
  }
})

t.test('M-18 an answer with err: null is an answer', async t => {
  t.match(await detailsOf(await identityOf(t, user({ err: null }))), { email: 'alice@acme.com' })
})

t.test('M-10 a policy function that calls details() of a revoked token gives 401', async t => {
  const app = createApp(t)
  app.register(cfAccess, {
    teamDomain: team.domain,
    audience: AUD,
    policy: async identity => Boolean(await identity.details())
  })
  app.get('/', async () => 'in')
  const token = user()
  team.revoke(token)
  const response = await app.inject({ url: '/', headers: bearing(token) })
  t.equal(response.statusCode, 401)
  t.equal(response.json().code, 'FST_CF_ACCESS_TOKEN_INVALID')
})

t.test('a token found revoked leaves the cache', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const token = user()
  const identity = await app.cfAccess.verify(token)
  t.equal(await app.cfAccess.verify(token), identity)
  team.revoke(token)
  await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  t.not(await app.cfAccess.verify(token), identity)
})

t.test('without recheck only details() asks Access', async t => {
  t.equal(await cost(async () => await identityOf(t, user())), 0)
})

t.test('recheck notices a revoked session', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m' })
  app.get('/', async () => 'in')
  for (const token of [user(), team.serviceToken({ clientId: CLIENT_ID, audience: AUD })]) {
    const ask = async (): Promise<number> => (await app.inject({ url: '/', headers: bearing(token) })).statusCode
    t.equal(await cost(async () => t.equal(await ask(), 200)), 1)
    now += 59_999
    t.equal(await cost(async () => t.equal(await ask(), 200)), 0)
    team.revoke(token)
    t.equal(await ask(), 200)
    now += 1
    t.equal(await ask(), 401)
    t.equal(await cost(async () => t.equal(await ask(), 401)), 0, 'and is remembered')
  }
})

t.test('recheck rejects while Access is unavailable', async t => {
  t.teardown(() => team.outage(null))
  team.outage('down', 'get-identity')
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m' })
  app.get('/', async () => 'in')
  const response = await app.inject({ url: '/', headers: bearing(user()) })
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '1')
})

t.test('D-24 a confirmation is kept as long as its token is cached, however many users there are', async t => {
  const clock = stopClock(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m', details: { max: 1 } })
  app.get('/', async () => 'in')
  const tokens = Array.from({ length: 20 }, (_, i) => user({}, { claims: { jti: i } }))
  const askAll = async (): Promise<void> => {
    for (const token of tokens) t.equal((await app.inject({ url: '/', headers: bearing(token) })).statusCode, 200)
  }
  t.equal(await cost(askAll), 20)
  const cached: boolean[] = []
  const onVerify = (message: { cached: boolean }): void => { cached.push(message.cached) }
  channels.verify.subscribe(onVerify)
  t.teardown(() => channels.verify.unsubscribe(onVerify))
  clock.now += 59_999
  t.equal(await cost(askAll), 0)
  t.strictSame(cached, Array(20).fill(true), 'at once, from memory')
  clock.now += 1
  t.equal(await cost(askAll), 20)
})

t.test('D-24 an answer of details() confirms its token too', async t => {
  const clock = stopClock(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m', details: { maxAge: '10s' } })
  const token = user()
  const identity = await app.cfAccess.verify(token)
  clock.now += 50_000
  t.equal(await cost(async () => await detailsOf(identity)), 1)
  clock.now += 59_999
  t.equal(await cost(async () => await app.cfAccess.verify(token)), 0)
  clock.now += 1
  t.equal(await cost(async () => await app.cfAccess.verify(token)), 1)
})

t.test('D-24 an answer from memory makes its token\'s confirmation no younger', async t => {
  const clock = stopClock(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '30s', details: { maxAge: '1m' } })
  const token = user()
  const identity = await app.cfAccess.verify(token)
  clock.now += 20_000
  t.equal(await cost(async () => await detailsOf(identity)), 0)
  clock.now += 9_999
  t.equal(await cost(async () => await app.cfAccess.verify(token)), 0)
  clock.now += 1
  t.equal(await cost(async () => await app.cfAccess.verify(token)), 1)
})

t.test('D-24 with cache: false confirmations are among the answers that details.max bounds', async t => {
  for (const [max, asked] of [[2, 0], [1, 2]] as const) {
    const app = createApp(t)
    await app.register(cfAccess, {
      teamDomain: team.domain,
      audience: AUD,
      recheck: '1m',
      cache: false,
      details: { max }
    })
    const tokens = ['a', 'b'].map(jti => user({}, { claims: { jti } }))
    const askAll = async (): Promise<void> => { for (const token of tokens) await app.cfAccess.verify(token) }
    t.equal(await cost(askAll), 2)
    t.equal(await cost(askAll), asked, `details.max: ${max}`)
  }
})

t.test('a clock set back does not keep a confirmation fresh', async t => {
  const clock = stopClock(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m' })
  const token = user({}, { issuedIn: '-2h' })
  await app.cfAccess.verify(token)
  clock.now -= 3_600_000
  t.equal(await cost(async () => await app.cfAccess.verify(token)), 1)
})

t.test('X-23 no error of a custom fetch puts a token into a log', async t => {
  const token = user()
  const [header = '', payload = '', signature = ''] = token.split('.')
  const quotes: Array<[string, Error]> = [
    ['whole', new Error(`request failed: cookie: CF_Authorization=${token}; accept: application/json`)],
    ['in its cause', new Error('fetch failed', { cause: new Error(`bad header "CF_Authorization=${token}"`) })],
    ['in parts', new Error(`header ${header} payload ${payload} signature ${signature}`)],
    ['cut', new Error(`cookie: ${token.slice(0, 60)}…, ${token.slice(-60)}`)],
    ['wrapped', new Error(token.replace(/(.{40})/g, '$1\n'))],
    ['as JSON', new Error(JSON.stringify({ headers: { cookie: `CF_Authorization=${token}` } }))],
    ['far behind', new Error(`${'x '.repeat(499)}${token}`)]
  ]
  for (const [name, error] of quotes) {
    const lines: string[] = []
    const app = createApp(t, { logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
    const own = async (url: string, init: RequestInit): Promise<Response> => {
      if (url.endsWith(IDENTITY_PATH)) throw error
      return await fetch(url, init)
    }
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: '1m', fetch: own })
    app.get('/', async () => 'in')
    t.equal((await app.inject({ url: '/', headers: bearing(token) })).statusCode, 503, name)
    const log = lines.join('')
    t.match(log, /FST_CF_ACCESS_IDENTITY_UNAVAILABLE/, name)
    const parts = Array.from({ length: token.length - 7 }, (_, i) => token.slice(i, i + 8))
    t.notOk(parts.some(part => log.includes(part)), name)
  }
})

t.test('X-23 an error that quotes no token is reported unchanged', async t => {
  const identity = await identityOf(t, user(), {
    fetch: async (url, init) => {
      if (url.endsWith(IDENTITY_PATH)) {
        throw new Error('fetch failed', { cause: new Error('getaddrinfo ENOTFOUND acme.cloudflareaccess.com') })
      }
      return await fetch(url, init)
    }
  })
  await t.rejects(detailsOf(identity),
    { reason: 'fetch failed: getaddrinfo ENOTFOUND acme.cloudflareaccess.com' } as unknown as Error)
})

t.test('a question under way ends with the application', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const identity = await app.cfAccess.verify(user())
  const asked = new Promise<void>(resolve => team.outage(() => resolve(), 'get-identity'))
  t.teardown(() => team.outage(null))
  const details = t.rejects(detailsOf(identity), {
    code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE',
    reason: 'the application closed'
  })
  await asked
  await app.close()
  await details
})

t.test('the raw token is nowhere but in forwardHeaders()', async t => {
  const token = user()
  const identity = await identityOf(t, token)
  const details = await identity.details()
  t.strictSame(identity.forwardHeaders(), { 'Cf-Access-Token': token })
  for (const text of [JSON.stringify(identity), inspect(identity, { depth: Infinity, showHidden: true, getters: true }),
    inspect(details, { depth: Infinity })]) {
    t.notOk(token.split('.').some(part => text.includes(part)))
  }
})

t.test('forwardHeaders() carries the identity on to another application', async t => {
  const upstream = createApp(t)
  upstream.get('/', async request => request.headers['cf-access-token'])
  const origin = await upstream.listen({ port: 0, host: '127.0.0.1' })
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async request => await (await fetch(origin, { headers: request.cfAccess!.forwardHeaders() })).text())
  const token = user()
  t.equal((await app.inject({ url: '/', headers: bearing(token) })).body, token)
})

t.test('the team emulator answers for its own tokens only', async t => {
  const strangers = await startTeam(t)
  const ask = async (cookie?: string): Promise<Response> =>
    await fetch(team.domain + IDENTITY_PATH, { headers: cookie === undefined ? {} : { cookie } })
  t.equal((await ask(`other=1; CF_Authorization=${user()}`)).status, 200)
  for (const cookie of [undefined, 'CF_Authorization=', 'CF_Authorization=x.y.z',
    `CF_Authorization=${user({}, { expiresIn: '-1m' })}`,
    `CF_Authorization=${strangers.userToken({ email: 'alice@acme.com', audience: AUD })}`]) {
    const response = await ask(cookie)
    t.equal(response.status, 400)
    t.match(await response.json(), { err: String })
  }
})

t.test('M-14 a clock set back does not keep a confirmation fresh', async t => {
  const clock = stopClock(t)
  const own = await startTeam(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: own.domain, audience: AUD, recheck: '1m' })
  app.get('/', async () => 'in')
  const token = own.userToken({ email: 'a@acme.com', audience: AUD })
  const request = { url: '/', headers: bearing(token) }
  t.equal((await app.inject(request)).statusCode, 200)
  own.revoke(token)
  t.equal((await app.inject(request)).statusCode, 200, 'confirmed a moment ago')
  clock.now -= 3_600_000
  t.equal((await app.inject(request)).statusCode, 401)
})
