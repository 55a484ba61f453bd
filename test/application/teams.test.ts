import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, channels, type CfAccessOptions, type CfAccessVerification } from '../../lib/index.js'
import { expectAdmitted, expectRejected, expectUnavailable } from '../fixtures/expect.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'
import { startEndpoint, type KeyEndpoint } from '../fixtures/key-endpoint.js'

const keys = await startTeam(t) // two RSA keys, which every team of these tests has
const otherKeys = await startTeam(t)

async function start (
  t: Test, teams: readonly KeyEndpoint[], options: Partial<CfAccessOptions> = {}
): Promise<FastifyInstance> {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: teams.map(({ domain }) => domain), audience: AUD, ...options })
  app.get('/', async () => 'in')
  await app.ready()
  return app
}

const invalid = (reason: string): { code: string, reason: string } => ({ code: 'FST_CF_ACCESS_TOKEN_INVALID', reason })

t.test('the issuer selects one of exactly these teams', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, otherKeys)]
  const stranger = await startEndpoint(t, keys)
  const app = await start(t, [a, b])
  await expectAdmitted(t, app, a.token())
  await expectAdmitted(t, app, b.token())
  const asked = [a, b].map(({ requests }) => requests.length)
  await t.rejects(app.cfAccess.verify(stranger.token()), invalid('issuer'))
  for (const iss of [`${a.domain}/`, a.domain.toUpperCase(), [a.domain], [a.domain, b.domain], null, 7, '', undefined]) {
    await t.rejects(app.cfAccess.verify(a.token({ claims: { iss } })), invalid('issuer'), String(iss))
  }
  await expectRejected(t, app, stranger.token(), 401, 'TOKEN_INVALID')
  t.strictSame([a, b, stranger].map(({ requests }) => requests.length), [...asked, 0], 'nothing was fetched for these')
})

t.test('a team cannot sign for another', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, otherKeys)]
  const app = await start(t, [a, b])
  await expectRejected(t, app, a.token({ claims: { iss: b.domain } }), 401, 'TOKEN_INVALID')
  await expectRejected(t, app, b.token({ claims: { iss: a.domain } }), 401, 'TOKEN_INVALID')
  await expectAdmitted(t, app, a.token())
})

t.test('an outage of one team harms only its tokens', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, keys)]
  await b.outage('refusing')
  const app = await start(t, [a, b])
  await expectAdmitted(t, app, a.token())
  await expectUnavailable(t, app, b.token())
  await expectAdmitted(t, app, a.token())
  t.match(app.cfAccess.status(), [
    { team: a.domain, state: 'fresh', lastFailure: null },
    { team: b.domain, state: 'unavailable', lastFailure: { reason: /ECONNREFUSED/ } }
  ])
  t.equal(app.cfAccess.status().length, 2)
})

t.test('a change of one team\'s keys leaves the verified tokens of the other', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, keys)]
  const app = await start(t, [a, b], { keys: { cooldown: '1ms' } })
  const tokens = [a.token(), b.token()]
  for (const token of tokens) await expectAdmitted(t, app, token)
  b.published = otherKeys.certs
  await t.rejects(app.cfAccess.verify(b.token({ header: { kid: 'unknown' } })), invalid('kid'))
  const cached: boolean[] = []
  const note = (verification: CfAccessVerification): void => { cached.push(verification.cached) }
  channels.verify.subscribe(note)
  t.teardown(() => channels.verify.unsubscribe(note))
  await expectAdmitted(t, app, tokens[0]!)
  await expectRejected(t, app, tokens[1]!, 401, 'TOKEN_INVALID', 'signed with a withdrawn key')
  t.strictSame(cached, [true, false])
})

t.test('each team is asked about its own users', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: [keys.domain, otherKeys.domain], audience: AUD, recheck: '1s' })
  app.get('/', async request => await request.cfAccess?.details())
  for (const team of [keys, otherKeys]) {
    const name = `a user of ${team.domain}`
    const token = team.userToken({ email: 'a@acme.com', audience: AUD, identity: { name } })
    const response = await app.inject({ url: '/', headers: bearing(token) })
    t.match(response.json(), { name })
    team.revoke(token)
  }
})

t.test('users log in to the first team, and out of it', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, keys)]
  const app = await start(t, [a, b], { login: 'redirect' })
  const { headers } = await app.inject({ url: '/', headers: { host: 'app.acme.com', accept: 'text/html' } })
  t.match(headers.location, `${a.domain}/cdn-cgi/access/login/app.acme.com`)
  t.equal(app.cfAccess.logoutUrl(), `${a.domain}/cdn-cgi/access/logout`)
})

t.test('registrations of the same teams share what depends on the teams alone', async t => {
  const [a, b] = [await startEndpoint(t, keys), await startEndpoint(t, keys)]
  const app = createApp(t)
  const register = async (prefix: string, teams: readonly KeyEndpoint[]): Promise<void> => {
    await app.register(cfAccess, { teamDomain: teams.map(({ domain }) => domain), audience: AUD, prefix })
  }
  await register('/one', [a, b])
  await register('/two', [a, b])
  t.equal(app.cfAccess.status().length, 2)
  await register('/three', [a])
  t.throws(() => app.cfAccess.status(), { code: 'FST_CF_ACCESS_NOT_REGISTERED' }, 'another number of teams')
  t.throws(() => app.cfAccess.logoutUrl(), { code: 'FST_CF_ACCESS_NOT_REGISTERED' })
  await app.register(async scope => {
    for (const prefix of ['/four', '/five']) {
      await scope.register(cfAccess, { teamDomain: b.domain, audience: AUD, prefix })
    }
    t.match(scope.cfAccess.status(), [{ team: b.domain }], 'those of outer scopes do not count')
  })
  const other = createApp(t)
  await other.register(cfAccess, { teamDomain: [a.domain, b.domain], audience: AUD, prefix: '/one' })
  await other.register(cfAccess, { teamDomain: [b.domain, a.domain], audience: AUD, prefix: '/two' })
  t.throws(() => other.cfAccess.status(), { code: 'FST_CF_ACCESS_NOT_REGISTERED' }, 'another order')
  const third = createApp(t)
  await third.register(cfAccess, { teamDomain: [a.domain, b.domain], audience: AUD, prefix: '/one' })
  await third.register(cfAccess, { teamDomain: [a.domain, 'http://127.0.0.1:1'], audience: AUD, prefix: '/two' })
  t.throws(() => third.cfAccess.status(), { code: 'FST_CF_ACCESS_NOT_REGISTERED' }, 'another second team')
})

t.test('a list that cannot be right stops the start', async t => {
  const start = async (teamDomain: unknown): Promise<void> => {
    await createApp(t).register(cfAccess, { teamDomain: teamDomain as string[], audience: AUD })
  }
  await t.rejects(start([]), { message: /^Option "teamDomain" is \[\]; it takes a list of different teams/ })
  await t.rejects(start(['acme', 'https://ACME.cloudflareaccess.com/']), { message: /it takes a list of different teams/ })
  await t.rejects(start(['acme', 'acme.com']), { message: /^Option "teamDomain\[1\]" is 'acme\.com'; it takes a team name/ })
  await t.rejects(start(['acme', ['acme-old']]), { message: /^Option "teamDomain\[1\]" is \[/ })
})
