import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { cfAccess, channels, REASONS, type CfAccessOptions } from '../lib/index.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'

const IN_A_ROW = 20
const HOUR = 3_600_000

const team = await startTeam(t)
const strangers = await startTeam(t)
const token = (options: object = {}): string => team.userToken({ email: 'alice@acme.com', audience: AUD, ...options })

interface Warning { readonly msg: string, readonly reason: string, readonly [name: string]: unknown }

async function start (t: Test, options: Partial<CfAccessOptions> = {}): Promise<[FastifyInstance, Warning[]]> {
  const warnings: Warning[] = []
  const stream = { write: (line: string) => warnings.push(JSON.parse(line)) }
  const app = createApp(t, { logger: { level: 'warn', stream } })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...options })
  app.all('/', async () => 'in')
  return [app, warnings]
}

async function askTimes (
  app: FastifyInstance, times: number, headers: Record<string, string>, url = '/'
): Promise<void> {
  for (let i = 0; i < times; i++) await app.inject({ url, headers })
}

const CASES: ReadonlyArray<readonly [
  name: string, headers: Record<string, string>, warning: object, cure: string, options?: Partial<CfAccessOptions>
]> = [
  ['no token', {}, { reason: 'missing' }, REASONS.missing.cure],
  ['a service token that never saw the edge', { 'cf-access-client-id': 'x.access', 'cf-access-client-secret': 'x' },
    { reason: 'missing' }, 'give its Access application a Service Auth policy.'],
  ['another application', bearing(token({ audience: OTHER_AUD })),
    { reason: 'audience', expected: [AUD], received: [OTHER_AUD] }, REASONS.audience.cure],
  ['another team', bearing(strangers.userToken({ email: 'alice@acme.com', audience: AUD })),
    { reason: 'issuer', expected: [team.domain], received: strangers.domain }, REASONS.issuer.cure],
  ['a clock that is behind', bearing(token({ issuedIn: '5m' })), { reason: 'time' }, REASONS.time.cure],
  ['a clock that is ahead', bearing(token({ expiresIn: '-5m' })), { reason: 'expired' }, REASONS.expired.cure],
  ['the cookie of the team', bearing(team.orgToken({ email: 'alice@acme.com', audience: AUD })),
    { reason: 'type', received: 'org' }, REASONS.type.cure],
  ['a misspelt policy', bearing(token()), { reason: 'policy', rule: 'include', expected: ['email'] },
    REASONS.policy.cure, { policy: { include: { email: 'alcie@acme.com' } } }]
]

t.test('rejections in a row with one cause are warned of, with what to do', async t => {
  for (const [name, headers, warning, cure, options] of CASES) {
    const [app, warnings] = await start(t, options)
    await askTimes(app, IN_A_ROW - 1, headers)
    t.strictSame(warnings, [], `${name}: not yet`)
    await askTimes(app, 1, headers)
    t.match(warnings, [warning], name)
    t.match(warnings[0]!.msg, 'The last 20 rejections have one cause.')
    t.ok(warnings[0]!.msg.endsWith(cure), `${name}: what to do`)
    t.notMatch(JSON.stringify(warnings), /alice/)
  }
})

t.test('once an hour, also when the clock is set back', async t => {
  const [app, warnings] = await start(t)
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  await askTimes(app, 3 * IN_A_ROW, {})
  t.equal(warnings.length, 1)
  await askTimes(app, IN_A_ROW, bearing('x'))
  t.equal(warnings.length, 1, 'of another cause neither')
  now += HOUR - 1
  await askTimes(app, 1, bearing('x'))
  t.equal(warnings.length, 1)
  now += 1
  await askTimes(app, 1, bearing('x'))
  t.match(warnings.map(({ reason }) => reason), ['missing', 'malformed'])
  now -= HOUR
  await askTimes(app, 1, bearing('x'))
  t.equal(warnings.length, 3)
})

t.test('rejections of different causes are not warned of', async t => {
  const [app, warnings] = await start(t, {
    policy: { exclude: { email: 'alice@acme.com', emailDomain: 'other.com' } }
  })
  const pairs: ReadonlyArray<readonly [Record<string, string>, Record<string, string>]> = [
    [{}, bearing('x')],
    [{}, { 'cf-access-client-id': 'x.access' }],
    [bearing(token({ audience: OTHER_AUD })), bearing(token({ audience: 'c'.repeat(64) }))],
    [bearing(token()), bearing(team.userToken({ email: 'bob@other.com', audience: AUD }))]
  ]
  for (const [one, other] of pairs) {
    for (let i = 0; i < IN_A_ROW; i++) {
      await app.inject({ url: '/', headers: one })
      await app.inject({ url: '/', headers: other })
    }
  }
  t.strictSame(warnings, [])
})

t.test('each registration has its own', async t => {
  const [app, warnings] = await start(t, { prefix: '/a' })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/b' })
  for (const path of ['/a', '/b']) app.get(path, async () => 'in')
  await askTimes(app, IN_A_ROW - 1, {}, '/a')
  await askTimes(app, IN_A_ROW - 1, {}, '/b')
  t.strictSame(warnings, [])
  await askTimes(app, 1, {}, '/b')
  t.equal(warnings.length, 1)
})

t.test('a rejection by authenticate() counts when it ends a request, once', async t => {
  const [app, warnings] = await start(t, { global: false })
  const { authenticate } = app.cfAccess
  app.get('/request', async request => (await authenticate(request)).kind)
  app.get('/headers', async ({ headers }) => (await authenticate({ headers })).kind)
  app.get('/caught', async request => await authenticate(request).then(({ kind }) => kind, () => 'anonymous'))
  let published = 0
  const onRejection = (): void => { published++ }
  channels.rejection.subscribe(onRejection)
  t.teardown(() => channels.rejection.unsubscribe(onRejection))
  await askTimes(app, IN_A_ROW, bearing('x'), '/caught')
  t.equal(published, 0)
  await askTimes(app, IN_A_ROW / 2, bearing('x'), '/request')
  await askTimes(app, IN_A_ROW / 2 - 1, bearing('x'), '/headers')
  t.strictSame(warnings, [])
  await askTimes(app, 1, bearing('x'), '/headers')
  t.match(warnings, [{ reason: 'malformed' }])
  t.equal(published, IN_A_ROW)
})

t.test('what is rejected because Access is down, or because a policy failed, is no cause of these', async t => {
  const [app, warnings] = await start(t, { policy: () => { throw new Error('mine') } })
  await askTimes(app, 2 * IN_A_ROW, bearing(token()))
  t.notMatch(warnings.map(({ msg }) => msg).join(), 'one cause')
})
