import t from 'tap'
import { cfAccess, userOf } from '../lib/index.js'
import { expectAdmitted, expectRejected } from './fixtures/expect.js'
import { AUD, bearing, createApp, startTeam } from './fixtures/index.js'

t.test('userOf() is the user, and rejects every other request', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', async request => userOf(request).email)
  app.get('/open', { config: { cfAccess: false } }, async request => userOf(request).email)
  const user = team.userToken({ email: 'a@acme.com', audience: AUD })
  t.equal((await expectAdmitted(t, app, user)).body, 'a@acme.com')
  const service = team.serviceToken({ clientId: `${'e'.repeat(32)}.access`, audience: AUD })
  await expectRejected(t, app, service, 403, 'FORBIDDEN', 'a service')
  const certificate = team.certificateToken({ commonName: 'printer', audience: AUD })
  await expectRejected(t, app, certificate, 403, 'FORBIDDEN', 'a certificate')
  await expectRejected(t, app, { url: '/open', headers: bearing(user) }, 403, 'FORBIDDEN', 'not guarded')
})
