import { randomUUID } from 'node:crypto'
import t from 'tap'
import { readSettings } from '../../lib/doctor/settings.js'
import { createVerifier } from '../../lib/verifier.js'
import { AUD, OTHER_AUD } from '../fixtures/index.js'

const TOLERANCE = { clockTolerance: '30s' }
const UUID = '4c1b7f3e-0d5a-4f6b-9a3e-2f5d8c7b6a10'

t.test('they are read from the command line, else as fromEnv() reads the environment', async t => {
  const env = { CF_ACCESS_TEAM_DOMAIN: 'Acme, acme-old.cloudflareaccess.com/', CF_ACCESS_AUD: ` ${AUD} ,${OTHER_AUD}` }
  const fromEnv = readSettings(TOLERANCE, env)
  t.strictSame(fromEnv.options, {
    teamDomain: ['https://acme.cloudflareaccess.com', 'https://acme-old.cloudflareaccess.com'],
    audience: [AUD, OTHER_AUD],
    clockTolerance: '30000ms'
  })
  t.strictSame(fromEnv.checks.map(({ ok }) => ok), [true, true, true, true])
  t.match(fromEnv.checks[0]!.text, /means the issuer https:\/\/acme\.cloudflareaccess\.com\.$/)
  createVerifier(fromEnv.options!).close()
  const team = ['a,b', 'c.fed.cloudflareaccess.com']
  const given = readSettings({ team, audience: [AUD], clockTolerance: '0s' }, env)
  t.strictSame(given.teams.map(({ issuer }) => issuer),
    ['https://a.cloudflareaccess.com', 'https://b.cloudflareaccess.com', 'https://c.fed.cloudflareaccess.com'])
  t.strictSame(given.tags, [AUD])
  t.equal(given.clockTolerance, 0)
  t.strictSame(readSettings({ ...TOLERANCE, audience: [AUD] }, env).tags, [AUD], 'each for itself')
})

t.test('what is missing is named', async t => {
  const nothing: ReadonlyArray<readonly [given: object, env: Record<string, string>]> = [
    [{}, {}],
    [{ team: [''], audience: [''] }, {}],
    [{}, { CF_ACCESS_TEAM_DOMAIN: ' ', CF_ACCESS_AUD: '' }]
  ]
  for (const [given, env] of nothing) {
    const { checks, teams, tags, options } = readSettings({ ...TOLERANCE, ...given }, env)
    t.match(checks, [
      { name: 'team', ok: false, todo: /--team NAME.*CF_ACCESS_TEAM_DOMAIN/ },
      { name: 'audience', ok: false, todo: /--audience TAG.*CF_ACCESS_AUD/ }
    ])
    t.strictSame([teams, tags, options], [[], [], null])
  }
})

t.test('a wrong team is named, and the plugin does not start with it', async t => {
  const wrong: ReadonlyArray<readonly [team: string, shown: RegExp]> = [
    ['acme.example.com', /acme\.example\.com/],
    ['http://acme.cloudflareaccess.com', /http:\/\/acme/],
    ['https://acme.cloudflareaccess.com/cdn-cgi', /cdn-cgi/],
    ['alice@acme.com', /a text of 14 characters/],
    ['"acme"', /a text of 6 characters/],
    [`cfast_${'x'.repeat(40)}`, /a text of 46 characters/],
    ['x'.repeat(64), /a text of 64 characters/]
  ]
  for (const [team, text] of wrong) {
    const { checks, options } = readSettings({ ...TOLERANCE, team: [team], audience: [AUD] }, {})
    t.match(checks[0], { name: 'team', ok: false, text, todo: /acme\.cloudflareaccess\.com/ }, team)
    t.equal(options, null, team)
    t.throws(() => createVerifier({ teamDomain: team, audience: AUD }), { code: 'FST_CF_ACCESS_OPTIONS_INVALID' }, team)
  }
  const twice = readSettings({ ...TOLERANCE, team: ['acme', 'ACME'], audience: [AUD] }, {})
  t.match(twice.checks.at(-1), { ok: false, text: /more than once/ })
  t.strictSame([twice.teams.length, twice.options], [1, null], 'its keys are fetched once')
})

t.test('a wrong AUD tag is named', async t => {
  const wrong: ReadonlyArray<readonly [aud: string, text: RegExp, todo: RegExp, isRead: boolean]> = [
    [UUID, /UUID: the ID of the application/, /AUD\) Tag, 64 hex.*Additional settings/, true],
    [randomUUID().toUpperCase(), /UUID/, /Additional settings/, true],
    [AUD.slice(1), /has 63 characters; a tag has 64/, /Additional settings/, true],
    ['my-app', /has 6 characters/, /Additional settings/, true],
    [AUD.toUpperCase(), /upper-case/, /lower case/, true],
    [`"${AUD}"`, /a text of 66 characters with quotes/, /the tag alone/, false],
    [`${AUD} ${OTHER_AUD}`, /blanks/, /the tag alone/, false]
  ]
  for (const [aud, text, todo, isRead] of wrong) {
    const { checks, tags, options } = readSettings({ ...TOLERANCE, team: ['acme'], audience: [aud] }, {})
    t.match(checks[1], { name: 'audience', ok: false, text, todo, ...(isRead && { reason: 'audience' }) }, aud)
    t.strictSame(tags, isRead ? [aud] : [], `${aud}: taken as the plugin takes it`)
    t.equal(options === null, !isRead, aud)
    if (!isRead) t.throws(() => createVerifier({ teamDomain: 'acme', audience: aud }), /audience/, aud)
  }
})

t.test('an emulator can have any AUD tag', async t => {
  for (const [aud, shown] of [['my-app', /my-app/], [UUID, /4c1b7f3e/], [AUD, /a{64}/], ['alice@acme.com', /a text of 14/]] as const) {
    const { checks } = readSettings({ ...TOLERANCE, team: ['http://localhost:4000'], audience: [aud] }, {})
    t.match(checks[1], { ok: true, text: shown })
    t.notMatch(checks[1]!.text, '@')
  }
})

t.test('an invalid clock tolerance is an error', async t => {
  t.throws(() => readSettings({ clockTolerance: '30' }, {}),
    { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /--clock-tolerance.*"30s"/ })
})
