import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess } from '../lib/index.js'
import { AUD, bearing, createApp, startTeam } from './fixtures/index.js'

const GOOD = { teamDomain: 'acme', audience: AUD, fetch: neverAnswers }

// No key is needed to check options, and nothing may be asked of a real team.
async function neverAnswers (): Promise<Response> {
  throw new Error('not in a test')
}

async function start (t: Test, options: object): Promise<void> {
  const app = createApp(t)
  app.register(cfAccess, options as never)
  await app.ready()
}

function rejects (t: Test, options: object, message: RegExp): Promise<unknown> {
  return t.rejects(start(t, options), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message })
}

/** The address the keys are asked of, which shows what the team domain was read as. */
async function certsUrlOf (t: Test, teamDomain: string): Promise<string> {
  const app = createApp(t)
  const asked = new Promise<string>(resolve => {
    app.register(cfAccess, { teamDomain, audience: AUD, fetch: async url => { resolve(url); return neverAnswers() } })
  })
  await app.ready()
  return asked
}

t.test('S-01 a team domain is understood in each of its forms', async t => {
  const forms = {
    acme: 'https://acme.cloudflareaccess.com',
    ACME: 'https://acme.cloudflareaccess.com',
    'acme.cloudflareaccess.com': 'https://acme.cloudflareaccess.com',
    'https://acme.cloudflareaccess.com': 'https://acme.cloudflareaccess.com',
    'https://Acme.CloudflareAccess.com/': 'https://acme.cloudflareaccess.com',
    'acme.fed.cloudflareaccess.com': 'https://acme.fed.cloudflareaccess.com',
    'https://acme.fed.cloudflareaccess.com/': 'https://acme.fed.cloudflareaccess.com',
    'http://127.0.0.1:4000': 'http://127.0.0.1:4000',
    'http://localhost:4000/': 'http://localhost:4000',
    'https://[::1]:4000': 'https://[::1]:4000'
  }
  for (const [form, origin] of Object.entries(forms)) {
    t.equal(await certsUrlOf(t, form), `${origin}/cdn-cgi/access/certs`, form)
  }
})

t.test('S-02 S-03 S-04 only a team or a loopback address is a team domain', async t => {
  const impostors: unknown[] = [
    'https://acme.cloudflareaccess.com@evil.example', 'evil.example/acme', 'evil.example#', 'evil.example?',
    'acme/../x',
    'acme.cloudflareaccess.com.evil.example', 'https://evil.example#.cloudflareaccess.com', 'evilcloudflareaccess.com',
    'https://keys.evil.example/x.cloudflareaccess.com', 'https://evil.example?x=.cloudflareaccess.com', 'evil.example',
    'ac\tme', 'acme\n', ' acme', 'acme。cloudflareaccess。com', 'acme%2ecloudflareaccess.com', 'аcme', 'xn--', 'acme\\x',
    '//acme.cloudflareaccess.com', 'https:///acme.cloudflareaccess.com', 'acme.cloudflareaccess.com.',
    'acme.cloudflareaccess.com:443',
    'https://user@acme.cloudflareaccess.com', 'https://acme.cloudflareaccess.com/x',
    'https://acme.cloudflareaccess.com?x',
    'a.b.cloudflareaccess.com', 'x'.repeat(64), '-acme', 'acme-', '', '.', '.cloudflareaccess.com', null, undefined, {},
    7,
    'http://acme.cloudflareaccess.com', 'http://10.0.0.1', 'http://169.254.169.254', 'http://localhost.evil.example',
    'http://127.1',
    'http://0x7f.1', 'http://2130706433', 'http://[::ffff:127.0.0.1]', 'http://localhost.', 'http://127.0.0.1:99999',
    'http://127.0.0.1:80', 'http://127.0.0.1:4000/x', 'http://127.0.0.1:4000@evil.example', 'ftp://127.0.0.1'
  ]
  await start(t, GOOD)
  for (const teamDomain of impostors) {
    await rejects(t, { ...GOOD, teamDomain }, /^Option "teamDomain" is .*; it takes a team name/)
  }
})

t.test('S-04 production knows no team on loopback', async t => {
  const before = process.env['NODE_ENV']
  t.teardown(() => { if (before === undefined) delete process.env['NODE_ENV']; else process.env['NODE_ENV'] = before })
  const local = { ...GOOD, teamDomain: 'http://127.0.0.1:4000' }
  await start(t, local)
  process.env['NODE_ENV'] = 'production'
  await start(t, GOOD)
  await rejects(t, local, /teamDomain.*NODE_ENV=production/)
})

t.test('S-06 an audience is a tag or a list of tags', async t => {
  await start(t, { ...GOOD, audience: [AUD, 'b'] })
  for (const audience of ['', [], [''], ` ${AUD} `, 'a b', undefined, null, 7, [AUD, 7], true]) {
    await rejects(t, { ...GOOD, audience }, /^Option "audience" is .*; it takes the AUD tag/)
  }
})

t.test('S-06 a list that changes after the start changes nothing', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  const audience = [AUD]
  app.register(cfAccess, { teamDomain: team.domain, audience })
  app.get('/', async () => 'in')
  await app.ready()
  audience[0] = 'evil'
  t.equal((await app.inject(
    { url: '/', headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD })) })).statusCode, 200)
  t.equal((await app.inject(
    { url: '/', headers: bearing(team.userToken({ email: 'a@acme.com', audience: 'evil' })) })).statusCode, 401)
})

/** Each option that is a duration, with its bounds and a value just outside of each. */
const DURATIONS: ReadonlyArray<readonly [path: string, least: string, most: string, under: string, over: string]> = [
  ['clockTolerance', '0s', '5m', '-1ms', '301s'],
  ['maxTokenAge', '1s', '365d', '999ms', '366d'],
  ['recheck', '1s', '24d', '999ms', '25d'],
  ['keys.maxAge', '1ms', '24d', '0ms', '25d'],
  ['keys.maxStale', '1ms', '24d', '0s', '577h'],
  ['keys.cooldown', '1ms', '24d', '0m', '25d'],
  ['keys.timeout', '1ms', '24d', '0d', '34561m'],
  ['details.maxAge', '1ms', '24d', '0h', '25d'],
  ['details.timeout', '1ms', '24d', '-5s', '2073600001ms']
]

/** The options with one more, of which the path can have two parts. */
function withOption (path: string, value: unknown): object {
  const [outer, inner] = path.split('.') as [string, string?]
  if (inner === undefined) return { ...GOOD, [outer]: value }
  return { ...GOOD, [outer]: { ...(outer === 'keys' && { maxAge: '1ms', maxStale: '24d' }), [inner]: value } }
}

t.test('S-05 H-12 a duration is text with its unit, within bounds', async t => {
  const malformed = ['', '30', '30 s', ' 30s', '30s ', '30S', '3.5s', '1e3s', '+30s', '٣s', '30', '30w', 's', '30ss',
    '1h30m', '0'.repeat(12) + '1s',
    '30s\n', 'Infinitys', ['30s'], {}, true, null, undefined]
  for (const [path, least, most, under, over] of DURATIONS) {
    for (const value of [under, over, ...malformed]) {
      const message =
        new RegExp(`^Option "${path.replace('.', '\\.')}" is .*; it takes a duration from ${least} to ${most}, `, 's')
      await rejects(t, withOption(path, value), message)
    }
    for (const value of [least, most]) await start(t, withOption(path, value))
  }
})

t.test('S-05 a bare number says what to write', async t => {
  for (const [path, least, most] of DURATIONS) {
    await rejects(t, withOption(path, 60),
      new RegExp(`^Option "${path}" is 60; it takes a duration from ${least} to ${most}, with its unit: write "60s" or "60ms"\\.$`))
    for (const value of [NaN, Infinity, -1, 0.5, 1e21]) {
      await rejects(t, withOption(path, value),
        new RegExp(`^Option "${path}" is .*, such as "500ms", "30s" or "24h"\\.$`))
    }
  }
})

t.test('S-05 H-12 numbers are whole, finite and within bounds', async t => {
  for (const path of ['cache.max', 'details.max']) {
    for (const max of [0, -1, NaN, Infinity, 0.5, 1_000_001, '9', null, undefined]) {
      await rejects(t, withOption(path, max),
        new RegExp(`^Option "${path}" is .*; it takes a whole number from 1 to 1000000\\.$`))
    }
    for (const max of [1, 1_000_000]) await start(t, withOption(path, max))
  }
})

t.test('keys are trusted at least as long as they are fresh', async t => {
  const tooShort: ReadonlyArray<readonly [keys: object, maxStale: number, maxAge: number]> = [
    [{ maxAge: '1s', maxStale: '999ms' }, 999, 1000],
    [{ maxAge: '25h' }, 86_400_000, 90_000_000],
    [{ maxStale: '59m' }, 3_540_000, 3_600_000]
  ]
  for (const [keys, maxStale, maxAge] of tooShort) {
    await rejects(t, { ...GOOD, keys },
      new RegExp(`^Option "keys.maxStale" is ${maxStale} ms; it takes at least keys.maxAge, which is ${maxAge} ms\\.$`))
  }
  await start(t, { ...GOOD, keys: { maxAge: '1s', maxStale: '1000ms' } })
})

t.test('S-07 a missing option and an undefined one have different errors', async t => {
  const { teamDomain, audience, fetch } = GOOD
  await rejects(t, { audience, fetch }, /^Option "teamDomain" is missing; it takes a team name/)
  await rejects(t, { teamDomain, fetch }, /^Option "audience" is missing; it takes the AUD tag/)
  await rejects(t, { teamDomain, fetch, audience: undefined }, /^Option "audience" is undefined; it takes the AUD tag/)
})

t.test('the error for an option of the wrong type says what it takes', async t => {
  const wrong: Array<[object, RegExp]> = [
    [{ global: 'false' }, /^Option "global" is 'false'; it takes true or false\.$/],
    [{ global: undefined }, /^Option "global" is undefined; it takes true or false\.$/],
    [{ cookie: 0 }, /^Option "cookie" is 0;/],
    [{ preflight: null }, /^Option "preflight" is null;/],
    [{ cache: true }, /^Option "cache" is true; it takes { max } or false\.$/],
    [{ cache: [] }, /^Option "cache" is \[\];/],
    [{ keys: 5 }, /^Option "keys" is 5; it takes { maxAge, maxStale, cooldown, timeout, initial }\.$/],
    [{ keys: { initial: { keys: [] } } }, /^Option "keys\.initial" is .*; it takes a JWK Set with a usable key/],
    [{ keys: { initial: [] } }, /^Option "keys\.initial" is \[\];/],
    [{ keys: { initial: '{"keys":[]}' } }, /^Option "keys\.initial" is '.*';/],
    [{ keys: { initial: { keys: {} } } }, /^Option "keys\.initial" is .*;/],
    [{ details: false }, /^Option "details" is false; it takes { maxAge, timeout, max }\.$/],
    [{ login: 'always' }, /^Option "login" is 'always'; it takes "redirect"\.$/],
    [{ login: false }, /^Option "login" is false; it takes "redirect"\.$/],
    [{ login: undefined }, /^Option "login" is undefined;/],
    [{ logIdentity: false }, /^Option "logIdentity" is false; it takes true or a function of the identity\.$/],
    [{ logIdentity: 'email' }, /^Option "logIdentity" is 'email'; it takes true or a function of the identity\.$/],
    [{ store: 'redis://127.0.0.1' }, /^Option "store" is 'redis:\/\/127\.0\.0\.1';/],
    [{ store: { get: () => undefined } }, /^Option "store" is .*;/],
    [{ fetch: 'fetch' }, /^Option "fetch" is 'fetch'; it takes a function/],
    [{ audience: ['x'.repeat(70), 'y'.repeat(70), ''] }, /^Option "audience" is .{120}…; it takes/],
    [{ global: false, prefix: '/admin' }, /^Option "prefix" says what is guarded and "global: false" that nothing is/]
  ]
  for (const [options, message] of wrong) await rejects(t, { ...GOOD, ...options }, message)
})

t.test('R-21 a prefix is plain segments with a leading slash', async t => {
  for (const prefix of ['/', '/admin', '/admin/', '/a/b', '/ADMIN', '/a-b_c.d', '/café', '/.well-known']) {
    await start(t, { ...GOOD, prefix })
    await start(t, { ...GOOD, prefixes: [prefix] })
  }
  for (const prefix of ['', 'admin', '//', '/a//b', '/:x', '/*', '/ad%6din', '/a?b', '/a#b', '/a;b', '/a\\b', '/a b',
    '/../a', '/a/.', '/a/\0', '/a.', '/a./b', '/...',
    /a/, 5, null, undefined]) {
    await rejects(t, { ...GOOD, prefix }, /^Option "prefix" is .*; it takes a path such as "\/admin"/)
    await rejects(t, { ...GOOD, prefixes: ['/a', prefix] },
      /^Option "prefixes" is .*; it takes a list of paths, each a path such as/)
  }
  for (const prefixes of [[], [''], '/a', null, undefined, {}]) {
    await rejects(t, { ...GOOD, prefixes }, /^Option "prefixes" is/)
  }
  await rejects(t, { ...GOOD, prefix: ['/a', '/b'] },
    /^Option "prefix" is .*; it takes one path; write "prefixes" for a list\.$/)
  await rejects(t, { ...GOOD, prefix: '/a', prefixes: ['/b'] },
    /^Options "prefix" and "prefixes" are both given; leave one out\.$/)
})

t.test('R-46 a prefix that says the scope\'s own again stops the start', async t => {
  const scopes: Array<[scope: string, prefix: string]> = [
    ['/admin', '/admin'], ['/admin', '/admin/'], ['/admin', '/admin/users'], ['/admin', '/Admin'], ['/api/v1', '/api/v1'], ['/api/v1', '/v1'],
    ['/api/v1', '/api'], ['/api/v1', '/api/admin'], ['/:tenant/api', '/api'], ['/a/', '/a']
  ]
  for (const [scope, prefix] of scopes) {
    const app = createApp(t)
    app.register(async inner => { inner.register(cfAccess, { ...GOOD, prefix }) }, { prefix: scope })
    await t.rejects(async () => app.ready(),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /^Option "prefix" is "\/.*", but this scope's prefix is already "\// }, `${prefix} in ${scope}`)
  }
  const app = createApp(t)
  app.register(async inner => { inner.register(cfAccess, { ...GOOD, prefix: '/admin' }) }, { prefix: '/admin' })
  await t.rejects(async () => app.ready(), {
    message: 'Option "prefix" is "/admin", but this scope\'s prefix is already "/admin"; ' +
      'leave it out, or write prefixes: [\'/admin\'] if you mean /admin/admin'
  })
})

t.test('R-46 options that a scope hands on never open it', async t => {
  type Register = (inner: FastifyInstance, outerOptions: object, innerOptions: object) => void
  const nested = async (outer: FastifyInstance, register: Register): Promise<void> => {
    outer.register(async (scope, outerOptions: object) => {
      scope.register(async (inner, innerOptions: object) => {
        register(inner, outerOptions, innerOptions)
        inner.get('/x', async () => 'in')
      }, { prefix: '/v1' })
    }, { prefix: '/api' })
  }
  for (const own of [true, false]) {
    const app = createApp(t)
    await nested(app, (inner, outerOptions, innerOptions) => inner.register(cfAccess, {
      ...GOOD,
      ...(own ? innerOptions : outerOptions)
    }))
    await t.rejects(async () => app.ready(), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' })
  }
  const deliberate = createApp(t)
  await nested(deliberate, inner => {
    inner.register(cfAccess, { ...GOOD, prefixes: ['/api', '/v1/x'] })
    inner.get('/api', async () => 'in')
  })
  t.equal((await deliberate.inject('/api/v1/api')).statusCode, 401)
  t.equal((await deliberate.inject('/api/v1/x')).statusCode, 200)
})

t.test('S-07 the error for an unknown name suggests the nearest known one', async t => {
  const others = { aud: 'audience', team: 'teamDomain', domain: 'teamDomain', issuer: 'teamDomain' }
  for (const [other, option] of Object.entries(others)) {
    const message = new RegExp(`^Option "${other}" is not known; did you mean "${option}"\\?$`)
    await rejects(t, { ...GOOD, [other]: 'x' }, message)
  }
  await rejects(t, { ...GOOD, audiance: AUD }, /^Option "audiance" is not known; did you mean "audience"\?$/)
  await rejects(t, { ...GOOD, clocktolerance: '5s' },
    /^Option "clocktolerance" is not known; did you mean "clockTolerance"\?$/)
  await rejects(t, { ...GOOD, skipVerification: true },
    /^Option "skipVerification" is not known; the known ones are teamDomain, audience, /)
  await rejects(t, { ...GOOD, keys: { maxage: 5 } },
    /^In option "keys", "maxage" is not known; did you mean "maxAge"\?$/)
})

t.test('S-07 S-08 what an option object inherits does not count', async t => {
  await rejects(t, Object.create(GOOD), /^Option "teamDomain" is missing/)
  const app = createApp(t)
  const prototype = Object.prototype as { cfAccess?: unknown, prefix?: unknown }
  prototype.cfAccess = false
  prototype.prefix = '/elsewhere'
  t.teardown(() => { delete prototype.cfAccess; delete prototype.prefix })
  app.register(cfAccess, GOOD)
  app.get('/', async () => 'in')
  t.equal((await app.inject('/')).statusCode, 401)
})

t.test('two registrations for the same path in one scope stop the start', async t => {
  const app = createApp(t)
  app.register(cfAccess, { ...GOOD, prefixes: ['/a', '/b'] })
  app.register(cfAccess, { ...GOOD, prefixes: ['/c', '/B/'] })
  await t.rejects(async () => app.ready(), {
    code: 'FST_CF_ACCESS_OPTIONS_INVALID',
    message: /registered twice in one scope for the same path/
  })
})

t.test('P-11 only true, false and a policy are a route\'s own word', async t => {
  for (const word of [0, null, '', 'false', undefined, {}, { inclued: {} }, []]) {
    const app = createApp(t)
    await app.register(cfAccess, GOOD)
    t.throws(() => app.get('/', { config: { cfAccess: word as never } }, async () => 'in'),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /^(?:config\.cfAccess is |In config\.cfAccess, )/ })
  }
})

t.test('P-11 a wrong word on a route older than the registration opens nothing', async t => {
  const app = createApp(t)
  app.get('/', { config: { cfAccess: 0 as never } }, async () => 'in')
  app.register(cfAccess, GOOD)
  const response = await app.inject('/')
  t.equal(response.statusCode, 500)
  t.equal(response.json().code, 'FST_CF_ACCESS_OPTIONS_INVALID')
})

t.test('S-10 a custom fetch gets what it needs, and no more', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  const asked: Array<[string, RequestInit]> = []
  app.register(cfAccess, {
    teamDomain: team.domain,
    audience: AUD,
    fetch: async (url, init) => { asked.push([url, init]); return fetch(url, init) }
  })
  app.get('/', async () => 'in')
  const headers = { ...bearing(team.userToken({ email: 'a@acme.com', audience: AUD })), cookie: 'secret=1' }
  t.equal((await app.inject({ url: '/', headers })).statusCode, 200)
  t.equal(asked.length, 1)
  t.match(asked[0],
    [`${team.domain}/cdn-cgi/access/certs`, { method: 'GET', redirect: 'manual', headers: { accept: 'application/json' } }])
  t.ok(asked[0]![1].signal instanceof AbortSignal)
  t.strictSame(Object.keys(asked[0]![1].headers!), ['accept'])
})
