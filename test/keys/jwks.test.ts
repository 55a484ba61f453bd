import { generateKeyPairSync, sign } from 'node:crypto'
import t from 'tap'
import { startTeam } from '../fixtures/index.js'
import { ask, startApp, startEndpoint } from '../fixtures/key-endpoint.js'

const team = await startTeam(t)
const [current, previous] = team.certs.keys

t.test('K-09 of a long list the first 32 members are read', async t => {
  const endpoint = await startEndpoint(t, team)
  endpoint.published = { keys: [...Array(31).fill({}), current, previous] }
  const app = await startApp(t, endpoint)
  t.equal((await ask(app, endpoint.token())).statusCode, 200)
  t.equal((await ask(app, endpoint.token({ which: 'previous' }))).statusCode, 401)
  t.strictSame(app.cfAccess.status()[0]!.kids, [current?.['kid']])
})

t.test('K-14 a key has 2048 bits and an exponent of 3 at least', async t => {
  const cases = [[2048, 3, 200], [2048, 65_537, 200], [2047, 65_537, 401]] as const
  for (const [modulusLength, publicExponent, status] of cases) {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent })
    const endpoint = await startEndpoint(t, team)
    endpoint.published = { keys: [current, { ...publicKey.export({ format: 'jwk' }), kid: 'own' }] }
    const app = await startApp(t, endpoint)
    const [, payload] = endpoint.token().split('.')
    const text = `${Buffer.from('{"alg":"RS256","kid":"own"}').toString('base64url')}.${payload}`
    const token = `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
    t.equal((await ask(app, token)).statusCode, status, `${modulusLength} bits, exponent ${publicExponent}`)
  }
})

t.test('K-12 a key with malformed key_ops is ignored, and a good key beside it works', async t => {
  for (const ops of ['verify', 7, null, { 0: 'verify', length: 1 }]) {
    const endpoint = await startEndpoint(t, team)
    endpoint.published = { keys: [{ ...previous, key_ops: ops }, current] }
    const app = await startApp(t, endpoint)
    t.equal((await ask(app, endpoint.token())).statusCode, 200)
    t.equal((await ask(app, endpoint.token({ which: 'previous' }))).statusCode, 401)
  }
})

t.test('initial keys need one usable key, whatever else is in the set', async t => {
  const endpoint = await startEndpoint(t, team)
  const start = (keys: object[]): Promise<unknown> => startApp(t, endpoint, { keys: { initial: { keys } } })
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const weak = { ...publicKey.export({ format: 'jwk' }), kid: 'weak' }
  const encrypting = { ...current!, use: 'enc' }
  await t.resolves(start([{}, weak, encrypting, current!]), 'one of them')
  const message = /^Option "keys\.initial" is .* a JWK Set with a usable key/
  for (const [name, keys] of Object.entries({ weak: [weak], encrypting: [encrypting], both: [weak, encrypting] })) {
    await t.rejects(start(keys), { message }, name)
  }
})
