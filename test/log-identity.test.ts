import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { decodeJwt } from 'jose'
import { cfAccess, guard, type CfAccessOptions } from '../lib/index.js'
import { AUD, bearing, createApp, startTeam } from './fixtures/index.js'

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'

const team = await startTeam(t)
const alice = team.userToken({ email: 'alice@acme.com', audience: AUD })
const user = { kind: 'user', subject: decodeJwt(alice).sub }

interface Line { readonly msg: string, readonly cfAccess?: object }

async function start (
  t: Test, logIdentity?: CfAccessOptions['logIdentity'], more: Partial<CfAccessOptions> = {}
): Promise<[FastifyInstance, string[]]> {
  const lines: string[] = []
  const app = createApp(t, { logger: { stream: { write: line => { lines.push(line) } } } })
  const own = logIdentity === undefined ? {} : { logIdentity }
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...own, ...more })
  const handler = async (request: { log: { info (message: string): void } }): Promise<string> => {
    request.log.info('handled')
    return 'in'
  }
  app.get('/', handler)
  app.get('/twice', { preHandler: guard() }, handler)
  app.get('/optional', { config: { cfAccess: 'optional' } }, handler)
  return [app, lines]
}

/** What each line about the request says of its caller, by message. */
async function ask (
  app: FastifyInstance, lines: string[], url: string, token?: string
): Promise<Record<string, unknown>> {
  lines.length = 0
  await app.inject({ url, headers: token === undefined ? {} : bearing(token) })
  const read = lines.filter(line => line.includes('"reqId"')).map(line => JSON.parse(line) as Line)
  return Object.fromEntries(read.map(({ msg, cfAccess }) => [msg, cfAccess]))
}

t.test('log lines say who made a request, once it is admitted', async t => {
  const [app, lines] = await start(t, true)
  const callers = [
    [alice, user],
    [team.serviceToken({ clientId: CLIENT_ID, audience: AUD }), { kind: 'service', clientId: CLIENT_ID }],
    [team.certificateToken({ commonName: 'a device', audience: AUD }), { kind: 'certificate', commonName: 'a device' }]
  ] as const
  for (const url of ['/', '/twice', '/optional']) {
    for (const [token, caller] of callers) {
      const said = await ask(app, lines, url, token)
      t.strictSame(said, { 'incoming request': undefined, handled: caller, 'request completed': caller }, url)
      t.ok(lines.every(line => line.split('"cfAccess"').length <= 2), 'once in a line')
      t.notMatch(lines.join(''), 'alice@')
    }
  }
  t.strictSame((await ask(app, lines, '/optional'))['handled'], undefined)
})

t.test('a function says what log lines have', async t => {
  const [app, lines] = await start(t, identity => ({ who: identity.email }))
  t.strictSame((await ask(app, lines, '/', alice))['request completed'], { who: 'alice@acme.com' })
})

t.test('nothing by default, and nothing of a request that is rejected', async t => {
  const [app, lines] = await start(t)
  t.strictSame((await ask(app, lines, '/', alice))['request completed'], undefined)
  const [denied, deniedLines] = await start(t, true, { policy: () => false })
  await ask(denied, deniedLines, '/', alice)
  t.notMatch(deniedLines.join(''), String(user.subject))
})

t.test('of two registrations that guard a request the first that is asked says it', async t => {
  const [app, lines] = await start(t, () => ({ by: 'a' }), { prefix: '/a' })
  const other = { teamDomain: team.domain, audience: AUD, prefix: '/b', logIdentity: () => ({ by: 'b' }) }
  await app.register(cfAccess, other)
  app.get('/*', async () => 'in')
  t.strictSame((await ask(app, lines, '/a/x', alice))['request completed'], { by: 'a' })
  t.strictSame((await ask(app, lines, '/b/x', alice))['request completed'], { by: 'b' })
  t.strictSame((await ask(app, lines, '/b/..%2fa/x', alice))['request completed'], { by: 'a' })
  t.ok(lines.every(line => line.split('"cfAccess"').length <= 2), 'once in a line')
})

t.test('an error of the function ends the request', async t => {
  const [app] = await start(t, () => { throw new Error('mine') })
  t.equal((await app.inject({ url: '/', headers: bearing(alice) })).statusCode, 500)
})
