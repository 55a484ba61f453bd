// The team's keys: status, rotation, outages; and the verifier without Fastify.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { channels } from 'fastify-cf-access'
import { createVerifier } from 'fastify-cf-access/verifier'
import { ALICE, ask, AUD, check, closeLater, messagesOf, serveGuarded, startTeam } from './harness.js'

const [team, otherTeam, thirdTeam] = await Promise.all([startTeam(), startTeam(), startTeam()])
/** @typedef {import('fastify-cf-access/testing').Outage} Outage */

const alice = { email: ALICE, audience: AUD }

/**
 * Checks a new app, whose keys are fetched by itself: apps share them only while they run.
 * @param {string} title
 * @param {import('./harness.js').CfAccessOptions['keys'] & { outage?: Outage }} options `outage`: from before its start
 * @param {(app: Awaited<ReturnType<typeof serveGuarded>>) => Promise<void>} run
 */
async function checkKeys (title, { outage, ...keys }, run) {
  await check(title, async () => {
    team.outage(outage ?? null)
    team.requests.length = 0
    const server = await serveGuarded(team, { keys })
    try {
      await run(server)
    } finally {
      team.outage(null)
      await server.app.close()
    }
  })
}

await checkKeys('keys are fetched once for many requests, and are fresh then', {}, async ({ app, url }) => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(url, { token: team.userToken(alice) })))
  assert.ok(answers.every(({ status }) => status === 200))
  assert.equal(team.requests.length, 1)
  const [status] = app.cfAccess.status()
  assert.deepEqual([status?.team, status?.state], [team.domain, 'fresh'])
})

await checkKeys('a rotation is followed, and told on the channel', { cooldown: '1ms' }, async ({ url }) => {
  const before = team.userToken(alice)
  assert.equal((await ask(url, { token: before })).status, 200)
  await team.rotateKeys()
  const [refresh] = await messagesOf(channels.refresh, async () => {
    assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  })
  assert.equal(refresh?.outcome, 'rotated')
  assert.equal((await ask(url, { token: before })).status, 200)
})

/** @type {Outage[]} */
const OUTAGES = ['down', 'silent', 'stalled', 'drip', 'redirect', 'error', 'html', 'truncated', 'empty', 'huge',
  'endless']

for (const outage of OUTAGES) {
  await checkKeys(`503 while the key endpoint fails: ${outage}`, { outage, timeout: '300ms' }, async ({ url }) => {
    const { status, code, headers } = await ask(url, { token: team.userToken(alice) })
    assert.deepEqual([status, code], [503, 'FST_CF_ACCESS_KEYS_UNAVAILABLE'])
    assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  })
}

await checkKeys('after an outage, requests are admitted', { outage: 'error', cooldown: '1ms' }, async ({ url }) => {
  const token = team.userToken(alice)
  assert.equal((await ask(url, { token })).status, 503)
  team.outage(null)
  while ((await ask(url, { token })).status !== 200);
})

await checkKeys('known keys stay valid through an outage, as stale ones', { maxAge: '1ms' }, async ({ app, url }) => {
  assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  team.outage('down')
  while (app.cfAccess.status()[0]?.lastFailure === null) {
    assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  }
  assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  assert.equal(app.cfAccess.status()[0]?.state, 'stale')
})

const initial = team.certs
await checkKeys('initial keys are trusted through an outage', { outage: 'down', initial }, async ({ app, url }) => {
  assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  assert.equal(app.cfAccess.status()[0]?.state, 'stale')
})

await check('of two teams each has its own keys and outages', async () => {
  const { url } = await serveGuarded(team, { teamDomain: [team.domain, otherTeam.domain] })
  otherTeam.outage('down')
  assert.equal((await ask(url, { token: team.userToken(alice) })).status, 200)
  assert.equal((await ask(url, { token: otherTeam.userToken(alice) })).status, 503)
  assert.equal((await ask(url, { token: thirdTeam.userToken(alice) })).status, 401)
})

await check('a verifier guards a server of node:http', async () => {
  const policy = { exclude: { country: 'FR' } }
  const verifier = closeLater(createVerifier({ teamDomain: team.domain, audience: AUD, policy }))
  const server = createServer((request, response) => {
    verifier.authenticate(request).then(
      identity => response.end(`hello ${identity.email}`),
      error => response.writeHead(error.statusCode ?? 500).end(error.code))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  const url = `http://127.0.0.1:${port}`
  assert.equal((await ask(url)).body, 'FST_CF_ACCESS_TOKEN_MISSING')
  assert.equal((await ask(url, { token: team.userToken(alice) })).body, `hello ${ALICE}`)
  assert.equal((await ask(url, { token: team.userToken({ ...alice, country: 'FR' }) })).status, 403)
  assert.equal((await ask(url, { token: 'x.y.z' })).status, 401)
  server.close()
  server.closeAllConnections()
})

await check('a verifier verifies a token, and fetches no keys once it is closed', async () => {
  const verifier = createVerifier({ teamDomain: thirdTeam.domain, audience: AUD })
  assert.equal((await verifier.verify(thirdTeam.userToken(alice))).email, ALICE)
  assert.equal(verifier.status()[0]?.state, 'fresh')
  await thirdTeam.rotateKeys()
  verifier.close()
  const before = thirdTeam.requests.length
  await assert.rejects(verifier.verify(thirdTeam.userToken(alice)))
  assert.equal(thirdTeam.requests.length, before)
})
