import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fastifyWebsocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import { cfAccess, onExpiry, type CfAccessIdentity } from '../../lib/index.js'
import { holdTimers, stopClock, type Clock } from '../fixtures/clock.js'
import { AUD, bearing, createApp, listen, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)

/** A token that is good for a minute, and the time that its session has left. */
function issue (clock: Clock): { token: string, left: number } {
  const token = team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: '1m' })
  return { token, left: (Math.floor(clock.now / 1000) + 60) * 1000 - clock.now }
}

const expiringIn = (ms: number): CfAccessIdentity => ({ expiresAt: Date.now() + ms }) as CfAccessIdentity

t.test('a WebSocket is closed when its token expires', async t => {
  const clock = stopClock(t)
  const fire = holdTimers(t)
  const app = createApp(t)
  await app.register(fastifyWebsocket)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', { websocket: true }, (socket, request) => {
    // The two ends of an injected socket do not see each other go.
    t.teardown(() => socket.terminate())
    socket.on('close', onExpiry(request.cfAccess!, () => socket.close(1008, 'session expired')))
    socket.send('open')
  })
  await app.ready()
  const { token, left } = issue(clock)
  let opened: Promise<unknown>
  const socket = await app.injectWS('/', { headers: bearing(token) }, {
    onInit: socket => { opened = once(socket, 'message') }
  })
  t.match(String(await opened!), 'open')
  const closed = once(socket, 'close')
  fire(left)
  const [code, reason] = await closed
  t.equal(code, 1008)
  t.equal(String(reason), 'session expired')
})

t.test('an event stream ends when its token expires', async t => {
  const clock = stopClock(t)
  const fire = holdTimers(t)
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: open\n\n')
    request.raw.on('close', onExpiry(request.cfAccess!, () => reply.raw.end('event: expired\ndata:\n\n')))
  })
  const port = await listen(app)
  const { token, left } = issue(clock)
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: bearing(token) })
  fire(left)
  t.equal(await response.text(), 'data: open\n\nevent: expired\ndata:\n\n')
})

/** The timers under test keep no process alive. */
function stayAlive (t: Test): void {
  const timer = setInterval(() => undefined, 60_000)
  t.teardown(() => clearInterval(timer))
}

t.test('what has expired calls back soon, and not before onExpiry() has returned', async t => {
  stayAlive(t)
  await new Promise<void>(resolve => {
    let returned = false
    onExpiry(expiringIn(-1000), () => { t.ok(returned); resolve() })
    returned = true
  })
})

t.test('the wish can be taken back', async t => {
  stayAlive(t)
  const cancel = onExpiry(expiringIn(0), () => t.fail('called back'))
  cancel()
  await new Promise<void>(resolve => { onExpiry(expiringIn(0), resolve) })
})

t.test('H-07 a session of a month does not overflow a timer', async t => {
  const clock = stopClock(t)
  const fire = holdTimers(t)
  const warnings: Error[] = []
  const warn = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  const month = 31 * 24 * 3_600_000
  const longest = 2 ** 31 - 1 // of Node's timers
  let isOver = false
  const cancel = onExpiry(expiringIn(month), () => { isOver = true })
  t.teardown(cancel)
  clock.move(longest)
  fire(longest)
  t.notOk(isOver)
  clock.move(month - longest)
  fire(month - longest)
  t.ok(isOver)
  await nextTurn() // in which warnings are told
  t.strictSame(warnings, [])
})
