import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { cfAccess } from '../../lib/index.js'
import type { Check } from '../../lib/doctor/check.js'
import type { AccessTeam, FaultyAnswer } from '../../lib/testing/index.js'
import { holdTimers } from '../fixtures/clock.js'
import { checksOf } from '../fixtures/doctor.js'
import { serve, serveEcho, startEdge } from '../fixtures/edge.js'
import { AUD, createApp, listen, OTHER_AUD, startTeam } from '../fixtures/index.js'
import { answering } from '../fixtures/key-endpoint.js'

/** What the doctor says of a URL that is answered so. */
async function checkUrl (
  t: Test, team: AccessTeam, answer: FaultyAnswer
): Promise<Check> {
  const { origin } = await serve(t, (request, response) => answer(request, response, ''))
  return (await checksOf(['--team', team.domain, '--audience', AUD, '--url', `${origin}/page?x=1`]))['url']!
}

function redirecting (location: string, headers: Record<string, string> = {}): FaultyAnswer {
  return answering('', 302, { location, ...headers })
}

function loginOf (domain: string, tag: string): string {
  return `${domain}/cdn-cgi/access/login/app.example.com?kid=${tag}&redirect_url=%2F&meta=x.y.z`
}

t.test('the login page must be of this team, for this AUD tag', async t => {
  const team = await startTeam(t)
  const check = (domain: string, tag: string): Promise<Check> => checkUrl(t, team, redirecting(loginOf(domain, tag)))
  t.match(await check(team.domain, AUD), { ok: true, text: /redirects to the login page of .* for the AUD tag a{64}, as in/ })
  t.match(await check(team.domain, OTHER_AUD),
    { ok: false, reason: 'audience', text: /AUD tag b{64}; the settings have the team http.* and the AUD tag a{64}\./, todo: /AUD/ })
  t.match(await check('https://other.cloudflareaccess.com', AUD),
    { ok: false, reason: 'issuer', text: /of https:\/\/other\.cloudflareaccess\.com for .*the settings have the team http/ })
  const strange = await check('https://evil.example', 'alice@acme.com')
  t.match(strange, { ok: false, reason: 'issuer', text: /of a text of 20 characters for the AUD tag a text of 14/ })
  t.match(await checkUrl(t, team, redirecting(`${team.domain}/cdn-cgi/access/login/app.example.com`)),
    { ok: false, reason: 'audience', text: /AUD tag missing/ })
})

t.test('the emulator\'s edge is as Access', async t => {
  const edge = await startEdge(t, { to: await serveEcho(t), applications: [{ path: '/admin', audience: 'my-tag' }] })
  const args = ['--team', edge.domain, '--url']
  t.match(await checksOf([...args, `${edge.url}/admin`, '--audience', 'my-tag']), { url: { ok: true, text: /my-tag, as in/ } })
  t.match(await checksOf([...args, `${edge.url}/admin`, '--audience', AUD]),
    { url: { ok: false, reason: 'audience', text: /a text of 6 characters; .* the AUD tag a{64}\./ } })
  t.match(await checksOf([...args, `${edge.url}/other`, '--audience', 'my-tag']),
    { url: { ok: false, reason: 'missing', text: /status 200 without a session\. Access does not protect this path/ } })
})

t.test('redirects on the same host are followed, a few', async t => {
  const team = await startTeam(t)
  const paths: string[] = []
  const after = (count: number) => ({ url }: IncomingMessage, response: ServerResponse): void => {
    paths.push(url!)
    const location = paths.length > count ? loginOf(team.domain, AUD) : `/${paths.length}`
    response.writeHead(301, { location }).end()
  }
  t.match(await checkUrl(t, team, after(3)), { ok: true, text: /login page/ })
  t.strictSame(paths, ['/page?x=1', '/1', '/2', '/3'])
  paths.length = 0
  t.match(await checkUrl(t, team, after(4)), { ok: false, text: /to itself more than 3 times/ })
  t.equal(paths.length, 4)
  t.match(await checkUrl(t, team, redirecting('https://www.example.com/secret')),
    { ok: false, text: /redirects to www\.example\.com, not to the login page/, todo: /does not protect.*give that URL/ })
  t.match(await checkUrl(t, team, answering('', 302, { location: 'https://[' })), { ok: false, text: /status 302 without a session/ })
  t.match(await checkUrl(t, team, answering('', 200, { location: '/x' })), { ok: false, text: /status 200/ })
})

t.test('an answer without a session says who gave it', async t => {
  const team = await startTeam(t)
  const challenge = 'Bearer realm="OAuth", resource_metadata="https://app.example.com/.well-known/x"'
  const answers: ReadonlyArray<readonly [answer: FaultyAnswer, check: object]> = [
    [answering('', 401), { ok: true, text: /status 401 .*admits only service tokens/ }],
    [answering('', 403), { ok: true, text: /status 403 .*admits only service tokens/ }],
    [answering('{}', 401, { 'www-authenticate': challenge }), { ok: true, text: /Managed OAuth/ }],
    [answering('', 403, { 'cf-mitigated': 'challenge' }), { ok: false, text: /a challenge for browsers/ }],
    [answering('', 204), { ok: false, reason: 'missing', text: /status 204.*does not protect/, todo: /Bypass/ }],
    [answering('', 404), { ok: false, reason: 'missing', text: /status 404.*does not protect/ }],
    [answering('', 502), { ok: false, text: /status 502/, todo: /tunnel/ }],
    [answering('x'.repeat(300_000), 200), { ok: false, text: /status 200/ }],
    [answering('x'.repeat(300_000), 403), { ok: false, text: /larger than 256 KiB/ }]
  ]
  for (const [answer, check] of answers) t.match(await checkUrl(t, team, answer), check, JSON.stringify(check))
})

t.test('it knows the plugin\'s own answers: Access does not protect this path', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, login: 'redirect' })
  app.get('/', async () => 'in')
  const url = `http://127.0.0.1:${await listen(app)}`
  t.match(await checksOf(['--team', team.domain, '--audience', AUD, '--url', url]), {
    url: { ok: false, reason: 'missing', text: /Your app itself .*401 and FST_CF_ACCESS_TOKEN_MISSING/ }
  })
})

t.test('trouble on the way is named', async t => {
  const team = await startTeam(t)
  const { origin, server } = await serve(t, () => {})
  const args = ['--team', team.domain, '--audience', AUD, '--url']
  const asked = once(server, 'request')
  const fire = holdTimers(t)
  const checking = checksOf([...args, origin])
  await asked
  fire(5000)
  t.match((await checking)['url'], { ok: false, text: /no answer from 127\.0\.0\.1:\d+: there was no whole answer in time/ })
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
  t.match(await checksOf([...args, origin], { env: { HTTPS_PROXY: 'http://proxy' } }),
    { url: { ok: false, text: /refused/, todo: /HTTPS_PROXY is set/ } })
})
