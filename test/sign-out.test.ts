import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, type CfAccessIdentity, type CfAccessOptions } from '../lib/index.js'
import { stopClock } from './fixtures/clock.js'
import { expectAdmitted, expectRejected } from './fixtures/expect.js'
import { AUD, bearing, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'

const team = await startTeam(t)
const userToken = (email = 'a@acme.com'): string =>
  team.userToken({ email, audience: AUD, claims: { identity_nonce: String(Math.random()) } })

/** An application with two registrations, each of which lets its users sign out. */
async function start (t: Test, own: Partial<CfAccessOptions> = {}): Promise<FastifyInstance> {
  const app = createApp(t)
  for (const [prefix, audience] of [['/a', AUD], ['/b', [AUD, OTHER_AUD]]] as const) {
    await app.register(cfAccess, { teamDomain: team.domain, audience, prefix, ...own })
    app.get(prefix, async () => 'in')
    app.post(`${prefix}/out`, async request => {
      await app.cfAccess.signOut(request.cfAccess!)
      return 'out'
    })
    app.get(`${prefix}/optional`, { config: { cfAccess: 'optional' } }, async request => request.cfAccess?.email ?? 'none')
  }
  return app
}

t.test('a session that was signed out is rejected by every registration, cached or not, and no other is', async t => {
  for (const cache of [{ max: 10 }, false] as const) {
    const app = await start(t, { cache })
    const [token, other] = [userToken(), userToken()]
    for (const url of ['/a', '/b']) await expectAdmitted(t, app, { url, headers: bearing(token) })
    await expectAdmitted(t, app, { method: 'POST', url: '/a/out', headers: bearing(token) })
    for (const url of ['/a', '/b']) {
      await expectRejected(t, app, { url, headers: bearing(token) }, 401, 'TOKEN_INVALID', JSON.stringify(cache))
      const headers = { cookie: `CF_Authorization=${token}` }
      await expectRejected(t, app, { url, headers }, 401, 'TOKEN_INVALID', 'by cookie')
      t.equal((await app.inject({ url: `${url}/optional`, headers })).body, 'none')
      await expectAdmitted(t, app, { url, headers: bearing(other) }, 'another session of the same user')
      const both = { cookie: `CF_Authorization=${token}; CF_Authorization=${other}` }
      await expectAdmitted(t, app, { url, headers: both }, 'beside another session')
    }
    const elsewhere = await start(t, { cache })
    await expectAdmitted(t, elsewhere, { url: '/a', headers: bearing(token) }, 'of another server')
  }
})

t.test('the rejection says why in the log, and details() says no more', async t => {
  const lines: Array<Record<string, unknown>> = []
  const app = createApp(t, { logger: { stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async () => 'in')
  const token = userToken()
  const identity = await app.cfAccess.verify(token)
  await identity.details()
  await app.cfAccess.signOut(identity)
  await expectRejected(t, app, token, 401, 'TOKEN_INVALID')
  t.match(lines.filter(({ code }) => code !== undefined), [{ reason: 'signed-out' }])
  await t.rejects(async () => { await identity.details() },
    { code: 'FST_CF_ACCESS_TOKEN_INVALID', reason: 'signed-out' })
})

t.test('it holds until the token expires, whatever the clocks\' tolerance, and takes no memory after', async t => {
  const clock = stopClock(t)
  const app = await start(t, { clockTolerance: '5m' })
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '1h' })
  await expectAdmitted(t, app, { method: 'POST', url: '/a/out', headers: bearing(token) })
  clock.move(3_600_000 + 299_000)
  await expectRejected(t, app, { url: '/a', headers: bearing(token) }, 401, 'TOKEN_INVALID')
  clock.move(2_000)
  await expectRejected(t, app, { url: '/a', headers: bearing(token) }, 401, 'TOKEN_EXPIRED')
})

t.test('it holds in the last millisecond of a token, and a token that has expired can be signed out', async t => {
  const clock = stopClock(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, clockTolerance: '5m' })
  app.get('/', async () => 'in')
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '1h' })
  const identity = await app.cfAccess.verify(token)
  clock.now = identity.expiresAt + 299_999
  await expectAdmitted(t, app, token)
  await app.cfAccess.signOut(identity)
  await expectRejected(t, app, token, 401, 'TOKEN_INVALID')
  clock.move(1)
  await t.resolves(app.cfAccess.signOut(identity))
  clock.move(3_600_000)
  await t.resolves(app.cfAccess.signOut(identity))
  await expectRejected(t, app, token, 401, 'TOKEN_EXPIRED')
})

t.test('only a user that was verified can be signed out', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const service = await app.cfAccess.verify(team.serviceToken({ clientId: 'x.access', audience: AUD }))
  const certificate = await app.cfAccess.verify(team.certificateToken({ commonName: 'x', audience: AUD }))
  const user = await app.cfAccess.verify(userToken())
  for (const wrong of [service, certificate, { ...user }, Object.create(user), {}, null, undefined, 'a@acme.com']) {
    await t.rejects(app.cfAccess.signOut(wrong as CfAccessIdentity),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /signOut\(identity\) takes a user/ }, typeof wrong)
  }
  await t.resolves(app.cfAccess.signOut(user))
})
