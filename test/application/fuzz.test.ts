import t from 'tap'
import { possiblePaths } from '../../lib/coverage/possible-paths.js'
import { prefixOf } from '../../lib/coverage/prefix.js'
import { cfAccess } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, startTeam } from '../fixtures/index.js'
import { createPureCheck } from '../fuzz/pure.js'
import { Random } from '../fuzz/random.js'
import { findReader, startsOf, under } from '../fuzz/readers.js'
import type { Register } from '../fuzz/sites.js'
import { checkOverSockets } from '../fuzz/socket.js'
import { harmless, hostile } from '../fuzz/targets.js'
import { askAll, CLIENTS } from '../fuzz/wire.js'

// The same targets each time, unless others are asked for. `npm run fuzz` tries more of them.
const SEED = Number(process.env['FUZZ_SEED'] ?? 2026)
t.comment(`FUZZ_SEED=${SEED}`)

const HARMLESS = [
  '/files/a%20b%2Fc.txt', // an encoded slash in a name
  '/@scope%2fname', // a package of npm
  '/wiki/C%23',
  '/search/what%3F',
  '/a//b',
  '/caf%C3%A9/x;v=1', // a matrix parameter
  '/a%25b',
  '/0%25fat%20milk', // `%fa` once decoded
  '/100%25caf%C3%A9', // `%ca` once decoded
  '/DOMAIN%5Cuser',
  '/a%5Cb',
  '/foo%0Abar',
  '/x/...',
  '/~user/',
  '/:x/y',
  "/it's(1)!",
  `/${'plain/'.repeat(500)}path`, // 3 KB
  '/list?x=/admin/y',
  '/list?/../admin',
  '/list?%2e%2e%2fadmin',
  '/list?',
  '/list??',
  '/list?to=http://any/admin',
  '/list?a=%zz',
  `/list?${'x=/../admin&'.repeat(300)}`
]

t.setTimeout(120_000)

const team = await startTeam(t)
const registerFor = (audience: string): Register => async (scope, prefix) => {
  await scope.register(cfAccess, { teamDomain: team.domain, audience, ...(prefix === undefined ? {} : { prefix }) })
}
const guards = { a: registerFor(AUD), b: registerFor(OTHER_AUD) }
const tokenOfA = bearing(team.userToken({ email: 'a@acme.com', audience: AUD }))
const tokenOfB = bearing(team.userToken({ email: 'b@acme.com', audience: OTHER_AUD }))

t.test('R-40 R-41 R-42 R-45 R-53 what a reader takes for the prefix is ambiguous or covered', async t => {
  const random = new Random(SEED)
  const check = createPureCheck({ possiblePaths, prefixOf })
  const leaks = []
  let secrets = 0
  for (let i = 0; i < 6000; i++) {
    const { sent, isGuarded, findReader } = check(hostile(random), random.chance(0.2) ? random.below(1000) : 0)
    const reader = findReader()
    if (reader !== null) secrets++
    if (reader !== null && !isGuarded()) leaks.push({ sent, reader })
  }
  t.ok(secrets > 1500, `some reader takes ${secrets} targets for the prefix`)
  t.strictSame(leaks.slice(0, 10), [], `none of ${leaks.length} leaks`)
})

t.test('R-40 R-41 R-42 R-44 R-45 R-49 R-53 what an unguarded twin hands to such a reader is rejected', async t => {
  const random = new Random(SEED)
  const { targets, secrets, leaks } = await checkOverSockets({ random, count: 3000, guards, tokenOfB })
  t.ok(secrets > 300, `${secrets} of ${targets} targets hand something out`)
  t.strictSame(leaks.slice(0, 10), [], `none of ${leaks.length} leaks`)
})

t.test('R-52 a target that no reader takes for the prefix is not guarded and not ambiguous', async t => {
  const random = new Random(SEED)
  const check = createPureCheck({ possiblePaths, prefixOf })
  for (const target of HARMLESS) t.notOk(check(target).isGuarded(), target.slice(0, 80))
  const generated = Array.from({ length: 5000 }, () => harmless(random))
  const guarded = generated.filter(target => check(target).isGuarded())
  // Some pile up more odd constructs than are interpreted.
  t.ok(guarded.length <= 5, `${guarded.length} of ${generated.length} generated ones are ambiguous`)
  t.strictSame(generated.slice(0, 1000).filter(target => check(target).findReader() !== null), [], 'the model agrees')
})

t.test('R-52 harmless targets stay open on a public wildcard, and to the users of a prefix below it', async t => {
  const app = createApp(t)
  await guards.a(app, '/admin')
  await guards.b(app, '/b')
  app.get('/*', async () => 'in')
  const client = CLIENTS['HTTP/1'](await listen(app))
  t.teardown(() => client.close())
  const random = new Random(SEED)
  const generated = Array.from({ length: 400 }, () => harmless(random)).filter(target => possiblePaths(target) !== null)
  const targets = [...HARMLESS, ...generated]
  const below = targets.map(target => `/admin${target}`)
  const isNot = (expected: number, asked: readonly string[], answers: readonly { status: number }[]): string[] =>
    asked.filter((_target, i) => answers[i]?.status !== expected).map(target => target.slice(0, 80))
  t.strictSame(isNot(200, targets, await askAll(client, targets)), [], 'open to a stranger')
  t.strictSame(isNot(200, below, await askAll(client, below, tokenOfA)), [], 'admitted with the token of the prefix')
  t.strictSame(isNot(401, below, await askAll(client, below)), [], 'closed to a stranger')
  t.strictSame(isNot(401, below, await askAll(client, below, tokenOfB)), [], 'closed to a user of the other prefix')
})

t.test('R-38 what is guarded is admitted with the token of the prefix, and nothing fails', async t => {
  const app = createApp(t, { routerOptions: { maxParamLength: 5000 } })
  await guards.a(app, '/admin')
  for (const pattern of ['/:a', '/:a/:b', '/*']) app.all(pattern, async () => 'in')
  const client = CLIENTS['HTTP/1'](await listen(app))
  t.teardown(() => client.close())
  const random = new Random(SEED)
  const targets = Array.from({ length: 1000 }, () => hostile(random))
  const [anonymous, admitted] = [await askAll(client, targets), await askAll(client, targets, tokenOfA)]
  for (const [i, target] of targets.entries()) {
    const status = Number(anonymous[i]?.status)
    if (![200, 400, 401].includes(status)) t.fail(`${target} answered ${status}`)
    const expected = status === 401 ? 200 : status
    if (admitted[i]?.status !== expected) t.fail(`${target} answered ${admitted[i]?.status} to A, not ${expected}`)
  }
})

t.test('the model sees what it has to see', async t => {
  const readers = (target: string): string | null => findReader(startsOf(target), under('/admin'))
  for (const [target, reader] of [
    ['/admin', 'raw'],
    ['/administrator', null],
    ['/x?/../admin', null],
    ['/x/admin', null],
    ['/a%2Fb/%2e%2e/admin/users', 'raw > URL'],
    ['/ad%09min/z', 'wildcard > URL'],
    ['/x/.%09./admin/z', 'wildcard > URL'],
    ['/%2fhost/admin', 'wildcard > URL'],
    ['//x/admin/z', 'without authority'],
    ['http://x/admin/z', 'without authority'],
    ['/x;/../admin/z', 'raw > URL'],
    ['/%2525252561dmin', null], // four encodings and the router's: more habits than a reader has
    ['/%25252561dmin', 'wildcard > decode > decode > decode'],
    ['/%C0%AFadmin', 'raw > overlong > posix.normalize']
  ] as const) t.equal(readers(target), reader, target)
})
