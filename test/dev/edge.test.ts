import { once } from 'node:events'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { connect, Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { mock } from 'node:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t from 'tap'
import { createAccessEdge, type AccessEdge } from '../../lib/dev/index.js'
import { API, ask, askEcho, cookieIn, serveEcho, signIn, startEdge } from '../fixtures/edge.js'

const to = await serveEcho(t)
const edge = await startEdge(t, { to })

async function kidsOf ({ domain }: AccessEdge): Promise<string[]> {
  const { status, body } = await ask(`${domain}/cdn-cgi/access/certs`)
  if (status !== 200) throw new Error(`No keys: ${status}`)
  return JSON.parse(body).keys.map(({ kid }: { kid: string }) => kid)
}

function tokenIn (cookie: string): string {
  return cookie.split(/[=;]/)[1]!
}

t.test('it listens on the loopback addresses 127.0.0.1 and ::1, and nowhere else', async t => {
  t.match(edge.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  const { port } = new URL(edge.url)
  t.equal(edge.domain, `http://localhost:${port}`)
  const hasIPv6 = Object.values(networkInterfaces()).flat().some(address => address?.address === '::1')
  for (const address of ['127.0.0.1', ...hasIPv6 ? ['[::1]'] : []]) {
    const headers = { host: new URL(edge.domain).host }
    t.equal((await ask(`http://${address}:${port}/cdn-cgi/access/certs`, { headers })).status, 200, address)
  }
  const [error] =
    await once(connect(Number(new URL(edge.url).port), '127.0.0.2').on('connect',
      () => { t.fail('it answers on 127.0.0.2') }), 'error')
      .catch(error => [error])
  t.equal(error.code, 'ECONNREFUSED')
})

t.test('it starts on a machine without IPv6', async t => {
  const { listen } = Server.prototype
  t.intercept(Server.prototype, 'listen', {
    value (this: Server, port: number, host: string) {
      if (host !== '::1') return Reflect.apply(listen, this, [port, host])
      process.nextTick(() => this.emit('error', Object.assign(new Error('no IPv6'), { code: 'EADDRNOTAVAIL' })))
      return this
    }
  })
  const alone = await createAccessEdge({ to, port: 0 })
  t.equal((await ask(`${alone.url}/cdn-cgi/access/certs`)).status, 200)
  await alone.close()
})

t.test('it does not start in production', async t => {
  t.intercept(process, 'env', { value: { ...process.env, NODE_ENV: 'production' } })
  await t.rejects(createAccessEdge({ to, port: 0 }), {
    code: 'FST_CF_ACCESS_OPTIONS_INVALID',
    message: /NODE_ENV=production/
  })
})

t.test('a port that is taken is said to be', async t => {
  const port = Number(new URL(edge.url).port)
  const taken = { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /"port" is \d+, which is not available.*EADDRINUSE/ }
  await t.rejects(createAccessEdge({ to, port }), taken)
  const { listen } = Server.prototype
  t.intercept(Server.prototype, 'listen', {
    value (this: Server, asked: number, host: string) {
      return Reflect.apply(listen, this, host === '::1' ? [port, '127.0.0.1'] : [asked, host])
    }
  })
  await t.rejects(createAccessEdge({ to, port: 0 }), taken, 'on ::1 alone')
})

t.test('closing ends open connections', async t => {
  const closing = await createAccessEdge({ to, port: 0 })
  const socket = connect(Number(new URL(closing.domain).port), '127.0.0.1')
  await once(socket, 'connect')
  const gone = once(socket, 'close')
  await closing.close()
  await t.resolves(gone)
})

t.test('each start makes new keys, and a path keeps its AUD tag', async t => {
  const another = await startEdge(t, { to })
  t.equal(new Set([...await kidsOf(edge), ...await kidsOf(another)]).size, 4)
  t.strictSame(another.applications, edge.applications)
  t.match(edge.applications, [{ path: '/', audience: /^[0-9a-f]{64}$/ }])
})

t.test('a session goes on through a rotation, under the new key', async t => {
  const { cookie } = await signIn(edge, 'alice@acme.com')
  await edge.rotateKeys()
  const [current, previous] = await kidsOf(edge)
  t.equal(decodeProtectedHeader(tokenIn(cookie)).kid, previous)

  const { status, headers, body } = await ask(edge.url, { headers: { cookie } })
  t.equal(status, 200)
  const renewed = tokenIn(cookieIn(headers))
  t.equal(JSON.parse(body).headers['cf-access-jwt-assertion'], renewed)
  t.equal(decodeProtectedHeader(renewed).kid, current)
  const { exp, identity_nonce: nonce } = decodeJwt(tokenIn(cookie))
  t.match(decodeJwt(renewed), { exp, identity_nonce: nonce })

  await edge.rotateKeys()
  t.equal((await ask(edge.url, { headers: { cookie, ...API } })).status, 302,
    'a key that is no longer published ends the session')
  t.equal((await ask(edge.url, { headers: { cookie: `CF_Authorization=${renewed}` } })).status, 200)
})

t.test('keys rotate by the clock', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const edge = await startEdge(t, { to, rotate: '1m' })
  const [first] = await kidsOf(edge)
  mock.timers.tick(59_999)
  t.equal((await kidsOf(edge))[0], first)
  mock.timers.tick(1)
  let kids = await kidsOf(edge)
  while (kids[0] === first) kids = await kidsOf(edge)
  t.equal(kids[1], first)
})

t.test('an outage holds from the start until it is mended, at either endpoint or both', async t => {
  const edge = await startEdge(t, { to, outage: 'error' })
  const statuses =
    async () => Promise.all(
      ['certs', 'get-identity'].map(async endpoint => (await ask(`${edge.url}/cdn-cgi/access/${endpoint}`, { headers })).status))
  const headers = await signIn(edge, 'alice@acme.com')
  t.strictSame(await statuses(), [500, 500])
  t.equal((await ask(edge.url, { headers })).status, 200, 'the session goes on')
  edge.outage(null, 'certs')
  t.strictSame(await statuses(), [200, 500])
  edge.outage(null)
  t.strictSame(await statuses(), [200, 200])
  edge.outage('down')
  await t.rejects(ask(`${edge.url}/cdn-cgi/access/certs`), { code: 'ECONNRESET' })
})

t.test('with a file for its keys, sessions outlive a restart', async t => {
  const keys = join(t.testdir(), 'keys.json')
  const users = [{ email: 'alice@acme.com', groups: ['admins'] }]
  const first = await createAccessEdge({ to, port: 0, keys, users })
  const port = Number(new URL(first.url).port)
  const headers = await signIn(first, 'alice@acme.com')
  await first.rotateKeys()
  const kids = await kidsOf(first)
  await first.close()
  t.equal((await stat(keys)).mode & 0o777, 0o600)

  const second = await startEdge(t, { to, port, keys, users })
  t.strictSame(await kidsOf(second), kids)
  t.equal((await askEcho(second.url, { headers })).headers['cf-access-authenticated-user-email'], 'alice@acme.com')
  const { body } = await ask(`${second.url}/cdn-cgi/access/get-identity`, { headers })
  t.match(JSON.parse(body), { groups: ['admins'] })
})

t.test('a file without such keys is not changed, and the error says so', async t => {
  const dir = t.testdir()
  const keys = join(dir, 'keys.json')
  for (const text of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"RSA"},{}]}', 'null']) {
    await writeFile(keys, text, { mode: 0o600 })
    await t.rejects(createAccessEdge({ to, port: 0, keys }),
      { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message: /"keys" names .*keys\.json, which does not contain keys/ }, text)
    t.equal(await readFile(keys, 'utf8'), text)
  }
  await t.rejects(createAccessEdge({ to, port: 0, keys: dir }), { message: /cannot be read: EISDIR/ })
  await t.rejects(createAccessEdge({ to, port: 0, keys: join(dir, 'none', 'keys.json') }),
    { message: /cannot be written: ENOENT/ })
})

t.test('X-28 a file of keys that other users have access to is rejected, with what to do', async t => {
  const keys = join(t.testdir(), 'keys.json')
  await (await createAccessEdge({ to, port: 0, keys })).close()
  for (const mode of [0o644, 0o640, 0o660, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777]) {
    await chmod(keys, mode)
    const message = `Option "keys" names ${keys}, which is open to other users (mode ${mode.toString(8)}); ` +
      `run: chmod 600 ${keys}`
    await t.rejects(createAccessEdge({ to, port: 0, keys }), { code: 'FST_CF_ACCESS_OPTIONS_INVALID', message })
  }
  for (const mode of [0o600, 0o400, 0o700]) {
    await chmod(keys, mode)
    await startEdge(t, { to, keys })
  }
})
