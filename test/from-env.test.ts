import t from 'tap'
import { cfAccess, fromEnv } from '../lib/index.js'
import { AUD, createApp, OTHER_AUD, startTeam } from './fixtures/index.js'

t.test('the options of a deployment come from two variables', async t => {
  t.strictSame(fromEnv({ CF_ACCESS_TEAM_DOMAIN: 'acme', CF_ACCESS_AUD: AUD }), { teamDomain: 'acme', audience: AUD })
  t.strictSame(fromEnv({ CF_ACCESS_TEAM_DOMAIN: ' acme , acme-old', CF_ACCESS_AUD: `${AUD},${OTHER_AUD}` }),
    { teamDomain: ['acme', 'acme-old'], audience: [AUD, OTHER_AUD] })
})

t.test('a variable that is missing is named', async t => {
  for (const name of ['CF_ACCESS_TEAM_DOMAIN', 'CF_ACCESS_AUD']) {
    for (const value of [undefined, '', ' ', ',x']) {
      t.throws(() => fromEnv({ CF_ACCESS_TEAM_DOMAIN: 'acme', CF_ACCESS_AUD: AUD, [name]: value }),
        { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: `The environment variable ${name} is missing or empty.` })
    }
  }
})

t.test('the variables are those of the process by default, and checked by the plugin', async t => {
  const team = await startTeam(t)
  t.intercept(process, 'env', { value: { CF_ACCESS_TEAM_DOMAIN: team.domain, CF_ACCESS_AUD: AUD } })
  await createApp(t).register(cfAccess, { prefix: '/admin', ...fromEnv() })
  t.intercept(process, 'env', { value: { CF_ACCESS_TEAM_DOMAIN: team.domain, CF_ACCESS_AUD: `"${AUD}"` } })
  await t.rejects(async () => createApp(t).register(cfAccess, fromEnv()), { message: /^Option "audience" is/ })
})
