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
  [{ to: 'http://127.0.0.1:4000', port: 4000 }, /"to" is http:\/\/127\.0\.0\.1:4000, where the emulator itself/],
  [{ to: 'http://localhost:4000', port: undefined }, /"port" is undefined/],
  [{ to: 'http://localhost:4000/', port: 4000 }, /"to" is http:\/\/localhost:4000, where the emulator itself/],
  [{ too: to }, /"too" is not known; did you mean "to"\?/],
  [{ host: '0.0.0.0' }, /"host" is not known/],
  [{ port: '4000' }, /"port" is '4000'; it takes a whole number from 0 to 65535/],
  [{ port: 65_536 }, /"port"/],
  [{ port: -1 }, /"port"/],
  [{ session: '5 minutes' }, /"session" is '5 minutes'; it takes a duration from 1s to 30d, such as/],
  [{ session: 90 }, /"session" is 90; it takes a duration from 1s to 30d, with its unit: write "90s" or "90ms"/],
  [{ session: '90' }, /"session" is '90'; .* write "90s" or "90ms"/],
  [{ session: 0 }, /"session"/],
  [{ session: '31d' }, /"session"/],
  [{ session: 1.5 }, /"session"/],
  [{ session: '0s' }, /"session"/],
  [{ session: '999ms' }, /"session"/],
  [{ rotate: 0 }, /"rotate" is 0; it takes a duration from 1s to 24d/],
  [{ rotate: '25d' }, /"rotate"/],
  [{ outage: 'broke' }, /"outage" is 'broke'; it takes one of down, slow/],
  [{ outage: 'constructor' }, /"outage"/],
  [{ keys: '' }, /"keys" is ''; it takes the name of a file/],
  [{ users: {} }, /"users" is \{\}; it takes a list of users/],
  [{ users: ['alice@acme.com'] }, /"users\[0\]" is 'alice@acme\.com'; it takes a user/],
  [{ users: [{ email: 'alice' }] }, /"users\[0\]\.email" is 'alice'; it takes an e-mail address/],
  [{ users: [{ email: 'a@acme.com' }, { name: 'B' }] }, /"users\[1\]\.email" is missing/],
  [{ users: [{ email: 'a@acme.com' }, { email: 'A@acme.com' }] }, /"users" has a@acme\.com twice/],
  [{ users: [{ email: 'a@acme.com', mail: 'x' }] }, /In option "users\[0\]", "mail" is not known; did you mean "email"\?/],
  [{ users: [{ email: 'a@acme.com', name: '' }] }, /"users\[0\]\.name" is ''/],
  [{ users: [{ email: 'a@acme.com', groups: 'admins' }] }, /"users\[0\]\.groups" is 'admins'; it takes a list/],
  [{ users: [{ email: 'a@acme.com', groups: [1] }] }, /the get-identity response for a@acme\.com is not valid: the answer's "groups"/],
  [{ users: [{ email: 'a@acme.com', identity: { email: 'b@acme.com' } }] }, /a@acme\.com is not valid.*another identity/],
  [{ users: [{ email: 'a@acme.com', identity: [] }] }, /users\[0\]\.identity/],
  [{ users: [{ email: 'a@acme.com', country: 'Germany' }] }, /"users\[0\]\.country" is 'Germany'; it takes a two-letter/],
  [{ users: [{ email: 'a@acme.com', claims: null }] }, /"users\[0\]\.claims" is null/],
  [{ users: [{ email: 'a@acme.com', claims: { iss: 'x' } }] }, /"users\[0\]\.claims" has "iss"/],
  [{ serviceTokens: {} }, /"serviceTokens"/],
  [{ serviceTokens: [{ clientId: 'x', clientSecret: 'y' }] }, /"serviceTokens\[0\]\.clientId" is 'x'; it takes a client ID, which ends in "\.access"/],
  [{ serviceTokens: [{ clientId: 'x.access' }] }, /"serviceTokens\[0\]\.clientSecret" is missing/],
  [{ serviceTokens: [{ clientId: 'x.access', clientSecret: 'a,b' }] }, /clientSecret/],
  [{ applications: [] }, /"applications" is \[\]/],
  [{ applications: [{ path: 'admin' }] }, /"applications\[0\]\.path" is 'admin'; it takes a path/],
  [{ applications: [{ path: '/admin/' }] }, /applications\[0\]\.path/],
  [{ applications: [{ path: '/x' }, { path: '/admin', audience: '' }] }, /"applications\[1\]\.audience" is ''/],
  [{ applications: [{ path: '/x' }, { path: '/X' }] }, /"applications" has the path \/x twice/],
  [{ applications: [{ path: '/x' }, { path: '/x', hostname: 'app.localhost' }, { path: '/X', hostname: 'app.localhost' }] }, /"applications" has the path app\.localhost\/x twice/],
  ...['localhost', 'app.example.com', 'APP.localhost', 'app.localhost:80', '.localhost', '[::1]', ''].map(hostname =>
    [{ applications: [{ path: '/x', hostname }] }, /applications\[0\]\.hostname" is .*; it takes "127\.0\.0\.1" or a name such as "app\.localhost"/] as const),
  [{ applications: [{ path: '/x', to: 'http://127.0.0.1:3000/x' }] }, /"applications\[0\]\.to" is .*; it takes the address/],
  [{ port: 4001, applications: [{ path: '/x', to: 'http://app.localhost:4001' }] }, /"to" is http:\/\/app\.localhost:4001, where the emulator itself is to listen/],
  [{ sameSite: 'strict' }, /"sameSite" is 'strict'; it takes "lax" or "none"/],
  [{ lenient: 1 }, /"lenient" is 1; it takes true or false/],
  [{ lenient: true, managedOauth: true }, /"lenient" and "managedOauth" both say/],
  [{ log: true }, /"log" is true; it takes a function/],
  [{ applications: [{ path: '/x', name: ' ' }] }, /applications\[0\]\.name/],
  [{ applications: [{ path: '/x', policy: {} }] }, /applications\[0\]\.policy is \{\}; it takes a policy/],
  [{ applications: [{ path: '/x', policy: undefined }] }, /applications\[0\]\.policy is undefined/],
  [{ applications: [{ path: '/x', policy: { include: { mail: 'x' } } }] }, /"mail" is not known; did you mean "email"\?/]
]

t.test('an error names the option, what it is and what it takes', async t => {
  for (const [options, message] of WRONG) {
    await t.rejects(createAccessEdge({ to, port: 0, ...options } as AccessEdgeOptions),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message }, String(message))
  }
})

t.test('a session lasts as long as it says', async t => {
  for (const [session, seconds] of [['1000ms', 1], ['90s', 90], ['5m', 300], ['24h', 86_400],
    ['30d', 2_592_000]] as const) {
    const edge = await startEdge(t, { to, session })
    t.match(cookieIn((await post(edge, { email: 'a@acme.com' })).headers), `Max-Age=${seconds};`)
  }
})

t.test('the default users are one admin and one who is not', async t => {
  const edge = await startEdge(t, { to })
  const { body } = await ask(`${edge.domain}/cdn-cgi/access/login`)
  t.match(body, /alice@example\.com.*<span>admins<\/span>.*bob@example\.com/s)
  t.notMatch(body, /bob@example\.com.*<span>admins<\/span>/s)
})

t.test('a policy may be a function, of users and of services', async t => {
  const services = [{ clientId: 'one.access', clientSecret: 'x' }, { clientId: 'two.access', clientSecret: 'x' }]
  const edge = await startEdge(t, {
    to,
    serviceTokens: services,
    applications: [{
      path: '/',
      policy: async (identity, { url }) => identity.kind === 'service'
        ? (await identity.details()).serviceTokenId === 'one.access'
        : url === '/yes'
    }]
  })
  const session = await signIn(edge, 'a@acme.com')
  const [one, two] = services.map(
    ({ clientId, clientSecret }) => ({ 'cf-access-client-id': clientId, 'cf-access-client-secret': clientSecret }))
  t.equal((await ask(`${edge.url}/yes`, { headers: session })).status, 200)
  t.match(await ask(`${edge.url}/no`, { headers: session }), {
    status: 403,
    headers: { 'cf-access-error': 'predicate' }
  })
  t.equal((await ask(edge.url, { headers: one! })).status, 200)
  t.equal((await ask(edge.url, { headers: two! })).status, 403)
})

t.test('values in HTML are text, and HTML in it is HTML', async t => {
  t.equal(String(html`<a b="${'"><\'&'}">${html`<i>${'<'}</i>`}${[html`1`, html`<2>`]}${[]}</a>`),
    '<a b="&quot;&gt;&lt;&#39;&amp;"><i>&lt;</i>1<2></a>')
})
