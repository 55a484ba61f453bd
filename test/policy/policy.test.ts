import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { cfAccess, guard, policy, type CfAccessIdentity, type CfAccessPolicy } from '../../lib/index.js'
import type { AccessTeam } from '../../lib/testing/index.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

let team: AccessTeam
t.before(async () => { team = await startTeam(t) })

const user = (email: string, claims = {}): string => team.userToken({ email, audience: AUD, claims })
const known = (identity: Record<string, unknown>): string => team.userToken({
  email: 'a@acme.com',
  audience: AUD,
  identity
})
const service = (clientId = CLIENT_ID): string => team.serviceToken({ clientId, audience: AUD })
const certificate = (): string => team.certificateToken({ commonName: 'printer', audience: AUD })

/** Asks one policy in each of the three places a policy can stand; they must agree. */
async function ask (t: Test, policy: CfAccessPolicy, token: string): Promise<number> {
  const app = createApp(t)
  app.register(async scope => {
    await scope.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy })
    scope.get('/registration', async () => 'in')
  })
  app.register(async scope => {
    await scope.register(cfAccess, { teamDomain: team.domain, audience: AUD })
    scope.get('/config', { config: { cfAccess: policy } }, async () => 'in')
    scope.get('/guard', { preHandler: guard(policy) }, async () => 'in')
  })
  const answers = await Promise.all(['/registration', '/config', '/guard'].map(url => app.inject({
    url,
    headers: bearing(token)
  })))
  const [first, ...others] = answers
  for (const other of others) t.equal(other.body, first!.body, 'the three places agree')
  return first!.statusCode
}

async function expectAllowed (t: Test, policy: CfAccessPolicy, ...tokens: string[]): Promise<void> {
  for (const token of tokens) t.equal(await ask(t, policy, token), 200)
}

async function expectDenied (t: Test, policy: CfAccessPolicy, ...tokens: string[]): Promise<void> {
  for (const token of tokens) t.equal(await ask(t, policy, token), 403)
}

t.test('without include, every verified user, service and certificate is admitted', async t => {
  await expectAllowed(t, { exclude: { email: 'mallory@acme.com' } }, user('a@acme.com'), service(), certificate())
})

t.test('P-01 email allows the listed users, ignoring case', async t => {
  const policy = { include: { email: ['a@acme.com', 'B@acme.com'] } }
  await expectAllowed(t, policy, user('a@acme.com'), user('A@ACME.com'), user('b@acme.com'))
  await expectDenied(t, policy, user('c@acme.com'), user('a@acme.com.evil'), user('xa@acme.com'),
    user('\u0430@acme.com'),
    service(), certificate())
})

t.test('P-01 email: true admits any user, and no service or certificate', async t => {
  await expectAllowed(t, { include: { email: true } }, user('a@acme.com'), user('b@elsewhere.example'))
  await expectDenied(t, { include: { email: true } }, service(), certificate())
})

t.test('P-02 emailDomain compares the whole domain', async t => {
  const policy = { include: { emailDomain: 'kacme.com' } }
  await expectAllowed(t, policy, user('a@kacme.com'), user('A@KACME.com'))
  await expectDenied(t, policy, user('a@sub.kacme.com'), user('a@kacme.com.evil'), user('a@evilkacme.com'),
    user('a@kacme.com.'),
    user('a@k\u0430cme.com'), user('a@\u212Aacme.com'), service(), certificate())
})

t.test('P-03 an address with more or less than one @ is in no domain', async t => {
  const policy = { include: { emailDomain: 'acme.com' } }
  await expectDenied(t, policy, user('x@evil.com@acme.com'), user('"x@y"@acme.com'), user('acme.com'),
    user('no-address'))
  await expectDenied(t, { exclude: { emailDomain: 'evil.com' } }, user('x@evil.com@acme.com'), user('no-address'))
})

t.test('P-01 serviceToken admits the services it names, or any', async t => {
  await expectAllowed(t, { include: { serviceToken: CLIENT_ID } }, service())
  await expectDenied(t, { include: { serviceToken: CLIENT_ID } }, service('other.access'), user('a@acme.com'),
    certificate())
  await expectAllowed(t, { include: { serviceToken: true } }, service(), service('other.access'))
  await expectDenied(t, { include: { serviceToken: true } }, user('a@acme.com'), certificate())
})

t.test('country admits where Access says a user is', async t => {
  const policy = { require: { country: ['de', 'FR'] } }
  await expectAllowed(t, policy, user('a@acme.com'), user('a@acme.com', { country: 'FR' }))
  await expectDenied(t, policy, user('a@acme.com', { country: 'US' }), user('a@acme.com', { country: undefined }),
    service(),
    certificate())
})

t.test('P-04 an exclude that cannot be answered rejects', async t => {
  const policy = { exclude: { country: 'US' } }
  await expectAllowed(t, policy, user('a@acme.com'))
  await expectDenied(t, policy, user('a@acme.com', { country: 'US' }), user('a@acme.com', { country: undefined }),
    service())
})

t.test('commonName admits the certificates it names, or any', async t => {
  await expectAllowed(t, { include: { commonName: ['printer', 'scanner'] } }, certificate())
  await expectDenied(t, { include: { commonName: 'scanner' } }, certificate(), service(), user('printer@acme.com'))
  await expectAllowed(t, { include: { commonName: true } }, certificate())
  await expectDenied(t, { include: { commonName: true } }, service(), user('a@acme.com'))
})

t.test('group admits the users of a group, by its ID, its name or its e-mail address', async t => {
  const policy = { include: { group: ['admins', 'Ops@acme.com'] } }
  await expectAllowed(t, policy, known({ groups: ['users', 'Admins'] }), known({ groups: [{ id: 'admins' }] }),
    known({ groups: [{ id: '7', name: 'admins' }] }),
    known({ groups: [{ name: 'Operations', email: 'ops@acme.com' }] }))
  await expectDenied(t, policy, known({ groups: [] }), known({ groups: null }), known({ groups: undefined }),
    known({ groups: ['admins2', 'xadmins', ''] }),
    known({ groups: ['\u0430dmins'] }), known({ groups: [{ id: null, name: '' }] }), service(), certificate())
})

t.test('a token\'s own groups count for nothing', async t => {
  const claims = { groups: ['admins'], custom: { groups: ['admins'] } }
  await expectDenied(t, { include: { group: 'admins' } }, user('a@acme.com', claims))
})

t.test('P-04 unknown groups are not the same as no groups', async t => {
  const policy = { exclude: { group: 'contractors' } }
  await expectAllowed(t, policy, known({ groups: [] }), known({ groups: ['staff'] }), service(), certificate())
  await expectDenied(t, policy, known({ groups: ['contractors'] }), known({ groups: undefined }))
})

t.test('identityProvider admits by the provider\'s ID or kind', async t => {
  const idp = { id: 'b9f4d68e-0000-4000-8000-000000000000', type: 'azureAD' }
  await expectAllowed(t, { require: { identityProvider: 'azuread' } }, known({ idp }))
  await expectAllowed(t, { require: { identityProvider: idp.id } }, known({ idp }))
  await expectDenied(t, { require: { identityProvider: 'okta' } }, known({ idp }), known({ idp: undefined }),
    known({ idp: {} }), service())
  await expectDenied(t, { exclude: { identityProvider: 'okta' } }, known({ idp: { type: 'okta' } }),
    known({ idp: undefined }))
})

t.test('authMethod admits by how a user proved who they are', async t => {
  await expectAllowed(t, { require: { authMethod: ['mfa', 'hwk'] } }, known({ amr: ['pwd', 'mfa'] }))
  await expectDenied(t, { require: { authMethod: 'mfa' } }, known({ amr: ['pwd'] }), known({ amr: [] }),
    known({ amr: undefined }), service())
})

t.test('claim compares claims by name and path, strictly', async t => {
  const token = user('a@acme.com', {
    level: 7,
    admin: true,
    custom: {
      department: 'Finance',
      roles: ['reader', 'writer'],
      'https://acme.com/role': 'lead',
      deep: { er: { still: 'x' } },
      a: { b: 'x' },
      '': { b: 'x' },
      customs: 'x'
    }
  })
  for (const claim of [{ level: 7 }, { level: [6, 7] }, { admin: true }, { 'custom.department': 'Finance' },
    { 'custom.roles': 'writer' },
    { 'custom.https://acme.com/role': 'lead' }, { 'custom.deep.er.still': 'x' }, { 'custom.a.b': 'x' },
    { level: 0, admin: true }]) {
    await expectAllowed(t, { include: { claim } }, token)
  }
  for (const claim of [{ level: '7' }, { level: true }, { admin: 'true' }, { admin: 1 },
    { 'custom.department': 'finance' }, { 'custom.roles': 'admin' },
    { 'custom.roles.0': 'reader' }, { 'custom.roles.length': 2 }, { custom: 'Finance' }, { 'custom.deep': 'x' },
    { 'level.x': 7 }, { '.level': 7 }, { 'custom.': 'x' }, { 'custom..b': 'x' }, { customs: 'x' }]) {
    await expectDenied(t, { include: { claim } }, token)
  }
  await expectAllowed(t, { require: { claim: { level: 7, admin: true } } }, token)
  await expectDenied(t, { require: { claim: { level: 7, admin: false } } }, token)
})

t.test('P-06 only own members of the claims count', async t => {
  const token = user('a@acme.com', { custom: {} })
  // eslint-disable-next-line no-extend-native
  Object.defineProperty(Object.prototype, 'polluted', { value: 'Object', configurable: true })
  t.teardown(() => Reflect.deleteProperty(Object.prototype, 'polluted'))
  for (const path of ['__proto__', 'constructor', 'toString', 'constructor.name', 'custom.constructor.name',
    'custom.__proto__.x', 'hasOwnProperty', 'polluted', '__proto__.polluted', 'custom.polluted',
    'custom.__proto__.polluted']) {
    await expectDenied(t, { include: { claim: { [path]: ['Object', 'x', true] } } }, token)
    await expectDenied(t, { exclude: { claim: { [path]: 'Object' } } }, token)
  }
})

t.test('M-01 a policy that needs details for one rule keeps what another rule says', async t => {
  const policy = { include: { group: 'admins' }, exclude: { email: 'x@acme.com' } }
  await expectDenied(t, policy, known({ groups: ['staff'] }))
  await expectAllowed(t, policy, known({ groups: ['admins'] }))
  await expectDenied(t, policy, team.userToken({
    email: 'x@acme.com',
    audience: AUD,
    identity: { groups: ['admins'] }
  }))
  await expectDenied(t, {
    require: { authMethod: 'mfa', email: true },
    exclude: { group: 'contractors', country: 'US' }
  },
  known({ groups: [], amr: ['pwd'] }), known({ groups: ['contractors'], amr: ['mfa'] }))
})

t.test('M-02 neither order of two domains in one address is relied on', async t => {
  for (const email of ['x@acme.com@evil.com', 'x@evil.com@acme.com']) {
    for (const emailDomain of ['acme.com', 'evil.com']) {
      await expectDenied(t, { include: { emailDomain } }, user(email))
      await expectDenied(t, { exclude: { emailDomain } }, user(email))
    }
  }
})

t.test('M-18 lists that are changed after the start change no policy', async t => {
  const level = [7]
  const email = ['a@acme.com']
  const group: Array<{ id: string }> = [{ id: 'admins' }]
  const app = createApp(t)
  await app.register(cfAccess, {
    teamDomain: team.domain,
    audience: AUD,
    policy: { include: { claim: { level }, email, group } }
  })
  app.get('/', async () => 'in')
  await app.ready()
  level.push(8)
  email.push('b@acme.com')
  group[0]!.id = 'staff'
  const status =
    async (token: string): Promise<number> => (await app.inject({ url: '/', headers: bearing(token) })).statusCode
  t.equal(await status(user('b@acme.com', { level: 7 })), 200)
  t.equal(await status(user('b@acme.com', { level: 8 })), 403)
  t.equal(await status(team.userToken({ email: 'c@acme.com', audience: AUD, identity: { groups: [{ id: 'staff' }] } })),
    403)
})

t.test('a policy on the claim custom.groups is warned of', async t => {
  const warned = once(process, 'warning')
  guard({ include: { claim: { 'custom.groups': 'admins' } } })
  const [warning] = await warned
  t.match(warning, { name: 'CfAccessWarning', code: 'FST_CF_ACCESS_GROUPS_CLAIM', message: /selector "group"/ })
})

t.test('claims that Access can leave out are warned of, and no others', async t => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  for (const [rule, claim, selector] of [
    ['include', 'custom.groups', 'group'], ['require', 'custom.groups.all', 'group'], ['exclude', 'custom.groups', 'group'],
    ['exclude', 'custom.department', 'attribute'], ['exclude', 'custom.groupsize', 'attribute'],
    ['include', 'custom.department', null], ['require', 'custom.groupsize', null], ['exclude', 'level', null],
    ['include', 'x.custom.groups', null], ['exclude', 'x.custom.', null]
  ] as const) {
    guard({ [rule]: { claim: { [claim]: 'x' } } } as unknown as CfAccessPolicy)
    await nextTurn()
    const told = warnings.splice(0).map(({ name, message }) => [name, /use the selector "(.*)"\.$/.exec(message)?.[1]])
    t.strictSame(told, selector === null ? [] : [['CfAccessWarning', selector]], `${rule} ${claim}`)
  }
})

t.test('details are fetched only if no other selector decides', async t => {
  const before = team.requests.length
  await expectAllowed(t, { include: { email: 'a@acme.com', group: 'admins' } }, user('a@acme.com'))
  await expectDenied(t, { include: { group: 'admins' }, exclude: { email: 'a@acme.com' } }, user('a@acme.com'))
  await expectDenied(t, { require: { emailDomain: 'elsewhere.example', group: 'admins' } }, user('a@acme.com'))
  t.notOk(team.requests.slice(before).some(({ path }) => path.includes('get-identity')))
  await expectAllowed(t, { include: { group: 'admins' } }, known({ groups: ['admins'] }))
  t.ok(team.requests.slice(before).some(({ path }) => path.includes('get-identity')))
})

t.test('P-08 a policy that cannot be decided without Access rejects with 503', async t => {
  team.outage('error', 'get-identity')
  t.teardown(() => team.outage(null))
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/rules', { config: { cfAccess: { exclude: { group: 'contractors' } } } }, async () => 'in')
  app.get('/predicate', { config: { cfAccess: async identity => Boolean(await identity.details()) } }, async () => 'in')
  for (const url of ['/rules', '/predicate']) {
    const response = await app.inject({ url, headers: bearing(known({ groups: [] })) })
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE')
    t.match(response.headers['retry-after'], /^[1-9]\d*$/)
  }
})

t.test('include needs one matching selector, require needs all, exclude needs none', async t => {
  const policy = {
    include: { emailDomain: 'acme.com', serviceToken: true },
    require: { country: 'DE', email: true },
    exclude: { email: 'mallory@acme.com' }
  } as const
  await expectAllowed(t, policy, user('a@acme.com'))
  await expectDenied(t, policy, user('a@elsewhere.example'), user('a@acme.com', { country: 'FR' }), service(),
    user('mallory@acme.com'))
})

t.test('a predicate admits by true, or a promise of it', async t => {
  await expectAllowed(t, identity => identity.kind === 'user', user('a@acme.com'))
  await expectAllowed(t, async identity => identity.kind === 'user', user('a@acme.com'))
  const thenable = { then: (resolve: (value: boolean) => void) => resolve(true) }
  await expectAllowed(t, () => thenable as unknown as Promise<boolean>, user('a@acme.com'))
  await expectDenied(t, identity => identity.kind === 'user', service())
  await expectDenied(t, async identity => identity.kind === 'user', service())
})

t.test('P-07 only true allows', async t => {
  for (const answer of [undefined, null, 1, 'yes', {}, [], Promise.resolve('true'),
    { then: (resolve: (value: unknown) => void) => resolve(1) }]) {
    await expectDenied(t, () => answer as unknown as boolean, user('a@acme.com'))
  }
})

t.test('P-07 a policy function that throws anything rejects with 500, and the client gets only the code', async t => {
  for (const thrown of [new Error('secret'), undefined, null, 'secret', { statusCode: 200 }]) {
    for (const predicate of [() => { throw thrown }, async () => { throw thrown }]) {
      const app = createApp(t)
      app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy: predicate })
      app.get('/', async () => 'in')
      const response = await app.inject({ url: '/', headers: bearing(user('a@acme.com')) })
      t.equal(response.statusCode, 500)
      t.equal(response.json().code, 'FST_CF_ACCESS_POLICY_FAILED')
      t.notMatch(response.body, /secret/)
    }
  }
})

t.test('a policy function gets the identity and the request', async t => {
  const app = createApp(t)
  const asked: Array<[string, FastifyRequest]> = []
  const policy: CfAccessPolicy =
    (identity, request) => { asked.push([identity.kind, request]); return request.method === 'GET' }
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy })
  app.all('/', async () => 'in')
  t.equal((await app.inject({ url: '/', headers: bearing(service()) })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/', headers: bearing(service()) })).statusCode, 403)
  t.strictSame(asked.map(([kind]) => kind), ['service', 'service'])
})

t.test('P-12 both the registration and the route have to allow', async t => {
  for (const [first, second] of [[{ include: { emailDomain: 'acme.com' } }, { exclude: { email: 'b@acme.com' } }],
    [async () => true, { exclude: { email: 'b@acme.com' } }],
    [{ exclude: { email: 'b@acme.com' } }, async () => true]] as CfAccessPolicy[][]) {
    const app = createApp(t)
    app.register(async scope => {
      await scope.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy: first! })
      scope.get('/config', { config: { cfAccess: second! } }, async () => 'in')
      scope.get('/guard', { onRequest: guard(second!) }, async () => 'in')
    })
    for (const url of ['/config', '/guard']) {
      t.equal((await app.inject({ url, headers: bearing(user('a@acme.com')) })).statusCode, 200)
      t.equal((await app.inject({ url, headers: bearing(user('b@acme.com')) })).statusCode, 403)
    }
  }
})

t.test('H-04 P-10 a policy is evaluated again for a cached token, with the same answer each time', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  app.get('/a', { config: { cfAccess: { include: { email: 'a@acme.com' } } } }, async () => 'in')
  app.get('/b', { config: { cfAccess: { include: { email: 'b@acme.com' } } } }, async () => 'in')
  const headers = bearing(user('a@acme.com'))
  for (let i = 0; i < 100; i++) {
    t.equal((await app.inject({ url: i % 2 ? '/a' : '/b', headers })).statusCode, i % 2 ? 200 : 403)
  }
})

t.test('the log says which rule denied, the client does not', async t => {
  const policies = {
    include: { include: { email: 'alice@acme.com' } },
    'require.emailDomain': { require: { email: true, emailDomain: 'example.com' } },
    'exclude.email': { exclude: { emailDomain: 'example.com', email: 'mallory@acme.com' } }
  } as const
  for (const [rule, policy] of Object.entries(policies)) {
    const lines: Array<{ code?: string, reason?: string }> = []
    const app = createApp(t,
      { logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy })
    app.get('/', async () => 'in')
    const response = await app.inject({ url: '/', headers: bearing(user('mallory@acme.com')) })
    t.strictSame(response.json(), {
      statusCode: 403,
      code: 'FST_CF_ACCESS_FORBIDDEN',
      error: 'Forbidden',
      message: 'Cloudflare Access identity is not allowed here'
    })
    t.match(lines.filter(line => line.reason !== undefined),
      [{ code: 'FST_CF_ACCESS_FORBIDDEN', reason: 'policy', rule }])
  }
})

t.test('P-05 an invalid policy stops the start, and the error says why', async t => {
  const wrong: Array<[unknown, RegExp]> = [
    [undefined, / is undefined; it takes a policy \{ include, require, exclude \} or a function\.$/],
    [null, / is null; /],
    [true, / is true; /],
    ['a@acme.com', / is 'a@acme.com'; /],
    [[], / is \[\]; /],
    [{}, / is \{\}; it takes a policy/],
    [{ inclued: { email: true } }, /"inclued" is not known; did you mean "include"\?/],
    [{ include: {} }, /\.include is \{\}; it takes selectors/],
    [{ include: undefined }, /\.include is undefined; it takes selectors/],
    [{ include: { mail: 'a@acme.com' } }, /\.include, "mail" is not known; did you mean "email"\?/],
    [{ include: { email: [] } }, /\.include\.email is \[\]; it takes an e-mail address, a list of them, or true/],
    [{ include: { email: undefined } }, /\.include\.email is undefined;/],
    [{ include: { email: '' } }, /\.include\.email is '';/],
    [{ include: { email: ['a@acme.com', 7] } }, /\.include\.email is \[ 'a@acme.com', 7 \];/],
    [{ include: { email: 'acme.com' } }, /\.include\.email is 'acme.com';/],
    [{ require: { emailDomain: '@acme.com' } }, /\.require\.emailDomain is '@acme.com'; it takes a domain such as "acme\.com", without the "@"/],
    [{ include: { email: '*@acme.com' } }, /\.include\.email is '\*@acme\.com'; it takes .* no patterns: for a whole domain use emailDomain\.$/],
    [{ exclude: { email: ['a@acme.com', 'a*@acme.com'] } }, /\.exclude\.email is .* no patterns/],
    [{ exclude: { email: 'a@*.acme.com' } }, / no patterns/],
    [{ exclude: { email: 'a@acme.*' } }, / no patterns/],
    [{ exclude: { email: '*a@acme.com' } }, / no patterns/],
    [{ exclude: { email: '@acme.com' } }, /\.exclude\.email is '@acme\.com';/],
    [{ exclude: { email: 'a@' } }, /\.exclude\.email is 'a@';/],
    [{ exclude: { emailDomain: 'acme.*' } }, / no patterns/],
    [{ exclude: { emailDomain: '' } }, /\.exclude\.emailDomain is '';/],
    [{ exclude: { group: '*-contractors' } }, / no patterns/],
    [{ exclude: { serviceToken: '*7.access' } }, / no patterns/],
    [{ exclude: { serviceToken: '.access' } }, /\.exclude\.serviceToken is '\.access';/],
    [{ exclude: { serviceToken: '7.access.example' } }, /\.exclude\.serviceToken is '7\.access\.example';/],
    [{ require: { warp: false } }, /\.require\.warp is false; it takes true\.$/],
    [{ require: { gateway: 'true' } }, /\.require\.gateway is 'true'; it takes true\.$/],
    [{ exclude: { emailDomain: '*.acme.com' } }, /\.exclude\.emailDomain is '\*\.acme\.com'; .* no patterns/],
    [{ exclude: { emailDomain: '*' } }, / no patterns/],
    [{ exclude: { group: 'contractors-*' } }, /\.exclude\.group is .* no patterns/],
    [{ exclude: { group: { name: '*' } } }, / no patterns/],
    [{ exclude: { serviceToken: '*.access' } }, /\.exclude\.serviceToken is .* no patterns/],
    [{ exclude: { commonName: '*' } }, /\.exclude\.commonName is .* no patterns: "\*" only as the first label/],
    [{ exclude: { commonName: 'pump*' } }, / no patterns/],
    [{ exclude: { commonName: 'a.*.example.com' } }, / no patterns/],
    [{ exclude: { commonName: '*.' } }, / no patterns/],
    [{ exclude: { country: '*' } }, /\.exclude\.country is .* no patterns/],
    [{ exclude: { identityProvider: 'azure*' } }, /\.exclude\.identityProvider is .* no patterns/],
    [{ exclude: { authMethod: ['mfa', '*'] } }, /\.exclude\.authMethod is .* no patterns/],
    [{ include: { group: {} } }, /\.include\.group is \{\}; it takes a group's ID, name or e-mail address, \{ id \}, \{ name \} or \{ email \}/],
    [{ include: { group: null } }, /\.include\.group is null;/],
    [{ include: { group: [['admins']] } }, /\.include\.group is \[ \[Array\] \];/],
    [{ include: { group: [{ id: 'x' }, { title: 'x' }] } }, /\.include\.group is /],
    [{ include: { group: { id: 'x', name: 'x' } } }, /\.include\.group is \{ id: 'x', name: 'x' \};/],
    [{ include: { group: { id: 7 } } }, /\.include\.group is \{ id: 7 \};/],
    [{ include: { group: { email: 'admins' } } }, /\.include\.group is \{ email: 'admins' \};/],
    [{ include: { group: { name: ' ' } } }, /\.include\.group is \{ name: ' ' \};/],
    [{ require: { emailDomain: true } }, /\.require\.emailDomain is true;/],
    [{ exclude: { serviceToken: 'e367' } }, /\.exclude\.serviceToken is 'e367'; it takes a client ID, which ends in "\.access"/],
    [{ exclude: { country: 'Germany' } }, /\.exclude\.country is 'Germany'; it takes a two-letter country code/],
    [{ exclude: { country: /DE/g } }, /\.exclude\.country is \/DE\/g;/],
    [{ include: { group: [''] } }, /\.include\.group is \[ '' \]; it takes a group's ID, name or e-mail address/],
    [{ include: { group: true } }, /\.include\.group is true;/],
    [{ include: { commonName: ' ' } }, /\.include\.commonName is ' '; it takes a certificate's common name/],
    [{ include: { identityProvider: 7 } }, /\.include\.identityProvider is 7; it takes an identity provider's ID or kind/],
    [{ include: { authMethod: [] } }, /\.include\.authMethod is \[\]; it takes an authentication method/],
    [{ include: { claim: {} } }, /\.include\.claim is \{\}; it takes claims and their values/],
    [{ include: { claim: { level: [] } } }, /\.include\.claim\["level"\] is \[\]; it takes text, a number, true, false or a list of them/],
    [{ include: { claim: { level: NaN } } }, /\.include\.claim\["level"\] is NaN;/],
    [{ include: { claim: { level: { a: 1 } } } }, /\.include\.claim\["level"\] is /]
  ]
  for (const [policy, message] of wrong) {
    const app = createApp(t)
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy: policy as CfAccessPolicy })
    await t.rejects(async () => app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message })
    t.throws(() => guard(policy as CfAccessPolicy), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message })
  }
})

t.test('M-15 the registration\'s policy is evaluated first; when it denies, the route\'s is not evaluated', async t => {
  for (const global of [true, false]) {
    const lines: Array<{ code?: string, rule?: string }> = []
    const app = createApp(t,
      { logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
    let calls = 0
    const count: CfAccessPolicy = () => { calls++; return false }
    const policy = { exclude: { email: 'mallory@acme.com' } }
    app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy, global })
    app.get('/config', { config: { cfAccess: count } }, async () => 'in')
    app.get('/guard', { preHandler: guard(count) }, async () => 'in')
    for (const [i, url] of ['/config', '/guard'].entries()) {
      t.equal((await app.inject({ url, headers: bearing(user('mallory@acme.com')) })).statusCode, 403)
      t.equal(calls, i, 'not asked')
      t.equal((await app.inject({ url, headers: bearing(user('a@acme.com')) })).statusCode, 403)
      t.equal(calls, i + 1, 'asked once')
    }
    const rules = lines.filter(({ code }) => code !== undefined).map(({ rule }) => rule)
    t.strictSame(rules, ['exclude.email', 'predicate', 'exclude.email', 'predicate'])
  }
})

t.test('a compiled policy counts wherever a policy is taken', async t => {
  const admins = policy({ include: { email: 'root@acme.com' } })
  const [root, alice] = ['root@acme.com', 'alice@acme.com'].map(email => team.userToken({ email, audience: AUD }))
  for (const [name, declare] of Object.entries<(app: FastifyInstance) => unknown>({
    registration: async app => {
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, policy: admins })
      app.get('/', async () => 'in')
    },
    route: async app => {
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
      app.get('/', { config: { cfAccess: admins } }, async () => 'in')
    },
    'route options': async app => {
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
      app.get('/', { config: { cfAccess: { policy: admins } } }, async () => 'in')
    },
    guard: async app => {
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
      app.get('/', { onRequest: guard(admins) }, async () => 'in')
    }
  })) {
    const app = createApp(t)
    await declare(app)
    t.equal((await app.inject({ url: '/', headers: bearing(root!) })).statusCode, 200, name)
    t.equal((await app.inject({ url: '/', headers: bearing(alice!) })).statusCode, 403, name)
  }
})

t.test('a compiled policy answers in a handler', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  const verify = async (email: string, identity: Record<string, unknown> = {}): Promise<CfAccessIdentity> =>
    await app.cfAccess.verify(team.userToken({ email, audience: AUD, identity }))
  const admins = policy({ include: { group: 'admins' } })
  t.equal(await admins.allows(await verify('a@acme.com', { groups: ['admins'] })), true)
  t.equal(await admins.allows(await verify('b@acme.com', { groups: [] })), false)
  t.equal(await admins.allows(null), false, 'no identity')
  const asked: unknown[] = []
  const byRequest = policy<{ path: string }>((identity, request) => {
    asked.push(identity, request)
    return request.path === '/'
  })
  const alice = await verify('alice@acme.com')
  t.equal(await byRequest.allows(alice, { path: '/' }), true)
  t.equal(await byRequest.allows(alice, { path: '/x' }), false)
  t.strictSame(asked.slice(0, 2), [alice, { path: '/' }])
  t.equal(await byRequest.allows(null, { path: '/' }), false)
  await t.rejects(byRequest.allows(alice), { code: 'FST_CF_ACCESS_POLICY_FAILED' })
  team.outage('error', 'get-identity')
  t.teardown(() => team.outage(null))
  const carol = await verify('c@acme.com')
  await t.rejects(admins.allows(carol), { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, 'never yes')
})

t.test('a compiled policy stays as it was compiled', async t => {
  const rules = { include: { email: ['a@acme.com'] } }
  const compiled = policy(rules)
  rules.include.email.push('mallory@acme.com')
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, global: false })
  const mallory = await app.cfAccess.verify(team.userToken({ email: 'mallory@acme.com', audience: AUD }))
  t.equal(await compiled.allows(mallory), false)
  t.throws(() => { compiled.allows = async () => true }, TypeError)
  t.ok(Object.isFrozen(compiled))
  const impostors = [{ allows: async () => true }, Object.create(compiled), { ...compiled }, undefined, null, true, {}]
  for (const impostor of impostors) {
    t.throws(() => guard(impostor as never), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
    t.throws(() => policy(impostor as never), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /policy\(rules\)/ })
  }
})
