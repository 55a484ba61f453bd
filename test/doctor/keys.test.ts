import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { Check } from '../../lib/doctor/check.js'
import { troubleOf } from '../../lib/doctor/trouble.js'
import { holdTimers, stopClock } from '../fixtures/clock.js'
import { checksOf, runDoctor, makeCertificate } from '../fixtures/doctor.js'
import { serve } from '../fixtures/edge.js'
import { AUD, startTeam } from '../fixtures/index.js'
import { answering, until } from '../fixtures/key-endpoint.js'

async function checks (domain: string, env: Record<string, string> = {}): Promise<Readonly<Record<string, Check>>> {
  return checksOf(['--team', domain, '--audience', AUD], { env })
}

t.test('it counts the keys, and tells their ages by their certificates', async t => {
  const team = await startTeam(t)
  t.match((await checks(team.domain))['keys'], { ok: true, text: /status 200 after \d+ ms: 2 usable keys\.$/ })
  const { cert } = await makeCertificate(t)
  const [one, two] = team.certs.keys.map(({ kid }) => kid)
  const published: ReadonlyArray<readonly [certs: unknown, text: RegExp]> = [
    [[{ kid: one, cert }], /2 usable keys, made \d+ seconds? ago\.$/],
    [[{ kid: one, cert }, { kid: two, cert }], /made \d+ seconds? and \d+ seconds? ago\.$/],
    [[{ kid: 'none', cert }, { kid: two, cert: 'x' }, null, 'x'], /2 usable keys\.$/],
    ['none', /2 usable keys\.$/]
  ]
  for (const [certs, text] of published) {
    team.outage((_request, response, body) => {
      response.end(JSON.stringify({ ...JSON.parse(body), public_certs: certs }))
    })
    t.match((await checks(team.domain))['keys'], { ok: true, text })
  }
  team.outage((_request, response, body) => { response.end(JSON.stringify({ keys: JSON.parse(body).keys.slice(1) })) })
  t.match((await checks(team.domain))['keys'], { ok: true, text: /: 1 usable key\.$/ })
})

t.test('it names what the endpoint answers in place of keys', async t => {
  const team = await startTeam(t)
  const faulty: ReadonlyArray<readonly [outage: Parameters<typeof team.outage>[0], text: RegExp, todo: RegExp]> = [
    ['unknown', /status 404/, /no such team.*Zero Trust > Settings/],
    ['error', /status 500/, /cloudflarestatus/],
    ['redirect', /status 302/, /proxy/],
    [answering('no', 403), /status 403/, /firewall/],
    ['html', /but the answer is not JSON/, /Another server/],
    ['null', /but the answer is not a JWK Set/, /Another server/],
    ['empty', /but the answer has no usable key/, /Another server/],
    ['broken', /no usable key/, /Another server/],
    ['huge', /no answer from .*\/certs: the answer is larger than 256 KiB\.$/, /proxy/],
    ['down', /closed without an answer \(\w+\)/, /firewall/]
  ]
  for (const [outage, text, todo] of faulty) {
    team.outage(outage)
    t.match((await checks(team.domain))['keys'], { ok: false, text, todo }, String(text))
  }
})

t.test('it names trouble with the network', async t => {
  const { origin, server } = await serve(t, () => {})
  server.close()
  await once(server, 'close')
  const refused = await checks(origin)
  t.match(refused['keys'], { ok: false, text: /the connection was refused \(ECONNREFUSED\)/ })
  t.notMatch(refused['keys']!.todo, 'PROXY')
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY']) {
    t.match((await checks(origin, { [name]: 'http://proxy:3128' }))['keys'],
      { todo: new RegExp(` ${name} is set, but .*NODE_USE_ENV_PROXY=1.*EnvHttpProxyAgent`) }, name)
  }
  t.notMatch((await checks(origin, { HTTPS_PROXY: 'http://proxy', NODE_USE_ENV_PROXY: '1' }))['keys']!.todo, 'PROXY')
})

t.test('it waits as long as the plugin', async t => {
  const team = await startTeam(t)
  team.outage('silent')
  const fire = holdTimers(t)
  const checking = checks(team.domain)
  await until(() => team.requests.length === 1)
  fire(5000)
  t.match((await checking)['keys'], { ok: false, text: /no whole answer in time/ })
})

t.test('it names a certificate that is not trusted', async t => {
  const server = createServer(await makeCertificate(t), (_request, response) => { response.end() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  t.match((await checks(`https://127.0.0.1:${port}`))['keys'],
    { ok: false, text: /certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/, todo: /NODE_EXTRA_CA_CERTS/ })
  t.match((await checks(`http://127.0.0.1:${port}`))['keys'], { ok: false, text: /closed without an answer/ })
  const plain = await serve(t, (_request, response) => { response.end() })
  t.match((await checks(plain.origin.replace('http:', 'https:')))['keys'], { ok: false, text: /does not speak TLS/, todo: /scheme/ })
})

t.test('each code is trouble of one kind', async t => {
  const codes: ReadonlyArray<readonly [kind: string, codes: readonly string[]]> = [
    ['name', ['ENOTFOUND', 'EAI_AGAIN']],
    ['unreachable', ['EHOSTUNREACH', 'ENETUNREACH']],
    ['late', ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT']],
    ['closed', ['ECONNRESET', 'UND_ERR_SOCKET']],
    ['certificate', ['SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID']],
    ['tls', ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER']],
    ['other', ['EMFILE']]
  ]
  for (const [kind, code] of codes.flatMap(([kind, list]) => list.map(code => [kind, code] as const))) {
    const error = new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code }) })
    const trouble = troubleOf(error, {})
    t.equal(trouble.kind, kind, code)
    t.match(trouble.text, `(${code})`)
    t.equal(troubleOf(Object.assign(new Error('x'), { code }), {}).kind, kind, `${code} without fetch`)
  }
  t.match(troubleOf(new Error('the answer was redirected'), {}), { kind: 'other', text: /redirected/ })
  t.match(troubleOf('no error', {}), { kind: 'other', text: /the fetch failed/ })
})

/** A team whose answers have this `Date` header; none for `null`. */
async function datedTeam (t: Test, date: string | null): Promise<string> {
  const team = await startTeam(t)
  team.outage((_request, response, body) => {
    response.sendDate = false
    if (date !== null) response.setHeader('date', date)
    response.end(body)
  })
  return team.domain
}

t.test('it compares the clocks', async t => {
  stopClock(t)
  const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString()
  t.match((await checks(await datedTeam(t, inSeconds(270))))['clock'],
    { ok: false, reason: 'time', text: /2[67]\d seconds behind .*30 seconds are tolerated/, todo: /NTP/ })
  t.match((await checks(await datedTeam(t, inSeconds(-90))))['clock'],
    { ok: false, reason: 'expired', text: /\d\d seconds ahead of/, todo: /NTP/ })
  const near = await datedTeam(t, inSeconds(-100))
  t.match((await checksOf(['--team', near, '--audience', AUD, '--clock-tolerance', '5m']))['clock'],
    { ok: true, text: /is \d{2,3} seconds ahead of that/ })
  for (const date of [null, 'yesterday']) t.notOk('clock' in await checks(await datedTeam(t, date)), String(date))
})

t.test('each team has its line, and the first that tells the time counts', async t => {
  const team = await startTeam(t)
  const silent = await datedTeam(t, null)
  const { out, code } = await runDoctor(['--team', silent, '--team', team.domain, '--audience', AUD])
  t.equal(code, 0)
  t.equal(out.match(/usable keys/g)!.length, 2)
  t.match(out, /✓ The clock of this machine/)
})
