import t from 'tap'
import { cfAccess } from '../../lib/index.js'
import { AUD, createApp, startTeam } from '../fixtures/index.js'
import { ask, startApp, startEndpoint } from '../fixtures/key-endpoint.js'
import { Verification } from '../fixtures/verification.js'

const team = await startTeam(t)

// What Node takes for a whole header block by default.
const MOST = 16_384

t.test('T-05 the first token a process sees may not lack its header', async t => {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  const [, payload, signature] = team.userToken({ email: 'a@acme.com', audience: AUD }).split('.')
  await t.rejects(app.cfAccess.verify(`.${payload}.${signature}`), {
    code: 'FST_CF_ACCESS_TOKEN_INVALID',
    reason: 'malformed'
  })
})

t.test('T-07 a token may be as long as a header block, and no longer', async t => {
  const verification = await Verification.start(t)
  /** Base64 has no text of every length, so the header takes up what the payload cannot. */
  const withLength = (length: number): string => {
    const found = [0, 1, 2].flatMap(inHeader => {
      const token =
        (inClaims: number): string => verification.token({ custom: 'x'.repeat(inClaims) }, { x: 'x'.repeat(inHeader) })
      const about = Math.floor((length - token(0).length) * 3 / 4)
      return [-2, -1, 0, 1, 2].map(more => token(about + more))
    })
    return found.find(token => token.length === length)!
  }
  t.match(await verification.app.cfAccess.verify(withLength(MOST)), { kind: 'user' })
  await t.rejects(verification.app.cfAccess.verify(withLength(MOST + 1)), {
    code: 'FST_CF_ACCESS_TOKEN_INVALID',
    reason: 'malformed'
  })
})

t.test('T-16 a kid of one character names a key, and so does one of 128', async t => {
  const [current, previous] = team.certs.keys
  const [short, long] = ['k', `!${'k'.repeat(126)}~`]
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [{ ...current, kid: short }, { ...previous, kid: long }] }
  const app = await startApp(t, endpoint)
  t.equal((await ask(app, endpoint.token({ header: { kid: short } }))).statusCode, 200)
  t.equal((await ask(app, endpoint.token({ header: { kid: long }, which: 'previous' }))).statusCode, 200)
  t.equal((await ask(app, endpoint.token({ header: { kid: short }, which: 'previous' }))).statusCode, 401)
})
