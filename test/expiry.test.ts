import { once } from 'node:events'
import fastifyWebsocket from '@fastify/websocket'
import t from 'tap'
import { cfAccess, onExpiry, type CfAccessIdentity } from '../lib/index.js'
import { AUD, bearing, createApp, listen, startTeam } from './fixtures/index.js'

const team = await startTeam(t)

/** Good for a second or less, since a token's times are whole seconds. */
const brief = (): string => team.userToken({ email: 'a@acme.com', audience: AUD, expiresIn: 1 })

const expiringIn = (ms: number): CfAccessIdentity => ({ expiresAt: Date.now() + ms }) as CfAccessIdentity

t.test('a WebSocket is closed when its token expires', async t => {
  const app = createApp(t)
  await app.register(fastifyWebsocket)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', { websocket: true }, (socket, request) => {
    // The two ends of an injected socket do not see each other go.
    t.teardown(() => socket.terminate())
    socket.on('close', onExpiry(request.cfAccess!, () => socket.close(1008, 'session expired')))
    socket.send(String(request.cfAccess!.expiresAt))
  })
  await app.ready()
  const socket = await app.injectWS('/', { headers: bearing(brief()) }, {
    onInit: socket => socket.once('message', (message: Buffer) => { t.ok(Date.now() <= Number(message), 'it was open before') })
  })
  const [code, reason] = await once(socket, 'close')
  t.equal(code, 1008)
  t.equal(String(reason), 'session expired')
})

t.test('an event stream ends when its token expires', async t => {
  const app = createApp(t)
  app.register(cfAccess, { teamDomain: team.domain, audience: AUD })
  app.get('/', (request, reply) => {
    const { expiresAt } = request.cfAccess!
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write(`data: ${expiresAt}\n\n`)
    request.raw.on('close', onExpiry(request.cfAccess!, () => reply.raw.end('event: expired\ndata:\n\n')))
  })
  const port = await listen(app)
  const text = await (await fetch(`http://127.0.0.1:${port}/`, { headers: bearing(brief()) })).text()
  t.match(text, /^data: (\d+)\n\nevent: expired\n/)
  t.ok(Date.now() >= Number(/\d+/.exec(text)![0]) - 5, 'not before')
})

t.test('what has expired calls back soon, and not before onExpiry() has returned', async t => {
  await new Promise<void>(resolve => {
    let returned = false
    onExpiry(expiringIn(-1000), () => { t.ok(returned); resolve() })
    returned = true
  })
})

t.test('the wish can be taken back', async t => {
  const cancel = onExpiry(expiringIn(0), () => t.fail('called back'))
  cancel()
  await new Promise<void>(resolve => { onExpiry(expiringIn(0), resolve) })
})

t.test('H-07 a session of a month neither overflows a timer nor ends at once', async t => {
  const warnings: Error[] = []
  const warn = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warn)
  const cancel = onExpiry(expiringIn(31 * 24 * 3_600_000), () => t.fail('called back'))
  await new Promise<void>(resolve => { onExpiry(expiringIn(5), resolve) })
  cancel()
  process.off('warning', warn)
  t.strictSame(warnings, [])
})
