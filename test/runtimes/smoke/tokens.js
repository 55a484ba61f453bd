// Which tokens are accepted.
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { ALICE, ask, askRaw, AUD, check, CLIENT_ID, OTHER_AUD, serveGuarded, startTeam } from './harness.js'

const [team, otherTeam] = [await startTeam(), await startTeam()]
const { app, url } = await serveGuarded(team)
const alice = { email: ALICE, audience: AUD }
const token = team.userToken(alice)
const [header = '', payload = '', signature = ''] = token.split('.')

await check('a service\'s and a certificate\'s token are admitted', async () => {
  const service = team.serviceToken({ clientId: CLIENT_ID, audience: AUD })
  assert.equal((await ask(url, { token: service })).body, '{"kind":"service"}')
  const certificate = team.certificateToken({ commonName: 'printer.acme.com', audience: AUD })
  assert.equal((await ask(url, { token: certificate })).body, '{"kind":"certificate"}')
})

await check('a token of the previous key is admitted', async () => {
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  assert.equal((await ask(url, { token: team.sign(claims, {}, 'previous') })).status, 200)
})

await check('an expired token is rejected', async () => {
  const { status, code } = await ask(url, { token: team.userToken({ ...alice, expiresIn: '-1m' }) })
  assert.deepEqual([status, code], [401, 'FST_CF_ACCESS_TOKEN_EXPIRED'])
})

/** @param {string} text */
const swapFirst = text => (text[0] === 'A' ? 'B' : 'A') + text.slice(1)

/** @type {Array<[title: string, token: string]>} */
const INVALID = [
  ['for another audience', team.userToken({ ...alice, audience: OTHER_AUD })],
  ['of another team', otherTeam.userToken(alice)],
  ['of another team under this team\'s name', otherTeam.userToken({ ...alice, claims: { iss: team.domain } })],
  ['with a forged signature', `${header}.${payload}.${swapFirst(signature)}`],
  ['with a signature of another spelling', `${token}=`],
  ['with changed claims', `${header}.${Buffer.from('{"email":"root@acme.com"}').toString('base64url')}.${signature}`],
  ['with the algorithm none', `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.`],
  ['of the type meta', team.metaToken({ audience: AUD })],
  ['of the type match', team.matchToken({ audience: AUD })],
  ['of the type org', team.orgToken(alice)],
  ['that is not valid yet', team.userToken({ ...alice, issuedIn: '10m', expiresIn: '1h' })],
  ['without an expiry', team.userToken({ ...alice, claims: { exp: undefined } })],
  ['that is not a JWT', 'x.y.z']
]

for (const [title, token] of INVALID) {
  await check(`a token ${title} is rejected`, async () => {
    const { status, code } = await ask(url, { token })
    assert.deepEqual([status, code], [401, 'FST_CF_ACCESS_TOKEN_INVALID'])
  })
}

await check('two token headers are rejected', async () => {
  const line = `Cf-Access-Jwt-Assertion: ${token}`
  assert.equal(await askRaw(url, '/', [line]), 200)
  assert.equal(await askRaw(url, '/', [line, line]), 401)
})

await check('verify() accepts and rejects as a guard does', async () => {
  assert.equal((await app.cfAccess.verify(token)).email, ALICE)
  await assert.rejects(app.cfAccess.verify('x.y.z'), { code: 'FST_CF_ACCESS_TOKEN_INVALID' })
})

await check('an identity is frozen, and shows no token', async () => {
  const identity = await app.cfAccess.verify(token)
  assert.ok(Object.isFrozen(identity) && Object.isFrozen(identity.claims))
  for (const text of [JSON.stringify(identity), inspect(identity, { depth: 9, showHidden: true })]) {
    assert.ok(text.includes(ALICE))
    assert.ok(!text.includes(signature))
  }
})

await check('forwardHeaders() has the token', async () => {
  assert.deepEqual((await app.cfAccess.verify(token)).forwardHeaders(), { 'Cf-Access-Token': token })
})
