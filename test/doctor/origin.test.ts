import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { cfAccess } from '../../lib/index.js'
import { checkOrigin } from '../../lib/doctor/origin.js'
import { faults, type FaultyAnswer } from '../../lib/testing/faults.js'
import { holdTimers } from '../fixtures/clock.js'
import { checksOf, makeCertificate } from '../fixtures/doctor.js'
import { serve } from '../fixtures/edge.js'
import { AUD, createApp, listen, startTeam } from '../fixtures/index.js'
import { answering } from '../fixtures/key-endpoint.js'

const APP = new URL('https://app.example.com/admin?x=1')

async function startOrigin (t: Test, answer: FaultyAnswer): Promise<URL> {
  return new URL((await serve(t, (request, response) => answer(request, response, ''))).origin)
}

t.test('an origin that verifies tokens rejects', async t => {
  const team = await startTeam(t)
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, login: 'redirect' })
  app.get('/', async () => 'in')
  const origin = `http://127.0.0.1:${await listen(app)}`
  const checks = await checksOf(['--team', team.domain, '--audience', AUD, '--url', origin, '--origin', origin])
  t.match(checks['origin'], { ok: true, text: /status 401 and FST_CF_ACCESS_TOKEN_MISSING/ })
  t.match(await checkOrigin(await startOrigin(t, answering('no', 403)), APP), { ok: true, text: /without a token: status 403\./ })
})

t.test('it is asked for the path and the host of the URL, without credentials', async t => {
  const { origin, server } = await serve(t, (_request, response) => { response.end() })
  const asked = once(server, 'request') as Promise<[IncomingMessage]>
  t.match(await checkOrigin(new URL(origin), APP),
    { ok: false, text: /answers around the edge with status 200/, todo: /firewall/ })
  const [{ url, headers }] = await asked
  t.equal(url, '/admin?x=1')
  t.strictSame(Object.keys(headers).sort(), ['accept', 'connection', 'host'])
  t.equal(headers.host, 'app.example.com')
})

t.test('other answers do not tell', async t => {
  const answers: ReadonlyArray<readonly [answer: FaultyAnswer, check: object]> = [
    [answering('', 302, { location: '/login' }), { ok: false, text: /around the edge with status 302/ }],
    [answering('{"code":"FST_CF_ACCESS_TOKEN_MISSING"}', 400), { ok: true, text: /status 400 and FST_CF_ACCESS_TOKEN_MISSING/ }],
    [answering('{"code":"FST_CF_ACCESS_KEYS_UNAVAILABLE"}', 503), { ok: false, text: /status 503, which does not tell/ }],
    [answering('', 404), { ok: false, text: /status 404, which does not tell/, todo: /path/ }],
    [answering('', 500), { ok: false, text: /status 500, which does not tell/ }],
    [answering('x'.repeat(1e6), 401), { ok: true, text: /status 401\./ }],
    [answering('x'.repeat(1e6), 200), { ok: false, text: /status 200/ }]
  ]
  for (const [answer, check] of answers) {
    t.match(await checkOrigin(await startOrigin(t, answer), APP), check, JSON.stringify(check))
  }
})

/** Rejects, and never comes to the end of its answer. */
const stalled: FaultyAnswer = (_request, response) => { response.writeHead(401).flushHeaders() }

t.test('an origin that cannot be reached is good', async t => {
  const closed = await serve(t, () => {})
  closed.server.close()
  await once(closed.server, 'close')
  t.match(await checkOrigin(new URL(closed.origin), APP), { ok: true, text: /cannot be reached .* refused/ })
  const reset = await startOrigin(t, request => { request.socket.resetAndDestroy() })
  t.match(await checkOrigin(reset, APP), { ok: true, text: /cannot be reached .* closed/ })
  for (const answer of [faults.silent, stalled]) {
    const silent = await serve(t, (request, response) => answer(request, response, ''))
    const asked = once(silent.server, 'request')
    const fire = holdTimers(t)
    const checking = checkOrigin(new URL(silent.origin), APP)
    await asked
    fire(5000)
    t.match(await checking, { ok: true, text: /cannot be reached .* no whole answer in time/ })
  }
})

t.test('with TLS its certificate does not matter, and the name of the URL does', async t => {
  const server = createServer(await makeCertificate(t), ({ socket }, response) => {
    response.writeHead(401).end(String((socket as TLSSocket).servername))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const names: unknown[] = []
  server.on('secureConnection', (socket: TLSSocket) => { names.push(socket.servername) })
  const { port } = server.address() as AddressInfo
  t.match(await checkOrigin(new URL(`https://127.0.0.1:${port}`), APP), { ok: true, text: /status 401/ })
  t.match(await checkOrigin(new URL(`https://127.0.0.1:${port}`), new URL('http://127.0.0.1:1/')), { ok: true, text: /status 401/ })
  t.strictSame(names, ['app.example.com', false])
  const plain = await startOrigin(t, answering('', 401))
  t.match(await checkOrigin(new URL(plain.href.replace('http:', 'https:')), APP),
    { ok: false, text: /was not checked: the other side does not speak TLS/, todo: /scheme/ })
})
