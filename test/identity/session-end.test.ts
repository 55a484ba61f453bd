import { once } from 'node:events'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, onSessionEnd, type CfAccessIdentity, type CfAccessOptions } from '../../lib/index.js'
import { holdTimers, stopClock, type Clock } from '../fixtures/clock.js'
import { expectAdmitted, expectRejected } from '../fixtures/expect.js'
import { AUD, bearing, createApp, listen, startTeam } from '../fixtures/index.js'
import { until } from '../fixtures/key-endpoint.js'

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
    socket.on('close', onSessionEnd(request.cfAccess!, reason => socket.close(1008, `session ${reason}`)))
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
    request.raw.on('close', onSessionEnd(request.cfAccess!, reason => reply.raw.end(`event: ${reason}\ndata:\n\n`)))
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

t.test('what has expired calls back soon, and not before onSessionEnd() has returned', async t => {
  stayAlive(t)
  await new Promise<void>(resolve => {
    let returned = false
    onSessionEnd(expiringIn(-1000), () => { t.ok(returned); resolve() })
    returned = true
  })
})

t.test('the wish can be taken back', async t => {
  stayAlive(t)
  const cancel = onSessionEnd(expiringIn(0), () => t.fail('called back'))
  cancel()
  await new Promise<void>(resolve => { onSessionEnd(expiringIn(0), () => resolve()) })
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
  const cancel = onSessionEnd(expiringIn(month), () => { isOver = true })
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

/** An application with the identity of a user of its own, and the emulator behind it. */
async function start (t: Test, own: Partial<CfAccessOptions>): Promise<{
  app: FastifyInstance, token: string, identity: CfAccessIdentity
}> {
  const app = createApp(t)
  await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...own })
  app.get('/', async () => 'in')
  const token = team.userToken({ email: 'a@acme.com', audience: AUD })
  return { app, token, identity: await app.cfAccess.verify(token) }
}

t.test('with recheck, the end of a session at Access is noticed while a connection lives', async t => {
  const clock = stopClock(t)
  const { token, identity } = await start(t, { recheck: '1m' })
  const fire = holdTimers(t)
  const reasons: string[] = []
  const asked = team.requests.length
  t.teardown(onSessionEnd(identity, reason => { reasons.push(reason) }))
  clock.move(60_001)
  fire(60_000)
  await until(() => team.requests.length === asked + 1)
  t.strictSame(reasons, [])
  team.revoke(token)
  await until(() => {
    clock.move(60_001)
    fire(60_000)
    return reasons.length > 0
  })
  t.strictSame(reasons, ['revoked'])
})

t.test('an unavailable get-identity is no end of a session, and a cancelled callback asks no more', async t => {
  const clock = stopClock(t)
  const { identity } = await start(t, { recheck: '1m' })
  const fire = holdTimers(t)
  const cancel = onSessionEnd(identity, reason => t.fail(reason))
  t.teardown(() => team.outage(null))
  team.outage('error')
  const asked = team.requests.length
  clock.move(60_001)
  fire(60_000)
  await until(() => team.requests.length === asked + 1)
  cancel()
  clock.move(60_001)
  fire(60_000)
  const { app, token } = await start(t, {})
  await expectAdmitted(t, app, token)
  t.equal(team.requests.slice(asked).filter(({ path }) => path.endsWith('get-identity')).length, 1)
})

t.test('a callback that is cancelled leaves no timer', async t => {
  const { identity } = await start(t, { recheck: '1m' })
  const { calls: started } = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  const { calls: cleared } = t.capture(globalThis, 'clearTimeout', globalThis.clearTimeout)
  onSessionEnd(identity, reason => t.fail(reason))()
  t.equal(started.length, 2)
  const timers = cleared.map(({ args: [timer] }) => timer as unknown)
  for (const call of started) t.ok(timers.includes(Reflect.get(call, 'returned')), `${call.args[1]} ms`)
})

t.test('a callback that is cancelled during a request starts no other timer', async t => {
  const clock = stopClock(t)
  const { identity } = await start(t, { recheck: '1m' })
  const { calls } = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  const ask = (): Array<() => unknown> => calls.filter(({ args }) => args[1] === 60_000).map(({ args }) => args[0])
  const cancel = onSessionEnd(identity, reason => t.fail(reason))
  const asked = team.requests.length
  clock.move(60_001)
  const answered = ask()[0]!()
  cancel()
  await answered
  t.equal(team.requests.length, asked + 1)
  t.equal(ask().length, 1)
})

t.test('a session goes on while get-identity is unavailable, and Access is asked again', async t => {
  const clock = stopClock(t)
  const { identity } = await start(t, { recheck: '1m' })
  const { calls } = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  const ask = (): Array<() => unknown> => calls.filter(({ args }) => args[1] === 60_000).map(({ args }) => args[0])
  const reasons: string[] = []
  t.teardown(onSessionEnd(identity, reason => { reasons.push(reason) }))
  t.teardown(() => team.outage(null))
  team.outage('error')
  clock.move(60_001)
  await ask()[0]!()
  t.strictSame(reasons, [])
  t.equal(ask().length, 2)
})

t.test('without recheck Access is not asked about a session', async t => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const { identity } = await start(t, {})
  const asked = team.requests.length
  t.teardown(onSessionEnd(identity, reason => t.fail(reason)))
  await sleep(20)
  t.equal(team.requests.length, asked)
  t.strictSame(warnings, [])
})

t.test('no timer keeps the process alive', async t => {
  const { identity } = await start(t, { recheck: '1m' })
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  t.teardown(onSessionEnd(identity, reason => t.fail(reason)))
  t.teardown(onSessionEnd(expiringIn(60_000), reason => t.fail(reason)))
  t.equal(timers(), before)
})

t.test('a callback that is cancelled is not kept in memory', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const { identity } = await start(t, {})
  const begin = (): WeakRef<object> => {
    const callback = (): void => {}
    onSessionEnd(identity, callback)()
    return new WeakRef(callback)
  }
  const callback = begin()
  await until(() => {
    collect()
    return callback.deref() === undefined
  })
})

t.test('a session that is signed out ends for every connection, and for later ones soon', async t => {
  stayAlive(t)
  const { app, token, identity } = await start(t, {})
  const other = await app.cfAccess.verify(team.userToken({ email: 'b@acme.com', audience: AUD }))
  t.teardown(onSessionEnd(other, reason => t.fail(`the other's: ${reason}`)))
  const reasons: string[] = []
  for (let i = 0; i < 2; i++) onSessionEnd(identity, reason => { reasons.push(reason) })
  await app.cfAccess.signOut(identity)
  await app.cfAccess.signOut(identity)
  t.strictSame(reasons, ['signed-out', 'signed-out'], 'each once')
  await new Promise<void>(resolve => {
    onSessionEnd(identity, reason => { reasons.push(reason); resolve() })
    t.equal(reasons.length, 2, 'not before it has returned')
  })
  t.equal(reasons[2], 'signed-out')
  await expectRejected(t, app, token, 401, 'TOKEN_INVALID')
})

t.test('a callback that another one cancels is not called', async t => {
  const { app, identity } = await start(t, {})
  const cancels: Array<() => void> = []
  let calls = 0
  for (let i = 0; i < 3; i++) {
    cancels.push(onSessionEnd(identity, () => {
      calls++
      cancels.forEach(cancel => cancel())
    }))
  }
  await app.cfAccess.signOut(identity)
  t.equal(calls, 1)
})
