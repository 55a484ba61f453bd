import t, { type Test } from 'tap'
import { cfAccess } from '../../lib/index.js'
import { AUD, bearing, createApp, listen, OTHER_AUD, sendRaw, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const tokens = {
  none: null,
  a: team.userToken({ email: 'a@acme.com', audience: AUD }),
  b: team.userToken({ email: 'b@acme.com', audience: OTHER_AUD }),
  both: team.userToken({ email: 'c@acme.com', audience: [AUD, OTHER_AUD] })
}
type Token = keyof typeof tokens

/** Asks for a target, byte for byte, in front of a wildcard that A guards under `/admin` and B under `/b`. */
async function start (t: Test, scope = ''): Promise<(target: string) => Promise<Record<Token, number>>> {
  const app = createApp(t)
  app.register(async inner => {
    inner.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/admin' })
    inner.register(cfAccess, { teamDomain: team.domain, audience: OTHER_AUD, prefix: '/b' })
    inner.get('/*', async () => 'in')
  }, { prefix: scope })
  const port = await listen(app)
  return async target => {
    const statuses = Object.entries(tokens).map(async ([name, token]) =>
      [name, (await sendRaw(port, target, { headers: token === null ? {} : bearing(token) })).status])
    return Object.fromEntries(await Promise.all(statuses)) as Record<Token, number>
  }
}

const OPEN = { none: 200, a: 200, b: 200, both: 200 }
const BY_A = { none: 401, a: 200, b: 401, both: 200 }
const BY_B = { none: 401, a: 401, b: 200, both: 200 }
const BY_BOTH = { none: 401, a: 401, b: 401, both: 200 }

const utf8 = (text: string): string => encodeURIComponent(text)

/** Who must admit each target. */
const TARGETS: ReadonlyArray<readonly [expected: Record<Token, number>, why: string, targets: readonly string[]]> = [
  [OPEN, 'a path of neither', ['/', '/x', '/administrator', '/admin.txt', '/x/admin', '/bb', '/_admin', '/adm-in', '/b-']],
  [OPEN, 'parts that no reader takes for a separator', ['/x%20y', '/x:admin', '/@scope%2fname', '/x%25y', '/100%25caf%C3%A9']],
  [OPEN, 'a query', ['/x?/admin', '/x?/../admin', '/x?y=%2fadmin', '/?//h/admin', '/x?;/../b', '/x?/../y?z']],
  [BY_A, 'plain', ['/admin', '/admin/', '/admin/x', '/admin/x.y', '/admin/b', '/admin?x', '/admin/x?/b']],
  [BY_A, 'case', ['/ADMIN', '/Admin/x', '/aDMIN']],
  [BY_A, 'encoded, once and twice', ['/%61dmin', '/admi%6e/x', '/%2561dmin', '/%252561dmin']],
  [BY_A, 'letters that fold to it', [`/${utf8('ａdmin')}`, `/${utf8('admın')}`, `/adm${utf8('ⁱ')}n`, `/${utf8('ᴬdmin')}`]],
  [BY_A, 'invisible characters, once and more', [`/ad${utf8('\u00AD')}min`, `/a${utf8('\u200B')}d${utf8('\u200B')}min`,
    `/a${utf8('\u00AD\u00AD')}dmi${utf8('\u2060')}n`]],
  [BY_A, 'blanks and dots around it', ['/%20admin', '/admin%20', '/admin%20.', '/admin.%20', '/admin%20.%20.', '/admin.',
    '/admin...', '/%09admin', '/admin%0a', `/admin${utf8('\u00A0')}`, '/admin.%20%20', '/%20%20admin/x']],
  [BY_A, 'parameters, queries and fragments, also encoded', ['/admin;v=1', '/admin;v=1/x', '/admin%3bx', '/admin%3fx',
    '/admin%23x', '/admin#x', '/;x/admin']],
  [BY_A, 'other separators', ['/\\admin', '/admin\\x', '/admin%5cx', '/%5cadmin', '/admin%2fx', '//admin', '///admin/x',
    '/admin//x']],
  [BY_A, 'below an authority', ['//host/admin', '//host:80/admin/x', 'http://host/admin', 'HTTP://host/admin/x',
    '/\\host/admin', '/http://host/admin', '//h%2fx/admin', '/%20/host/admin']],
  [BY_A, 'blanks alone in a segment', ['/admin/%20/x', '/admin/%20%20/x', '/%20/admin']],
  [BY_B, 'plain', ['/b', '/b/x', '/B/x/', '/%62/admin']],
  [BY_B, 'in B alone, however odd what follows', ['/b/x%20', '/b/admin;v=1', '/b/x%2fadmin', '/b/x#/admin']],
  [BY_BOTH, 'dot segments', ['/./x', '/x/./y', '/x/../y', '/..', '/x/..', '/admin/.', '/admin/./x', '/b/..', '/admin/../b']],
  [BY_BOTH, 'dot segments that are encoded', ['/x/%2e/y', '/x/%2e%2e/y', '/x%2f..%2fy', '/x/%252e%252e/y', '/x/.%2e/y',
    '/admin/%2e/x']],
  [BY_BOTH, 'dot segments with something that a reader drops', ['/x/.;v/y', '/x/..;/y', '/x/..%3f/y', '/x/..%23/y',
    '/x/.%20./y', '/x/..%20/y', '/x/%20../y', '/x/.%09/y', `/x/.${utf8('\u00AD')}./y`, '/admin/.%20/x', '/x/.%20../y',
    '/x/%20...%20/y', '/admin/.%20%20.%20/x', '/x/..\\y', '/x\\..\\y', '/x/..%5cy']],
  [BY_BOTH, 'bytes that readers decode too differently', ['/x%00', '/%00/admin', '/admin%00', '/x/%2500', '/x/%25c0%25ae/y',
    '/x/%25c1%2581/y', '/x/%25e0%2580%25af', '/x/%25e0%259f%25bf', '/x/%25f0%2580%2580%25af', '/x/%25u002e',
    '/x/%25u0061dmin']],
  // Found by a search: each target shows a step to which no other step leads.
  [OPEN, 'one step', ['x://any/%255c_', '/%5c;http://', '/\\/%255ca', `/${'%2580'.repeat(15)}adm`, `/x/${'%25b9'.repeat(15)}`,
    '/a\\%20\\x:\\\\']],
  [BY_A, 'one step', ['/%5Chost\\/admin?/..', 'Http://Any?/aDMiN', '/x%3A//any/admin', `/adm${'%2580'.repeat(15)}in`]],
  [BY_B, 'one step', ['/%25b9b', '/%25ffb', 'x://b/y']],
  [BY_BOTH, 'one step', ['/a%25aa\\/', 'x://any?/.', '/%3f\\%255c', '/%5chttp://%3b', '/%3b%25/bx+y:;//%25c2',
    '/a%2fb/%2F%78../%61dmin\\x', '/http:///_b%25c2h2:%25%25b9%2f',
    'http://any?\\/hos%%2537%2534/admin.', '/%e2%80%a5/x']],
  [OPEN, 'well-formed characters near to those', ['/x/%25c2%25ae', '/x/%25e0%25a0%2580', '/x/%25f0%2590%2580%2580', '/x/%25u00g',
    '/x/%2501']]
]

t.test('which registrations must admit a target', async t => {
  const ask = await start(t)
  for (const [expected, why, targets] of TARGETS) {
    for (const target of targets) t.strictSame(await ask(target), expected, `${why}: ${target}`)
  }
})

/** Targets of one part, as many times as it is given, and how many are still read. One more is ambiguous. */
const LIMITS: ReadonlyArray<readonly [what: string, most: number, target: (count: number) => string]> = [
  ['characters', 1024, count => '/x%20'.padEnd(count, 'y')],
  ['segments', 64, count => `/x%20${'/y'.repeat(count - 1)}`],
  ['parameters', 16, count => `/x${';y'.repeat(count)}`],
  ['double slashes', 15, count => `/x${'//y'.repeat(count)}`],
  ['encoded slashes', 16, count => `/x${'%2fy'.repeat(count)}`],
  ['encoded slashes in upper case', 16, count => `/x${'%2Fy'.repeat(count)}`],
  ['backslashes', 15, count => `/x${'\\y'.repeat(count)}`],
  ['characters over all forms', 528, count => `/x%2fy%5cz;u/${'y'.repeat(count)}`],
  ['characters beyond ASCII over all forms', 77, count => `/x%2fy%5cz;u/${utf8('日').repeat(count)}`],
  ['segments with a blank', 16, count => '/x%20'.repeat(count)],
  ['segments with a dot at the end', 16, count => '/x.'.repeat(count)],
  ['layers of encoding', 14, count => `/x%${'25'.repeat(count)}41`]
]

t.test('a target beyond a limit is ambiguous, one within it is not', async t => {
  const ask = await start(t)
  for (const [what, most, target] of LIMITS) {
    t.strictSame(await ask(target(most)), OPEN, `${most} ${what}`)
    t.strictSame(await ask(target(most + 1)), BY_BOTH, `${most + 1} ${what}`)
  }
  for (const plain of ['/x'.repeat(1500), `/${'x'.repeat(3000)}`]) {
    t.strictSame(await ask(plain), OPEN, 'a long plain path')
  }
})

t.test('a scope prefix that is not in normal form', async t => {
  for (const [scope, target] of [['/x\\y', '/x\\y/admin/z'], ['/x\\y', '/x/y/admin'],
    ['/ss', `/${utf8('ß')}/admin`]] as const) {
    const app = createApp(t)
    app.register(async inner => {
      inner.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefix: '/admin' })
    }, { prefix: scope })
    app.get('/*', async () => 'in')
    const port = await listen(app)
    t.equal((await sendRaw(port, target)).status, 200, `${target} is outside the scope ${scope}`)
  }
  for (const [scope, targets] of Object.entries({
    '/x\\y': ['/x\\y/admin', '/x\\y/admin/z', '/x\\y/%61dmin'],
    '/x .': ['/x%20./admin', '/x%20./admin/z']
  })) {
    const ask = await start(t, scope)
    for (const target of targets) t.strictSame(await ask(target), BY_A, target)
  }
})

t.test('a prefix in another normal form than its target', async t => {
  const app = createApp(t)
  app.register(cfAccess, {
    teamDomain: team.domain, audience: AUD, prefixes: ['/ss', '/s\u015B', '/ad\u00ADm\u00ADin']
  })
  app.get('/*', async () => 'in')
  const port = await listen(app)
  for (const target of [`/${utf8('ß')}`, '/SS', `/${utf8('ẞ')}/x`, `/${utf8('ß\u0301')}`, '/admin', '/Admin/x']) {
    t.equal((await sendRaw(port, target)).status, 401, target)
  }
})

/** Targets under `/` and prefixes below one another, and the registrations, by prefix, that must admit each. */
const NESTED: ReadonlyArray<readonly [target: string, prefixes: readonly string[]]> = [
  ['/', ['/']], ['/x', ['/']], ['/admin', ['/admin']], ['/admin/x', ['/admin/x']], ['/admin/x/y', ['/admin/x']],
  ['/;/admin', ['/', '/admin']],
  ['/admin;/x', ['/', '/admin', '/admin/x']], // a reader can stop at the mark, or keep it
  ['/admin/x%20', ['/admin', '/admin/x']], // a reader that keeps the blank is below /admin alone
  ['/admin/x/y%20', ['/admin/x']],
  ['/%20admin/x', ['/', '/admin', '/admin/x']],
  ['/admin//x', ['/admin', '/admin/x']], // or keep the empty segment
  ['/admin//x/x', ['/admin', '/admin/x']],
  ['//admin', ['/', '/admin']],
  ['//admin/admin', ['/', '/admin']],
  ['/admin/%20/h%5cx', ['/', '/admin', '/admin/x']], // or drop the blank, then the authority, and keep the backslash
  ['/admin%5c%E2%81%A0x', ['/', '/admin', '/admin/x']],
  ['/y\\z\\http:\\\\h\\x', ['/', '/y/z/x']]
]

t.test('prefixes below one another', async t => {
  const app = createApp(t)
  const prefixes = ['/', '/admin', '/admin/x', '/y/z/x']
  for (const prefix of prefixes) app.register(cfAccess, { teamDomain: team.domain, audience: prefix, prefix })
  app.get('/*', async () => 'in')
  const port = await listen(app)
  for (const [target, expected] of NESTED) {
    const statusWith = async (audience: readonly string[]): Promise<number> => {
      const token = team.userToken({ email: 'a@acme.com', audience: [...audience] })
      return (await sendRaw(port, target, { headers: bearing(token) })).status
    }
    t.equal(await statusWith(expected), 200, `${target} with ${expected.join(' and ')}`)
    for (const left of expected) {
      const others = prefixes.filter(prefix => prefix !== left)
      t.equal(await statusWith(others), 401, `${target} without ${left}`)
    }
  }
})

/** The first and the last character of each form of UTF-8 (RFC 3629, section 4), as far as a prefix can hold them. */
const CHARACTERS = ['\u00A1', '\u07B1', '\u0800', '\u0FDA', '\u1000', '\uCFFF', '\uD000', '\uD7FB', '\uE000', '\uFFFC',
  '\u{10000}', '\u{3FFFD}', '\u{40000}', '\u{FFFFD}', '\u{100000}', '\u{10FFFD}']

/** Bytes that are no such form: cut, beyond the last character, surrogates, continuations alone. */
const MALFORMED = ['%80', '%bf', '%c2', '%c3%28', '%df', '%e0%a0', '%e1%80', '%ed%a0%80', '%ed%bf%bf', '%ef%bf',
  '%f0%90%80', '%f1%80%80', '%f4%90%80%80', '%f4%8f%bf', '%f5%80%80%80', '%f8%88%80%80%80', '%fe', '%ff', '%',
  '%z0', '%4', '%2']

/** As often as the router decodes it, once, a text is encoded. */
const twice = (text: string): string => text.replaceAll('%', '%25')

t.test('well-formed UTF-8 is decoded, and other bytes are kept', async t => {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefixes: CHARACTERS.map(text => `/x${text}y`) })
  app.get('/*', async () => 'in')
  const port = await listen(app)
  for (const text of CHARACTERS) {
    for (const filler of ['', 'é'.repeat(20)]) { // few escapes are decoded one by one, many at once
      const target = `/${twice(utf8(`x${text}y`))}/${utf8(filler)}`
      const name = `U+${text.codePointAt(0)!.toString(16)} and ${filler.length} more`
      t.equal((await sendRaw(port, target)).status, 401, name)
    }
  }
  for (const bytes of MALFORMED) {
    for (const filler of ['', 'é'.repeat(20)]) {
      const target = `/${twice(bytes)}/${utf8(filler)}`
      t.equal((await sendRaw(port, target)).status, 200, `${bytes} and ${filler.length} more`)
      const guarded = `/x${twice(utf8('\u00A1'))}y/${twice(bytes)}/${utf8(filler)}`
      t.equal((await sendRaw(port, guarded)).status, 401, `${bytes} below a prefix`)
    }
  }
})

t.test('bytes that a reader drops, or reads as Latin-1', async t => {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD, prefixes: ['/a1o2', '/admin'] })
  app.get('/*', async () => 'in')
  const port = await listen(app)
  for (const bytes of ['/%aa%b9%ba%b2', '/%aa1o%b2', '/adm%80in', '/%fe%ffadmin/x', '/admin%c2/x', '/admin%e1%80']) {
    t.equal((await sendRaw(port, twice(bytes))).status, 401, bytes)
  }
  for (const bytes of ['/%ab1o2', '/a%b8o2', '/adm%e9in']) {
    t.equal((await sendRaw(port, `${twice(bytes)}x`)).status, 200, bytes)
  }
})
