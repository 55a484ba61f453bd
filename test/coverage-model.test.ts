import fc from 'fast-check'
import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { cfAccess } from '../lib/index.js'
import { AUD, bearing, createApp, listen, startTeam } from './fixtures/index.js'
import { mayBeUnder } from './fixtures/path-model.js'
import { askAll } from './fixtures/walk-round.js'

const team = await startTeam(t)
const token = team.userToken({ email: 'a@acme.com', audience: AUD })

/** Nothing but wildcards and parameters, so that every target has to be read. */
async function start (): Promise<number> {
  const app: FastifyInstance = createApp(t, { routerOptions: { maxParamLength: 5000 } })
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/admin' })
  for (const pattern of ['/:a', '/:a/:b', '/*']) app.all(pattern, async () => 'in')
  return await listen(app)
}

const port = await start()

// The same targets each time, unless others are asked for.
const seed = Number(process.env['PROPERTY_SEED'] ?? 2026)
t.comment(`PROPERTY_SEED=${seed}`)

const letter = fc.constantFrom(...'admin', ...'ADMIN', '%61', '%41', '%2561', '%64', '%6d', '%4D', '%69', '%6e', '%EF%BD%81')
const spelling = fc.oneof(
  fc.constantFrom('admin', 'Admin', 'ADMIN', '%61dmin', 'adm%69n', '%2561dmin', 'admin.', 'admin%20', 'admin;x', 'admin%00', '%EF%BD%81dmin', 'administrator', 'adm', 'x'),
  fc.array(letter, { minLength: 4, maxLength: 6 }).map(letters => letters.join(''))
)
const separator = fc.constantFrom('/', '/', '/', '//', '/./', '/../', '/x/../', '%2f', '%2F', '%252f', '%5c', '\\', '/%2e/', '/%2e%2e/', '/..;/', '/..%2f', ';/', '/;/', '/.%2e/', '/..%5c')
const beginning = fc.constantFrom('/', '/', '/', '//', '/./', '/../', '/x/../', '/;/', '/%2f', '/\\', '/public/../', 'http://any/', '/x%2f..%2f', '/a/b/../../')
const tail = fc.constantFrom('', '', '?x', '#f', '/', ';', '%00', '?/../public', '.', '%20')
const targets = fc.tuple(beginning, fc.array(fc.tuple(spelling, separator), { maxLength: 3 }), spelling, tail)
  .map(([start, parts, last, end]) => start + parts.flat().join('') + last + end)

t.test('R-38 no target passes that a slower model reads as under the prefix', async t => {
  const sample = [...new Set(fc.sample(targets, { numRuns: 2500, seed }))]
  let guarded = 0
  for (let i = 0; i < sample.length; i += 200) {
    const some = sample.slice(i, i + 200)
    for (const [j, { status }] of (await askAll(port, some)).entries()) {
      if (status >= 500) t.fail(`${some[j]} answered ${status}`)
      if (status === 200 && mayBeUnder(some[j]!, '/admin')) t.fail(`${some[j]} was let in`)
      if (status === 401) guarded++
    }
  }
  t.ok(guarded > 500 && guarded < sample.length, `${guarded} of ${sample.length} were guarded`)
})

t.test('R-02 no target of plain segments beside the prefix is refused', async t => {
  const segment = fc.stringMatching(/^[a-z0-9_-]{1,8}$/).filter(text => text !== 'admin')
  const harmless = fc.tuple(fc.array(segment, { minLength: 1, maxLength: 4 }), fc.constantFrom('', '?x=/admin', '?/../admin', '?admin'))
    .map(([segments, query]) => `/${segments.join('/')}${query}`)
  const beneath = fc.tuple(segment, fc.constantFrom('admin', 'admin/x', '%61dmin')).map(parts => `/${parts.join('/')}`)
  const sample = fc.sample(fc.oneof(harmless, beneath), { numRuns: 400, seed })
  for (const [i, { status }] of (await askAll(port, sample)).entries()) t.equal(status, 200, String(sample[i]))
})

t.test('whatever is guarded is let in with a good token', async t => {
  const sample = fc.sample(targets, { numRuns: 300, seed: seed + 1 })
  const [nobody, admitted] = await Promise.all([askAll(port, sample), askAll(port, sample, { headers: bearing(token) })])
  for (const [i, { status }] of nobody.entries()) t.equal(admitted[i]!.status, status === 401 ? 200 : status, String(sample[i]))
})
