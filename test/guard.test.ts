import t from 'tap'
import { cfAccess } from '../lib/index.js'
import { AUD, bearing, createApp, startTeam } from './fixtures/index.js'

t.test('a prefix guards what is below it', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  app.register(cfAccess, { prefix: '/admin', teamDomain: team.domain, audience: AUD })
  app.get('/admin/x', async request => request.cfAccess?.kind)
  t.equal((await app.inject('/admin/x')).statusCode, 401)
  t.equal((await app.inject({ url: '/admin/x', headers: bearing(team.userToken({ email: 'a@acme.com', audience: AUD })) })).body, 'user')
})
