import t from 'tap'
import { html } from '../../lib/dev/html.js'
import { createAccessEdge, type AccessEdgeOptions } from '../../lib/dev/index.js'
import { stopClock } from '../fixtures/clock.js'
import { ask, cookieIn, post, serveEcho, signIn, startEdge } from '../fixtures/edge.js'

stopClock(t)
const to = await serveEcho(t)

const WRONG: ReadonlyArray<readonly [options: object, message: RegExp]> = [
  [{ to: undefined }, /"to" is undefined; it takes the address of your application/],
  [{ to: '127.0.0.1:3000' }, /"to" is '127\.0\.0\.1:3000'/],
  [{ to: 'ftp://127.0.0.1' }, /"to"/],
  [{ to: 'http://127.0.0.1:3000/base' }, /"to".*without a path/],
  [{ to: 'http://user:pass@127.0.0.1' }, /"to"/],
  [{ to: 'http://127.0.0.1:99999' }, /"to"/],
  [{ to: 'http://127.0.0.1:4000', port: 4000 }, /"to" is http:\/\/127\.0\.0\.1:4000, where the stand-in itself/],
  [{ to: 'http://localhost:4000', port: undefined }, /"port" is undefined/],
  [{ to: 'http://localhost:4000/', port: 4000 }, /"to" is http:\/\/localhost:4000, where the stand-in itself/],
  [{ too: to }, /"too" is not known; did you mean "to"\?/],
  [{ host: '0.0.0.0' }, /"host" is not known/],
  [{ port: '4000' }, /"port" is '4000'; it takes a port/],
  [{ port: 65_536 }, /"port"/],
  [{ port: -1 }, /"port"/],
  [{ session: '5 minutes' }, /"session" is '5 minutes'; it takes a time from 1s to 30d/],
  [{ session: 0 }, /"session"/],
  [{ session: '31d' }, /"session"/],
  [{ session: 1.5 }, /"session"/],
  [{ rotate: 0 }, /"rotate" is 0; it takes a whole number of seconds/],
  [{ rotate: '60' }, /"rotate"/],
  [{ outage: 'broke' }, /"outage" is 'broke'; it takes one of down, slow/],
  [{ outage: 'constructor' }, /"outage"/],
  [{ keys: '' }, /"keys" is ''; it takes the name of a file/],
  [{ people: {} }, /"people" is \{\}; it takes a list of people/],
  [{ people: ['alice@acme.com'] }, /people\[0\] is 'alice@acme\.com'; it takes a person/],
  [{ people: [{ email: 'alice' }] }, /people\[0\]\.email is 'alice'; it takes an e-mail address/],
  [{ people: [{ email: 'a@acme.com' }, { name: 'B' }] }, /people\[1\]\.email is undefined/],
  [{ people: [{ email: 'a@acme.com' }, { email: 'A@acme.com' }] }, /a@acme\.com is there twice/],
  [{ people: [{ email: 'a@acme.com', mail: 'x' }] }, /In people\[0\], "mail" is not known; did you mean "email"\?/],
  [{ people: [{ email: 'a@acme.com', name: '' }] }, /people\[0\]\.name is ''/],
  [{ people: [{ email: 'a@acme.com', groups: 'admins' }] }, /people\[0\]\.groups is 'admins'; it takes a list/],
  [{ people: [{ email: 'a@acme.com', groups: [1] }] }, /a@acme\.com cannot be told of: the answer's "groups"/],
  [{ people: [{ email: 'a@acme.com', identity: { email: 'b@acme.com' } }] }, /a@acme\.com cannot be told of.*another identity/],
  [{ people: [{ email: 'a@acme.com', identity: [] }] }, /people\[0\]\.identity/],
  [{ people: [{ email: 'a@acme.com', country: 'Germany' }] }, /people\[0\]\.country is 'Germany'; it takes a two-letter/],
  [{ people: [{ email: 'a@acme.com', claims: null }] }, /people\[0\]\.claims is null/],
  [{ people: [{ email: 'a@acme.com', claims: { iss: 'x' } }] }, /people\[0\]\.claims has "iss"/],
  [{ serviceTokens: {} }, /"serviceTokens"/],
  [{ serviceTokens: [{ clientId: 'x', clientSecret: 'y' }] }, /"serviceTokens\[0\]\.clientId" is 'x'; it takes a client ID, which ends in "\.access"/],
  [{ serviceTokens: [{ clientId: 'x.access' }] }, /"serviceTokens\[0\]\.clientSecret" is undefined/],
  [{ serviceTokens: [{ clientId: 'x.access', clientSecret: 'a,b' }] }, /clientSecret/],
  [{ applications: [] }, /"applications" is \[\]/],
  [{ applications: [{ path: 'admin' }] }, /applications\[0\]\.path is 'admin'; it takes a path/],
  [{ applications: [{ path: '/admin/' }] }, /applications\[0\]\.path/],
  [{ applications: [{ path: '/x' }, { path: '/admin', audience: '' }] }, /applications\[1\]\.audience is ''/],
  [{ applications: [{ path: '/x' }, { path: '/X' }] }, /the path \/x is there twice/],
  [{ applications: [{ path: '/x', name: ' ' }] }, /applications\[0\]\.name/],
  [{ applications: [{ path: '/x', policy: {} }] }, /applications\[0\]\.policy is \{\}; it takes a policy/],
  [{ applications: [{ path: '/x', policy: undefined }] }, /applications\[0\]\.policy is undefined/],
  [{ applications: [{ path: '/x', policy: { include: { mail: 'x' } } }] }, /"mail" is not known; did you mean "email"\?/]
]

t.test('what is wrong is named, with what it is and what it takes', async t => {
  for (const [options, message] of WRONG) {
    await t.rejects(createAccessEdge({ to, port: 0, ...options } as AccessEdgeOptions), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message }, String(message))
  }
})

t.test('a session lasts as long as it says', async t => {
  for (const [session, seconds] of [[90, 90], ['90', 90], ['90s', 90], ['5m', 300], ['24h', 86_400], ['30d', 2_592_000]] as const) {
    const edge = await startEdge(t, { to, session })
    t.match(cookieIn((await post(edge, { email: 'a@acme.com' })).headers), `Max-Age=${seconds};`)
  }
})

t.test('without people of its own it has one who is an admin, and one who is not', async t => {
  const edge = await startEdge(t, { to })
  const { body } = await ask(`${edge.domain}/cdn-cgi/access/login`)
  t.match(body, /alice@example\.com.*<span>admins<\/span>.*bob@example\.com/s)
  t.notMatch(body, /bob@example\.com.*<span>admins<\/span>/s)
})

t.test('a policy may be a function, of people and of services', async t => {
  const services = [{ clientId: 'one.access', clientSecret: 'x' }, { clientId: 'two.access', clientSecret: 'x' }]
  const edge = await startEdge(t, {
    to,
    serviceTokens: services,
    applications: [{
      path: '/',
      policy: async (identity, { url }) => identity.kind === 'service' ? (await identity.details()).serviceTokenId === 'one.access' : url === '/yes'
    }]
  })
  const session = await signIn(edge, 'a@acme.com')
  const [one, two] = services.map(({ clientId, clientSecret }) => ({ 'cf-access-client-id': clientId, 'cf-access-client-secret': clientSecret }))
  t.equal((await ask(`${edge.domain}/yes`, { headers: session })).status, 200)
  t.match(await ask(`${edge.domain}/no`, { headers: session }), { status: 403, headers: { 'cf-access-error': 'predicate' } })
  t.equal((await ask(edge.domain, { headers: one! })).status, 200)
  t.equal((await ask(edge.domain, { headers: two! })).status, 403)
})

t.test('values in HTML are text, and HTML in it is HTML', async t => {
  t.equal(String(html`<a b="${'"><\'&'}">${html`<i>${'<'}</i>`}${[html`1`, html`<2>`]}${[]}</a>`), '<a b="&quot;&gt;&lt;&#39;&amp;"><i>&lt;</i>1<2></a>')
})
