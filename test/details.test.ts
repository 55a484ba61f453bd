import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { cfAccess, type CfAccessDetails, type CfAccessIdentity, type CfAccessOptions } from '../lib/index.js'
import type { AccessTeam, Outage } from '../lib/testing/index.js'
import { AUD, bearing, createApp, startTeam } from './fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'
const IDENTITY_PATH = '/cdn-cgi/access/get-identity'

const team = await startTeam(t)

const person = (identity: Record<string, unknown> = {}, options = {}): string =>
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

t.test('a person\'s details are what Access knows of them', async t => {
  const posture = { f6f9391e: { type: 'disk_encryption', success: false } }
  const identity = await identityOf(t, person({
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

t.test('what Access does not tell of a person is undefined', async t => {
  const nothing = { name: undefined, user_uuid: '', groups: null, idp: undefined, amr: undefined, geo: undefined, devicePosture: undefined }
  const { answer, ...details } = await (await identityOf(t, person(nothing))).details()
  t.strictSame(details, {
    email: 'alice@acme.com', name: undefined, userId: undefined, groups: undefined, identityProvider: undefined, authMethods: undefined, country: undefined, devicePosture: undefined
  })
})

t.test('a machine\'s details have another shape', async t => {
  const service = await identityOf(t, team.serviceToken({ clientId: CLIENT_ID, audience: AUD }))
  t.match(await service.details(), { serviceTokenId: CLIENT_ID, commonName: undefined, answer: { service_token_status: true } })
  const certificate = await identityOf(t, team.certificateToken({ commonName: 'pump 7', audience: AUD }))
  t.match(await certificate.details(), { serviceTokenId: undefined, commonName: 'pump 7' })
})

t.test('details are deeply frozen', async t => {
  const details = await (await identityOf(t, person({ groups: [{ name: 'staff' }] }))).details() as any
  for (const change of [() => { details.email = 'x' }, () => { details.groups[0].name = 'x' }, () => { details.answer.groups.push('x') }]) {
    t.throws(change, TypeError)
  }
})

t.test('only the token is sent, as the one cookie', async t => {
  const token = person()
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async request => (await request.cfAccess!.details()).answer)
  const headers = { ...bearing(token), authorization: 'Bearer secret', cookie: 'session=secret', 'x-secret': 'secret' }
  t.equal((await app.inject({ url: '/', headers })).statusCode, 200)
  const asked = team.requests.findLast(({ path }) => path === IDENTITY_PATH)!
  t.equal(asked.method, 'GET')
  t.equal(asked.headers.cookie, `CF_Authorization=${token}`)
  t.notMatch(JSON.stringify(asked.headers), /secret/)
})

t.test('one question at a time, remembered for maxAge', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const identity = await identityOf(t, person(), { details: { maxAge: 10_000 } })
  t.equal(await cost(async () => await Promise.all([identity.details(), identity.details(), identity.details()])), 1)
  now += 9_999
  t.equal(await cost(async () => await detailsOf(identity)), 0)
  now += 1
  t.equal(await cost(async () => await detailsOf(identity)), 1)
})

t.test('P-09 nothing is remembered beyond the token\'s own end', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const identity = await identityOf(t, person({}, { expiresIn: 5 }))
  t.equal(await cost(async () => await detailsOf(identity)), 1)
  now += 6000
  t.equal(await cost(async () => await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })), 1, 'then Access decides')
})

t.test('P-09 two tokens of one person have details of their own', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  for (const name of ['Alice A', 'Alice B']) {
    const identity = await app.cfAccess.verify(person({ name }, { claims: { jti: name } }))
    t.match(await detailsOf(identity), { name })
  }
})

t.test('details.max bounds what is remembered', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, details: { max: 1 } })
  const [first, second] = await Promise.all(['a', 'b'].map(async jti => await app.cfAccess.verify(person({}, { claims: { jti } }))))
  t.equal(await cost(async () => { await first!.details(); await second!.details(); await second!.details(); await first!.details() }), 3)
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

const BAD_MEMBERS: Array<Record<string, unknown>> = [
  { email: 'bob@acme.com' }, { email: undefined }, { email: 7 }, { name: 7 }, { groups: 'admins' }, { groups: {} }, { groups: [7] }, { groups: [null] },
  { groups: [{ name: 7 }] }, { groups: [['admins']] }, { idp: 'azureAD' }, { idp: { id: 7 } }, { idp: [] }, { amr: 'mfa' }, { amr: [7] },
  { geo: 'DE' }, { geo: { country: 7 } }, { devicePosture: [] }, { user_uuid: {} },
  { deep: JSON.parse('['.repeat(40) + ']'.repeat(40)) }
]

t.test('P-08 an answer that is none is not taken for one', async t => {
  t.teardown(() => team.outage(null))
  for (const [name, outage] of Object.entries(BAD_ANSWERS)) {
    team.outage(outage, 'get-identity')
    const identity = await identityOf(t, person(), { details: { timeout: 300 } })
    await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', statusCode: 503 }, name)
  }
  t.notOk(team.requests.some(({ path }) => path === '/elsewhere'), 'and a redirect is not followed')
})

t.test('P-08 an answer that is not as documented, or about somebody else, is not taken', async t => {
  for (const members of BAD_MEMBERS) {
    const identity = await identityOf(t, person(members))
    await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, inspect(members))
  }
  for (const identity of [{ service_token_id: 'other.access' }, { common_name: 'other' }, { email: 'alice@acme.com' }]) {
    const service = await identityOf(t, team.serviceToken({ clientId: CLIENT_ID, audience: AUD, identity: { service_token_id: '', ...identity } }))
    await t.rejects(detailsOf(service), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, inspect(identity))
  }
})

t.test('the case of an e-mail address does not make it another\'s', async t => {
  t.match(await detailsOf(await identityOf(t, person({ email: 'Alice@ACME.com' }))), { email: 'Alice@ACME.com' })
})

t.test('while Access fails it is asked once in five seconds for a token', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  t.teardown(() => team.outage(null))
  const identity = await identityOf(t, person())
  team.outage('error', 'get-identity')
  const fail = async (): Promise<unknown> => await t.rejects(detailsOf(identity), { statusCode: 503, retryAfter: 5, reason: 'the answer\'s status is 500' } as unknown as Error)
  t.equal(await cost(async () => { await fail(); await fail() }), 1)
  team.outage(null)
  now += 5000
  t.match(await detailsOf(identity), { email: 'alice@acme.com' })
})

const REFUSALS: Record<string, Outage> = {
  'status 400 and an error': (_request, response) => { response.writeHead(400).end('{"err":"no app token set"}') },
  'status 403 and an error': (_request, response) => { response.writeHead(403).end('{"err":"x"}') },
  'status 401': (_request, response) => { response.writeHead(401).end() },
  'status 200 and an error': (_request, response) => { response.end('{"err":"x"}') }
}

t.test('a token that Access accepts no longer is no good', async t => {
  t.teardown(() => team.outage(null))
  for (const [name, outage] of Object.entries(REFUSALS)) {
    team.outage(outage, 'get-identity')
    const identity = await identityOf(t, person())
    await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID', statusCode: 401, reason: 'revoked' }, name)
  }
})

t.test('a token found revoked leaves the cache', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const token = person()
  const identity = await app.cfAccess.verify(token)
  t.equal(await app.cfAccess.verify(token), identity)
  team.revoke(token)
  await t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
  t.not(await app.cfAccess.verify(token), identity)
})

t.test('without recheck nobody but details() asks Access', async t => {
  t.equal(await cost(async () => await identityOf(t, person())), 0)
})

t.test('recheck notices a revoked session', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: 60 })
  app.get('/', async () => 'in')
  for (const token of [person(), team.serviceToken({ clientId: CLIENT_ID, audience: AUD })]) {
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

t.test('recheck lets nobody in whom it cannot ask about', async t => {
  t.teardown(() => team.outage(null))
  team.outage('down', 'get-identity')
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, recheck: 60 })
  app.get('/', async () => 'in')
  const response = await app.inject({ url: '/', headers: bearing(person()) })
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '5')
})

t.test('a question under way ends with the application', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const identity = await app.cfAccess.verify(person())
  const asked = new Promise<void>(resolve => team.outage(() => resolve(), 'get-identity'))
  t.teardown(() => team.outage(null))
  const details = t.rejects(detailsOf(identity), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE', reason: 'the application closed' })
  await asked
  await app.close()
  await details
})

t.test('the raw token is nowhere but in forwardHeaders()', async t => {
  const token = person()
  const identity = await identityOf(t, token)
  const details = await identity.details()
  t.strictSame(identity.forwardHeaders(), { 'Cf-Access-Token': token })
  for (const text of [JSON.stringify(identity), inspect(identity, { depth: Infinity, showHidden: true, getters: true }), inspect(details, { depth: Infinity })]) {
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
  const token = person()
  t.equal((await app.inject({ url: '/', headers: bearing(token) })).body, token)
})

t.test('the stand-in team tells of its own tokens only', async t => {
  const strangers = await startTeam(t)
  const ask = async (cookie?: string): Promise<Response> => await fetch(team.domain + IDENTITY_PATH, { headers: cookie === undefined ? {} : { cookie } })
  t.equal((await ask(`other=1; CF_Authorization=${person()}`)).status, 200)
  for (const cookie of [undefined, 'CF_Authorization=', 'CF_Authorization=x.y.z', `CF_Authorization=${person({}, { expiresIn: -60 })}`,
    `CF_Authorization=${strangers.userToken({ email: 'alice@acme.com', audience: AUD })}`]) {
    const response = await ask(cookie)
    t.equal(response.status, 400)
    t.match(await response.json(), { err: String })
  }
})
