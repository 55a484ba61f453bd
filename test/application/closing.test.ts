import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { bearing, listen, startTeam } from '../fixtures/index.js'
import { ask, startApp, startEndpoint, until, type KeyEndpoint } from '../fixtures/key-endpoint.js'

const team = await startTeam(t)

/** Longer than any test may take: only an end that is brought about comes before it. */
const keys = { timeout: '10m' } as const

/** Keeps every question waiting; the questions so far. */
async function hold (endpoint: KeyEndpoint): Promise<ServerResponse[]> {
  const held: ServerResponse[] = []
  await endpoint.outage((_request, response) => { held.push(response) })
  return held
}

interface LogLine { readonly level: number, readonly msg: string }

/** What an application logs from `warn` on. */
function logTo (lines: LogLine[]): { logger: object } {
  return { logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } }
}

/** Everything Node.js would end the process for. */
function watchRejections (t: Test): unknown[] {
  const rejections: unknown[] = []
  const listener = (reason: unknown): void => { rejections.push(reason) }
  process.on('unhandledRejection', listener)
  t.teardown(() => { process.off('unhandledRejection', listener) })
  return rejections
}

t.test('K-22 closing the application breaks off the fetch under way, in silence', async t => {
  const lines: LogLine[] = []
  const rejections = watchRejections(t)
  const endpoint = await startEndpoint(t, team)
  const held = await hold(endpoint)
  const app = await startApp(t, endpoint, { keys }, logTo(lines))
  await until(() => held.length === 1)
  const brokenOff = once(held[0]!, 'close')
  await app.close()
  await brokenOff
  t.notOk(held[0]!.writableEnded)
  t.same(lines, [])
  t.same(rejections, [])
})

t.test('K-22 a custom fetch that heeds no signal does not keep the application open', async t => {
  const endpoint = await startEndpoint(t, team)
  const rejections = watchRejections(t)
  let fail = (_reason: Error): void => {}
  const heedless = new Promise<never>((_resolve, reject) => { fail = reject })
  const app = await startApp(t, endpoint, { keys, fetch: () => heedless })
  const waiting = ask(app, endpoint.token())
  await app.close()
  t.equal((await waiting).statusCode, 503)
  fail(new Error('long after'))
  await new Promise(setImmediate)
  t.same(rejections, [])
})

t.test('one server that closes leaves the fetch to the others', async t => {
  const endpoint = await startEndpoint(t, team)
  const held = await hold(endpoint)
  const [one, other] = [await startApp(t, endpoint, { keys }), await startApp(t, endpoint, { keys })]
  await until(() => held.length === 1)
  await one.close()
  const answer = ask(other, endpoint.token())
  held[0]!.end(JSON.stringify(team.certs))
  t.equal((await answer).statusCode, 200)
  t.equal(endpoint.requests.length, 1)
})

t.test('K-22 verify() after the application has closed sends no request', async t => {
  const endpoint = await startEndpoint(t, team)
  const app = await startApp(t, endpoint, { keys: { maxAge: '1ms', maxStale: '1ms' } })
  const { cfAccess } = app
  await app.close()
  const { length } = endpoint.requests
  await t.rejects(cfAccess.verify(endpoint.token()), { code: 'FST_CF_ACCESS_KEYS_UNAVAILABLE' })
  t.equal(endpoint.requests.length, length)
})

t.test('X-10 clients that hang up while they wait for the keys affect no other client', async t => {
  const lines: LogLine[] = []
  const rejections = watchRejections(t)
  const endpoint = await startEndpoint(t, team)
  const held = await hold(endpoint)
  const app = await startApp(t, endpoint, { keys }, logTo(lines))
  let asked = 0
  app.server.on('request', () => { asked++ })
  const port = await listen(app)
  const token = endpoint.token()
  const sockets = Array.from({ length: 20 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\ncf-access-jwt-assertion: ${token}\r\n\r\n`)
    return socket
  })
  await until(() => asked === 20)
  for (const socket of sockets) socket.resetAndDestroy()
  const patient = ask(app, token)
  held[0]!.end(JSON.stringify(team.certs))
  t.equal((await patient).statusCode, 200)
  t.equal((await fetch(`http://127.0.0.1:${port}/`, { headers: bearing(token) })).status, 200)
  t.same(lines, [])
  t.same(rejections, [])
})

t.test('X-11 closing answers every request that waits for the keys', async t => {
  const lines: LogLine[] = []
  const rejections = watchRejections(t)
  const endpoint = await startEndpoint(t, team)
  await hold(endpoint)
  const app = await startApp(t, endpoint, { keys }, { ...logTo(lines), forceCloseConnections: false })
  let asked = 0
  app.server.on('request', () => { asked++ })
  const port = await listen(app)
  const answers = Array.from({ length: 100 }, () =>
    fetch(`http://127.0.0.1:${port}/`, { headers: { ...bearing(endpoint.token()), connection: 'close' } }))
  await until(() => asked === 100)
  await app.close()
  for (const answer of await Promise.all(answers)) {
    t.equal(answer.status, 503)
    t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/)
  }
  t.same(lines.filter(({ msg }) => /already sent/i.test(msg)), [])
  t.same(rejections, [])
})

/** The status that the program's request came to, and how the program ended. */
async function run (t: Test, endpoint: KeyEndpoint, when: 'afterwards' | 'meanwhile'): Promise<unknown> {
  const program =
    fork(fileURLToPath(new URL(`../fixtures/short-lived${extname(import.meta.filename)}`, import.meta.url)),
      [endpoint.domain, endpoint.token(), when])
  t.teardown(() => program.kill())
  let status: unknown
  program.once('message', message => { status = message })
  const [code] = await once(program, 'exit')
  return { status, code }
}

t.test('X-11 a process ends once its app is closed, also while a request waits for the keys', async t => {
  const [healthy, silent] = await Promise.all([startEndpoint(t, team), startEndpoint(t, team)])
  await hold(silent)
  const ends = await Promise.all([run(t, healthy, 'afterwards'), run(t, silent, 'meanwhile')])
  t.same(ends, [{ status: 200, code: 0 }, { status: 503, code: 0 }])
})
